"""VPT-Shallow: learned tokens before the first block (Jia et al., arXiv 2203.12119)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.methods._prompts import PromptMethod


@dataclass(frozen=True)
class VptShallow(PromptMethod):
    """VPT-Shallow: the tokens go through all blocks (768 parameters a token on ViT-B/16)."""

    name: ClassVar[str] = "vpt_shallow"
    deep: ClassVar[bool] = False


METHOD = VptShallow
