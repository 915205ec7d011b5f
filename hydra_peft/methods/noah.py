"""NOAH: a subnet of adapters, LoRA and prompts, sized block by block (arXiv 2206.04673)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Share
from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn

#: a size of a part in a block; 0 leaves the part out of it
Size = Annotated[int, Limits(least=0, most=2**12)]
_PARTS = ("adapter_widths", "lora_ranks", "prompts")


@dataclass(frozen=True)
class Noah(Method):
    """A subnet of NOAH (Zhang et al.), as it is retrained; the search that chooses one is not here.

    In each block a non-linear adapter behind the MLP, LoRA on packed queries, keys and values, and
    learned tokens behind the patches, which leave with the block. As in the release
    (ZhangYuanhan-AI/NOAH, ``experiments/NOAH/subnet``) adapters and LoRA have both factors drawn,
    so that training does not start at the frozen backbone; its extra tokens at the input, which
    published counts leave out, are left out. The 19 released subnets (``protocol=released``:
    conf/method_recipe/released_noah.yaml) have 360,134 parameters on average.

    Attributes:
        adapter_widths: bottleneck of each block's adapter; one number is that of every block.
        lora_ranks: rank of each block's LoRA, likewise.
        prompts: learned tokens of each block, likewise.
        dropout: dropout probability in all three.
    """

    name: ClassVar[str] = "noah"
    adapter_widths: list[Size] = field(default_factory=lambda: [5])
    lora_ranks: list[Size] = field(default_factory=lambda: [5])
    prompts: list[Size] = field(default_factory=lambda: [5])
    dropout: Share = 0.1

    def sizes(self) -> dict[str, list[int]]:
        """Return adapters' widths, LoRA's ranks and prompts, by block or for all."""
        return {key: list(getattr(self, key)) for key in _PARTS}

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put the parts into every block."""
        from hydra_peft.adapters.base import Adapter as AdapterModule
        from hydra_peft.methods._prompts import put_prompts, token_blocks
        from hydra_peft.methods.adapter import Adapter
        from hydra_peft.methods.lora import Lora

        names, width, _ = token_blocks(model)
        sizes = {key: self._wide(key, len(names)) for key in _PARTS}
        if not any(size for each in sizes.values() for size in each):
            raise UserError(
                "adapter_widths, lora_ranks and prompts are all 0: there is nothing to train."
            )
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
        put_prompts(model, dict(zip(names, sizes["prompts"], strict=True)), width, self.dropout)
        return [name for name, module in model.named_modules() if isinstance(module, AdapterModule)]

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
        return tuple(rank for rank in self.sizes()["lora_ranks"] if rank)

    def identity(self) -> dict[str, Any]:
        """Sizes as they act: one number where all blocks have the same."""
        options = super().identity()
        alike = {k: v[:1] if len(set(v)) == 1 else v for k, v in self.sizes().items()}
        return {**options, **alike}

    @property
    def label(self) -> str:
        """Name and mean sizes: ``noah 5/5/5``."""
        means = (sum(values) / max(len(values), 1) for values in self.sizes().values())
        return f"{self.name} {'/'.join(f'{mean:.3g}' for mean in means)}"


METHOD = Noah
