"""Adapted layers of a rebuilt run, and where in the network they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError

if TYPE_CHECKING:
    from hydra_peft.adapters.low_rank import LowRankLinear
    from hydra_peft.runs.rebuild import RebuiltRun


@dataclass(frozen=True)
class AdaptedLayer:
    """One adapted layer.

    Attributes:
        name: in the model, such as ``blocks.5.attn.proj``.
        block: its transformer block, from 1 as the paper counts; 0 outside of blocks.
        kind: its name within a block, such as ``attn.proj``.
        adapter: the module.
    """

    name: str
    block: int
    kind: str
    adapter: LowRankLinear


def place(name: str) -> tuple[int, str]:
    """Return block (from 1; 0 for none) and kind of the layer ``name``."""
    found = re.fullmatch(r"(?:.*\.)?blocks\.(\d{1,6})\.(.+)", name)
    return (int(found[1]) + 1, found[2]) if found else (0, name)


def adapted_layers(run: RebuiltRun) -> list[AdaptedLayer]:
    """Return the layers of ``run`` with low-rank branches, in the model's order.

    Raises:
        UserError: there is none, or one holds values that are not finite.
    """
    from hydra_peft.adaptation.carried import adapters
    from hydra_peft.adapters.low_rank import LowRankLinear

    found = []
    for name, adapter in adapters(run.model):
        if not isinstance(adapter, LowRankLinear):
            continue
        if not all(bool(tensor.isfinite().all()) for tensor in adapter.parameters()):
            raise UserError(
                f"{name} of the run in {run.folder} holds values that are not finite: its branches "
                "have diverged, or the file was edited."
            )
        found.append(AdaptedLayer(name, *place(name), adapter))
    if not found:
        raise UserError(
            f"the run in {run.folder} has no low-rank branches (method {run.record.method_label}): "
            "choose one of hydra, lora or seqlora."
        )
    return found
