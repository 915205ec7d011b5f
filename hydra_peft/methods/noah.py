"""NOAH: a subnet of adapters, LoRA and prompts, sized block by block (arXiv 2206.04673)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import LearningRate, Limits, Share, Words
from hydra_peft.methods._base import Method, Preparation

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hydra_peft.methods._subnets import Subnet, SubnetSpace

#: a size of a part in a block; 0 leaves the part out of it
Size = Annotated[int, Limits(least=0, most=2**12)]
_PARTS = ("adapter_widths", "lora_ranks", "prompts")
#: the parts by the kind of elastic module that a supernet has for them
_KINDS = ("adapter", "lora", "prompts")
#: sizes as they are given; found first; a supernet of all sizes, which is the first phase of that
GIVEN, EVOLUTION, SUPERNET = "none", "evolution", "supernet"
#: options of the search, those of the evolution alone first
_EVOLVES = ("limit", "population", "generations", "supernet_epochs", "supernet_lr")
_SEARCHES = (*_EVOLVES, "space", "search")


@dataclass(frozen=True)
class Noah(Method):
    """A subnet of NOAH (Zhang et al.), of given sizes or of sizes that are searched first.

    In each block a non-linear adapter behind the MLP, LoRA on packed queries, keys and values, and
    learned tokens behind the patches, which leave with the block. As in the release
    (ZhangYuanhan-AI/NOAH, ``experiments/NOAH/subnet``) adapters and LoRA have both factors drawn,
    so that training does not start at the frozen backbone; its extra tokens at the input, which
    published counts leave out, are left out. The 19 released subnets (``protocol=released``:
    conf/method_recipe/released_noah.yaml) have 360,134 parameters on average.

    ``search=evolution`` finds the sizes before the run: a supernet is trained on the part of the
    data that is not held out, each step a subnet that is drawn; an evolution scores subnets of it
    on the held-out part (val200 of VTAB-1k) under a limit of parameters; the best is trained anew
    on all of the data. Where each part stands in the first quarter, half, three quarters or all of
    the blocks (:class:`~hydra_peft.methods._subnets.SubnetSpace`). Constants are those of the
    release; its supernet holds tensors of size 100, of which no step uses more than 10: ours are
    as large as the largest size, which changes the bound that prompts start from alone.

    Attributes:
        adapter_widths: bottleneck of each block's adapter; one number is that of every block.
        lora_ranks: rank of each block's LoRA, likewise.
        prompts: learned tokens of each block, likewise.
        dropout: dropout probability in all three.
        search: ``none`` takes these sizes, ``evolution`` finds others, ``supernet`` trains all of
            ``space`` at once and is scored with the largest.
        space: sizes that a part may have in a block where it stands.
        limit: parameters that a subnet may have, without head.
        population, generations: of the evolution; see :mod:`hydra_peft.methods._evolution`.
        supernet_epochs, supernet_lr: what the supernet is trained with, all else as the run.
    """

    name: ClassVar[str] = "noah"
    added: ClassVar[tuple[str, ...]] = _SEARCHES
    adapter_widths: list[Size] = field(default_factory=lambda: [5])
    lora_ranks: list[Size] = field(default_factory=lambda: [5])
    prompts: list[Size] = field(default_factory=lambda: [5])
    dropout: Share = 0.1
    search: Annotated[str, Words(GIVEN, EVOLUTION, SUPERNET)] = GIVEN
    space: list[Annotated[int, Limits(least=1, most=2**12)]] = field(
        default_factory=lambda: [1, 5, 10]
    )
    limit: Annotated[int, Limits(least=1)] = 640_000
    population: Annotated[int, Limits(least=2, most=10_000)] = 50
    generations: Annotated[int, Limits(least=1, most=10_000)] = 20
    supernet_epochs: Annotated[int, Limits(least=1, most=100_000)] = 500
    supernet_lr: LearningRate = 5e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.space:
            raise UserError("space=[] has no size to choose from: give some, such as [1,5,10].")

    def sizes(self) -> dict[str, list[int]]:
        """Return adapters' widths, LoRA's ranks and prompts, by block or for all."""
        return {key: list(getattr(self, key)) for key in _PARTS}

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put the parts into every block."""
        from hydra_peft.adapters.base import Adapter as AdapterModule
        from hydra_peft.methods._prompts import put_prompts, token_blocks

        names, width, _ = token_blocks(model)
        if self.search == SUPERNET:
            self._put_supernet(model, names, width)
        else:
            if self.search == EVOLUTION:
                self._check_limit(model, names)
            sizes = {key: self._wide(key, len(names)) for key in _PARTS}
            if not any(size for each in sizes.values() for size in each):
                raise UserError(
                    "adapter_widths, lora_ranks and prompts are all 0: there is nothing to train."
                )
            self._put(model, head, names, sizes)
            put_prompts(model, dict(zip(names, sizes["prompts"], strict=True)), width, self.dropout)
        return [name for name, module in model.named_modules() if isinstance(module, AdapterModule)]

    def _put(
        self,
        model: nn.Module,
        head: tuple[str, ...],
        names: list[str],
        sizes: Mapping[str, list[int]],
    ) -> None:
        """Put adapters and LoRA into the blocks called ``names``."""
        from hydra_peft.methods.adapter import Adapter
        from hydra_peft.methods.lora import Lora

        for name, wide, rank in zip(
            names, sizes["adapter_widths"], sizes["lora_ranks"], strict=True
        ):
            if wide:
                Adapter(
                    targets=[f"{name}.mlp"],
                    rank=wide,
                    activation="quick_gelu",
                    dropout=self.dropout,
                    init="trunc_normal",
                ).apply(model, head)
            if rank:
                Lora(
                    targets=[f"{name}.attn.qkv"],
                    rank=rank,
                    dropout=self.dropout,
                    dropout_at="input",
                    bias=False,
                    init="trunc_normal",
                    zero_up=False,
                ).apply(model, head)

    def _put_supernet(self, model: nn.Module, names: list[str], width: int) -> None:
        """Put parts of the largest size into all blocks, of which each step uses some."""
        import torch
        from torch import nn

        from hydra_peft.adapters.block_adapters import SequentialAdapter
        from hydra_peft.adapters.block_places import find_blocks
        from hydra_peft.adapters.elastic import ElasticBottleneck, ElasticLora, ElasticPrompts
        from hydra_peft.adapters.surgery import replace_module

        most, layers = max(self.space), _packed_layers(model, names)
        for places in find_blocks(model, [f"{name}.mlp" for name in names]):
            module, like = model.get_submodule(places.mlp_output), places.weight
            branch = ElasticBottleneck(
                places.width,
                most,
                activation="quick_gelu",
                dropout=self.dropout,
                init="trunc_normal",
                device=like.device,
                dtype=like.dtype,
            )
            branch.stretch(most)
            replace_module(model, module, SequentialAdapter(module, branch))
        for layer in layers:
            adapter = ElasticLora(layer, most, dropout=self.dropout, init="trunc_normal")
            replace_module(model, layer, adapter)
        for name in names:
            block = model.get_submodule(name)
            like = next(block.parameters())
            tokens = torch.empty(most, width, dtype=like.dtype, device=like.device)
            around = ElasticPrompts(
                block,
                prompts=nn.Parameter(nn.init.xavier_uniform_(tokens)),
                arriving=0,
                prefix=None,
                leave=False,
                dropout=self.dropout,
            )
            around.stretch(most)
            replace_module(model, block, around)

    def before_step(self, model: nn.Module, step: int, random: torch.Generator) -> None:  # noqa: ARG002
        """Draw the subnet of the supernet that the step trains."""
        if self.search == SUPERNET:
            subnet = self.subnets(model).draw(_python_random(random))
            _set_subnet(model, subnet, training=True)

    def preparation(self) -> Preparation | None:
        """Return supernet and evolution, where the sizes are searched."""
        if self.search != EVOLUTION:
            return None
        changes = {
            "train.epochs": self.supernet_epochs,
            "optimizer.lr": self.supernet_lr,
            # Each step is another graph.
            "train.compile": "false",
        }
        supernet = replace(self, search=SUPERNET)
        return Search(supernet, changes, _PARTS, f"method.search={EVOLUTION}", self)

    def subnets(self, model: nn.Module) -> SubnetSpace:
        """Return the subnets that may be found in ``model``, the supernet of this search."""
        from hydra_peft.adapters.elastic import elastic_parts

        layers = [part.base for part in elastic_parts(model, "lora")]
        return self._space(layers)  # type: ignore[arg-type]

    def _space(self, layers: list[nn.Linear]) -> SubnetSpace:
        from hydra_peft.methods._subnets import SubnetSpace

        width, packed = layers[0].in_features, layers[0].out_features
        return SubnetSpace(len(layers), tuple(sorted(set(self.space))), self.limit, width, packed)

    def _check_limit(self, model: nn.Module, names: list[str]) -> None:
        space = self._space(_packed_layers(model, names))
        if not space.allows(space.smallest):
            raise UserError(
                f"limit={self.limit} leaves no subnet: the smallest of space={self.space} has "
                f"{space.cost(space.smallest):,} parameters; raise it, or give smaller sizes."
            )

    def _wide(self, key: str, blocks: int) -> list[int]:
        values = self.sizes()[key]
        if len(values) not in (1, blocks):
            raise UserError(
                f"{key}={values} has {len(values)} sizes for the {blocks} blocks of this backbone: "
                "give one for each, or one for all."
            )
        return values * (blocks if len(values) == 1 else 1)

    def ranks(self) -> tuple[int, ...]:
        """Ranks of LoRA in the blocks that have one."""
        if self.search == SUPERNET:
            return tuple(self.space)
        return tuple(rank for rank in self.sizes()["lora_ranks"] if rank)

    def identity(self) -> dict[str, Any]:
        """Options as they act: one number where all blocks have the same."""
        options = super().identity()
        alike = {k: v[:1] if len(set(v)) == 1 else v for k, v in self.sizes().items()}
        idle = {GIVEN: _SEARCHES, SUPERNET: (*_EVOLVES, *_PARTS), EVOLUTION: ()}[self.search]
        options["space"] = sorted(set(self.space))
        if options["space"] == self.added_options()["space"]:
            del options["space"]
        return {key: value for key, value in {**options, **alike}.items() if key not in idle}

    @property
    def label(self) -> str:
        """Name and mean sizes, or where they are from: ``noah 5/5/5``, ``noah searched``."""
        if self.search != GIVEN:
            return f"{self.name} {'searched' if self.search == EVOLUTION else self.search}"
        means = (sum(values) / max(len(values), 1) for values in self.sizes().values())
        return f"{self.name} {'/'.join(f'{mean:.3g}' for mean in means)}"


