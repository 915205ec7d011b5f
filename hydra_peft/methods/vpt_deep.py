"""VPT-Deep: learned tokens in every block (Jia et al., arXiv 2203.12119)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.methods._prompts import PromptMethod


@dataclass(frozen=True)
class VptDeep(PromptMethod):
    """VPT-Deep: tokens of each block take the place of those of the block before (9,216 a token on
    ViT-B/16)."""

    name: ClassVar[str] = "vpt_deep"
    deep: ClassVar[bool] = True


METHOD = VptDeep
