"""NOAH: adapter, LoRA and prompts of a size of their own in each block (arXiv 2206.04673)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Share
from hydra_peft.methods._base import Method
from hydra_peft.methods._bottleneck import BottleneckMethod
from hydra_peft.methods._choices import check_choice
from hydra_peft.methods._noah_subnets import SUBNETS
from hydra_peft.methods._prompts import prompted_blocks
from hydra_peft.methods.lora import Lora

if TYPE_CHECKING:
    from torch import nn

#: sizes by block
Sizes = list[Annotated[int, Limits(least=0, most=4096)]]
_PARTS = ("adapter_rank", "lora_rank", "prompts")


@dataclass(frozen=True)
class Noah(Method):
    """A fixed subnet of Zhang et al.: block i has an adapter of width ``adapter_rank[i]`` behind
    its MLP, LoRA of rank ``lora_rank[i]`` on packed qkv, and ``prompts[i]`` learned tokens.

    ``x = x + attn_lora(norm1(x)); x = x + adapter(mlp(norm2(x)))`` over ``[batch, tokens + prompts,
    width]``; prompts leave with their block. NOAH appends them behind the patches and the next
    block drops them: the same, since blocks know no order of tokens. Adapter: QuickGELU; dropout
    on its features, on LoRA's input and on prompts. As the release runs, adapter and LoRA start as
    N(0, 0.02^2) in all weights and so not as the identity (its model draws over what modules drew),
    prompts Xavier-uniform. Its further prompt of the input, with a position, is left out, as in its
    counts: ``3072 l + (1537 a + 768) + 768 v`` a block.

    Attributes:
        adapter_rank, lora_rank, prompts: a size for each block, 0 for none; a list of one is for
            all blocks.
        subnet: task of VTAB-1k whose published subnet takes the place of these three (12 blocks).
        dropout: dropout probability of all three.
    """

    name: ClassVar[str] = "noah"
    adapter_rank: Sizes = field(default_factory=lambda: [5])
    lora_rank: Sizes = field(default_factory=lambda: [5])
    prompts: Sizes = field(default_factory=lambda: [5])
    subnet: str = ""
    dropout: Share = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subnet:
            check_choice("subnet", self.subnet, tuple(SUBNETS))
        for part, sizes in self.sizes().items():
            if not sizes:
                raise UserError(f"{part}=[] is no list of sizes, one for each block or for all.")
        if not any(size for sizes in self.sizes().values() for size in sizes):
            raise UserError(f"{', '.join(_PARTS)} are 0 in every block: nothing would be trained.")

    def sizes(self) -> dict[str, list[int]]:
        """Return ``adapter_rank``, ``lora_rank`` and ``prompts`` as they act."""
        own = {part: list(getattr(self, part)) for part in _PARTS}
        return SUBNETS[self.subnet] if self.subnet else own

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put each block's adapter, LoRA and prompts in; return the names of what carries one."""
        from hydra_peft.adapters.base import Adapter

        blocks, width, _ = prompted_blocks(model)
        for block, sizes in zip(blocks, self._by_block(len(blocks)), strict=True):
            adapter_rank, lora_rank, prompts = sizes
            inside = block
            if prompts:
                self._put_prompts(model, block, prompts, width)
                inside = f"{block}.base"
            if adapter_rank:
                self._adapter(f"{inside}.mlp", adapter_rank).apply(model, head)
            if lora_rank:
                self._lora(f"{inside}.attn.qkv", lora_rank).apply(model, head)
        return [name for name, module in model.named_modules() if isinstance(module, Adapter)]

    def _by_block(self, count: int) -> list[tuple[int, ...]]:
        wide = []
        for part, sizes in self.sizes().items():
            if len(sizes) not in (1, count):
                raise UserError(
                    f"method.{part} has {len(sizes)} sizes and the model {count} blocks: give one "
                    "for each block, or one for all."
                )
            wide.append(sizes * count if len(sizes) == 1 else sizes)
        return list(zip(*wide, strict=True))

    def _adapter(self, target: str, rank: int) -> BottleneckMethod:
        return BottleneckMethod(
            targets=[target],
            rank=rank,
            activation="quick_gelu",
            dropout=self.dropout,
            init="trunc_normal",
        )

    def _lora(self, target: str, rank: int) -> Lora:
        return Lora(
            targets=[target],
            rank=rank,
            dropout=self.dropout,
            dropout_at="input",
            bias=False,
            init="trunc_normal",
            zero_up=False,
        )

    def _put_prompts(self, model: nn.Module, block: str, count: int, width: int) -> None:
        from torch import nn

        from hydra_peft.adapters.prompts import PromptedBlock
        from hydra_peft.adapters.surgery import replace_module

        module = model.get_submodule(block)
        tokens = next(module.parameters()).new_empty(count, width)
        adapter = PromptedBlock(
            module,
            prompts=nn.Parameter(nn.init.xavier_uniform_(tokens)),
            count=count,
            prefix=int(model.num_prefix_tokens),  # type: ignore[arg-type]
            arrive=False,
            leave=False,
            dropout=self.dropout,
        )
        replace_module(model, module, adapter)

    def ranks(self) -> tuple[int, ...]:
        """The largest rank of LoRA."""
        return (max(self.sizes()["lora_rank"]),)

    def linear_targets(self) -> tuple[str, ...]:
        """Packed qkv, where a block has LoRA."""
        return ("attn.qkv",) if any(self.sizes()["lora_rank"]) else ()

    def identity(self) -> dict[str, Any]:
        """Sizes as they act, whichever of the keys set them; one for all blocks alone."""
        options = super().identity()
        del options["subnet"]
        alike = {k: v[:1] if len(set(v)) == 1 else v for k, v in self.sizes().items()}
        return {**options, **alike}


METHOD = Noah