@dataclass(frozen=True)
class Search(Preparation):
    """NOAH's search: a supernet, and an evolution of its subnets.

    Attributes:
        noah: what is searched for.
    """

    noah: Noah

    def candidates(
        self, model: nn.Module, random: torch.Generator
    ) -> Generator[dict[str, Any], float, None]:
        """Yield the sizes of each subnet that the evolution looks at."""
        from hydra_peft.methods._evolution import evolve

        search = evolve(
            self.noah.subnets(model),
            population=self.noah.population,
            generations=self.noah.generations,
            random=_python_random(random),
        )
        subnet = next(search)
        while True:
            score = yield {key: list(sizes) for key, sizes in zip(_PARTS, subnet, strict=True)}
            try:
                subnet = search.send(score)
            except StopIteration:
                return

    def show(self, model: nn.Module, options: Mapping[str, Any]) -> None:
        """Make the supernet compute as the subnet of these sizes."""
        adapters, ranks, prompts = (tuple(options[key]) for key in _PARTS)
        _set_subnet(model, (adapters, ranks, prompts), training=False)


def _set_subnet(model: nn.Module, subnet: Subnet, *, training: bool) -> None:
    from hydra_peft.adapters.elastic import elastic_parts, set_sizes

    for kind, sizes in zip(_KINDS, subnet, strict=True):
        set_sizes(elastic_parts(model, kind), sizes, training=training)


def _packed_layers(model: nn.Module, names: list[str]) -> list[nn.Linear]:
    """Return the layers of packed queries, keys and values of the blocks called ``names``.

    Raises:
        UserError: a block has none.
    """
    from hydra_peft.adapters.targets import find_linear_layers

    found = find_linear_layers(model, [f"{name}.attn.qkv" for name in names])
    return list(found.values())


def _python_random(random: torch.Generator) -> Random:
    import torch

    return Random(int(torch.randint(2**62, (), generator=random)))


METHOD = Noah
