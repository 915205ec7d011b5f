"""Whether a run can share its passes with others, as its config tells; loads no torch."""

from __future__ import annotations

from collections.abc import Sequence

from hydra_peft.config.schema import RunConfig
from hydra_peft.methods._base import Method
from hydra_peft.methods._linear import LinearMethod


def why_not_packed(config: RunConfig) -> str | None:
    """Return why the run of ``config`` is done alone; None if it may share a pack.

    What only the model tells is found out when it is there
    (:func:`hydra_peft.packing.model.why_alone`).
    """
    method, name = config.method, config.method.name
    if not isinstance(method, LinearMethod) or method.trains_backbone:
        return f"{name} adapts more or less than linear layers"
    if type(method).before_step is not Method.before_step or method.preparation() is not None:
        return f"{name} changes the model between steps"
    if config.train.profile:
        return "train.profile=true looks at one run"
    if not config.train.epochs:
        return "nothing is trained"
    return None


def packed_line(jobs: Sequence[tuple[str, RunConfig]]) -> str:
    """Return one line on ``jobs``, by name: how many share steps, the others and why."""
    reasons: dict[str, list[str]] = {}
    for name, config in jobs:
        if reason := why_not_packed(config):
            reasons.setdefault(reason, []).append(name)
    alone = sum(map(len, reasons.values()))
    said = [f"{len(jobs) - alone} of {len(jobs)} jobs share their steps"]
    said += [f"alone: {', '.join(names)} ({reason})" for reason, names in reasons.items()]
    return "; ".join(said)
