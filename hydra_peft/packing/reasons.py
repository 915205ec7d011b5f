"""Whether a run can share its passes with others, as its config tells; loads no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hydra_peft.config.schema import RunConfig
from hydra_peft.data.sources import text_columns
from hydra_peft.methods._base import Method
from hydra_peft.methods._linear import LinearMethod


def why_not_packed(config: RunConfig) -> str | None:
    """Return why the run of ``config`` is done alone; None if it may share a pack.

    What only the model tells is found out when it is there
    (:func:`hydra_peft.packing.model.why_alone`).
    """
    method, name = config.method, config.method.name
    if method.trains_backbone:
        return f"{name} trains the backbone, so no product is frozen"
    if name == "linear":
        return f"{name} trains the head alone, so no step of the backbone is left to share"
    if not isinstance(method, LinearMethod):
        return f"{name} adapts more than linear layers"
    if type(method).before_step is not Method.before_step or method.preparation() is not None:
        return f"{name} changes the model between steps"
    if config.train.profile:
        return "train.profile=true looks at one run"
    if not config.train.epochs:
        return "nothing is trained"
    return None


def packed_line(jobs: Sequence[tuple[str, RunConfig]]) -> str:
    """Return one line on ``jobs``, by name: how many share steps, the others and why."""
    why = [why_not_packed(config) or _of_texts(config) for _, config in jobs]
    alike = Counter(_backbone(job[1]) for job, reason in zip(jobs, why, strict=True) if not reason)
    reasons: dict[str, list[str]] = {}
    for (name, config), reason in zip(jobs, why, strict=True):
        # Trials of a search share steps with each other.
        if not reason and alike[_backbone(config)] == 1 and not config.protocol.tune:
            reason = "no other one here could share steps on its backbone, in its precision"
        if reason:
            reasons.setdefault(reason, []).append(name)
    said = ["no job shares steps with another"]
    if sharing := len(jobs) - sum(map(len, reasons.values())):
        said = [
            f"{'the trials of ' * (sharing == 1)}{sharing} of {len(jobs)} jobs share their steps: "
            "each product with frozen weights is computed once for all of them"
        ]
    said += [f"alone: {', '.join(names)} ({reason})" for reason, names in reasons.items()]
    return "; ".join(said)


def _backbone(config: RunConfig) -> tuple[str, str]:
    """Return what runs that share steps have in common, see :mod:`hydra_peft.packing.member`."""
    return repr(config.model), config.precision


def _of_texts(config: RunConfig) -> str | None:
    is_of_texts = text_columns(config.dataset.source, config.dataset.name)
    return "texts differ in length, so no batch is shared" if is_of_texts else None
