"""Whether what a record holds can be computed with and shown: stricter than reading it.

A record that can be read still says whatever its writer put there. Progress of a sweep is shown of
it nonetheless; tables, figures and reports leave it out and name it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.runs.record import FILE, Record

#: settings nested deeper, or models larger, are not ours
_MAX_DEPTH, _MAX_PARAMETERS = 32, 10**15
_MAPPINGS = ("tuning", "path", "times", "memory", "hardware", "versions", "code")


def check_usable(record: Record, folder: Path) -> None:
    """Check the values of ``record``, which was read from ``folder``.

    Raises:
        UserError: a value of another type or out of its limits.
    """
    wrong = [name for name in _MAPPINGS if not isinstance(getattr(record, name), dict)]
    wrong += ["started"] * (not isinstance(record.started, str))
    wrong += ["error"] * (not isinstance(record.error, str | None))
    if _depth((record.settings, record.method, record.science)) > _MAX_DEPTH:
        wrong.append("settings")
    if record.status == "completed":
        wrong += _of_results(record)
    if wrong:
        raise UserError(f"{folder / FILE} has no usable {', '.join(wrong)}: edited?")


def _of_results(record: Record) -> list[str]:
    """Return which results are not names of a split and of a rule, a score in percent, counts."""
    metrics, parameters = record.metrics, record.parameters
    wrong = [name for name in ("split", "selection") if not isinstance(metrics[name], str)]
    accuracy = metrics["accuracy"]
    # A NaN fails the comparison.
    if type(accuracy) not in (int, float) or not -100 <= accuracy <= 100:
        wrong.append("accuracy")
    for name in ("adapter", "head"):
        if type(parameters[name]) is not int or not 0 <= parameters[name] <= _MAX_PARAMETERS:
            wrong.append(name)
    return wrong


def _depth(value: Any) -> int:
    """Return how deep containers in ``value`` are nested, counted no further than needed."""
    level, depth = [value], 0
    while level and depth <= _MAX_DEPTH:
        depth += 1
        inside = [v.values() if isinstance(v, dict) else v for v in level]
        level = [v for values in inside for v in values if isinstance(v, dict | list)]
    return depth
