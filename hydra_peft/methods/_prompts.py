"""Shared part of VPT-Shallow and VPT-Deep: learned tokens in a vision transformer's blocks."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Share
from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn

#: length of a sequence that is tried: of no image's patches, which are a square
_TOKENS = 7


@dataclass(frozen=True)
class PromptMethod(Method):
    """Visual prompt tuning (Jia et al., arXiv 2203.12119): learned tokens between class token and
    patches, without a position; they leave before the last norm, so any pooling works as it did.

    The frozen backbone stays in evaluation mode, as in the release (KMnP/vpt). Uniform start, see
    :func:`~hydra_peft.adapters.prompts.prompt_bound`. Tokens lengthen the sequence: no merging.

    Attributes:
        prompts: learned tokens in each block that has its own; the paper's runs choose it by task,
            between 1 and 200.
        dropout: dropout probability on them.
    """

    backbone_in_eval: ClassVar[bool] = True
    #: whether each block has tokens of its own, or the first alone
    deep: ClassVar[bool] = False

    prompts: Annotated[int, Limits(least=1, most=4096, logarithmic=True)] = 10
    dropout: Share = 0.0

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        """Put a :class:`~hydra_peft.adapters.prompts.PromptedBlock` around every block."""
        import torch
        from torch import nn

        from hydra_peft.adapters.prompts import PromptedBlock, prompt_bound
        from hydra_peft.adapters.surgery import replace_module
        from hydra_peft.adapters.targets import check_each, check_own_forward

        names, width, patch = token_blocks(model)
        blocks = {name: model.get_submodule(name) for name in names}
        check_each(blocks, check_own_forward)
        like = next(blocks[names[0]].parameters())
        for name, block in blocks.items():
            first = name == names[0]
            own = None
            if first or self.deep:
                tokens = torch.empty(self.prompts, width, dtype=like.dtype, device=like.device)
                bound = prompt_bound(patch, width)
                own = nn.Parameter(nn.init.uniform_(tokens, -bound, bound))
            adapter = PromptedBlock(
                block,
                prompts=own,
                arriving=0 if first else self.prompts,
                prefix=int(model.num_prefix_tokens),  # type: ignore[arg-type]
                leave=name != names[-1],
                dropout=self.dropout,
            )
            replace_module(model, block, adapter)
        return list(blocks)

    @property
    def label(self) -> str:
        """Name and number of tokens: ``vpt_deep p=10``."""
        return f"{self.name} p={self.prompts}"


def put_prompts(model: nn.Module, counts: dict[str, int], width: int, dropout: float) -> None:
    """Give each block of ``counts`` that many learned tokens behind the patches.

    They leave with the block, and start Xavier uniform as ``[count, width]``
    (ZhangYuanhan-AI/NOAH).
    """
    import torch
    from torch import nn

    from hydra_peft.adapters.prompts import PromptedBlock
    from hydra_peft.adapters.surgery import replace_module

    for name, count in counts.items():
        if count:
            block = model.get_submodule(name)
            like = next(block.parameters())
            tokens = torch.empty(count, width, dtype=like.dtype, device=like.device)
            prompts = nn.Parameter(nn.init.xavier_uniform_(tokens))
            adapter = PromptedBlock(
                block, prompts=prompts, arriving=0, prefix=None, leave=False, dropout=dropout
            )
            replace_module(model, block, adapter)


def token_blocks(model: nn.Module) -> tuple[list[str], int, int]:
    """Return the names of the blocks of a vision transformer, its width, and its patch size.

    Raises:
        UserError: ``model`` has no row of blocks that take any number of tokens.
    """
    blocks, width = getattr(model, "blocks", None), getattr(model, "embed_dim", None)
    prefix, embed = getattr(model, "num_prefix_tokens", None), getattr(model, "patch_embed", None)
    names = [] if blocks is None else [f"blocks.{name}" for name, _ in blocks.named_children()]
    kind = type(model).__name__
    if not names or not isinstance(width, int) or not isinstance(prefix, int):
        raise UserError(
            f"a {kind} has no row of blocks over a sequence of tokens into which learned ones "
            "could be put: prompts are for vision transformers, such as timm's vit_* and deit_*."
        )
    if getattr(model, "rope", None) is not None or not _takes_more_tokens(model, names[0], width):
        raise UserError(
            f"this {kind} gives its patches positions inside attention (rotary or relative), or "
            "reads them as an image, where learned tokens have no place: prompts need absolute "
            "position embeddings."
        )
    patch = getattr(embed, "patch_size", 16)
    return names, width, int(patch if isinstance(patch, int) else patch[0])


def _takes_more_tokens(model: nn.Module, name: str, width: int) -> bool:
    """Whether the block called ``name`` computes on a sequence of another length than the model's.

    Found out with a copy, since some keep what they compute for a length.
    """
    import torch

    if any("rel_pos" in each for each, _ in model.named_modules()):
        return False
    block = copy.deepcopy(model.get_submodule(name)).eval()
    x = next(block.parameters()).new_zeros(1, _TOKENS, width)
    try:
        with torch.no_grad():
            return tuple(block(x).shape) == tuple(x.shape)
    except Exception:  # whatever a block raises that cannot
        return False
