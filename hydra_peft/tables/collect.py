"""The completed runs below a folder, and what is wrong with the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.runs.folder import find_runs
from hydra_peft.runs.record import Record, read_record


@dataclass(frozen=True)
class Collection:
    """Completed runs, and one sentence for each thing a reader of a table should know."""

    records: list[Record]
    warnings: list[str]


def collect(runs: Path, *, may_be_empty: bool = False) -> Collection:
    """Read every record below ``runs``; a run met twice counts once, the later one.

    Args:
        runs: where the run folders are.
        may_be_empty: whether no run at all is a warning instead of a mistake.

    Raises:
        UserError: ``runs`` does not exist or holds no run.
    """
    folders = find_runs(runs) if runs.is_dir() else []
    if not folders:
        reason = "holds no run" if runs.is_dir() else "is not a folder"
        sentence = f"{runs} {reason}: train something first, or give runs=<folder>."
        if may_be_empty:
            return Collection([], [sentence])
        raise UserError(sentence)
    warnings: list[str] = []
    kept: dict[tuple[object, ...], Record] = {}
    statuses: Counter[str] = Counter()
    for folder in folders:
        try:
            record = read_record(folder)
        except UserError as error:
            warnings.append(f"left out: {error}")
            continue
        if record.status != "completed":
            statuses[record.status] += 1
            continue
        key = (record.config_id, record.weights.get("sha256"), record.data.get("sha256"))
        if key in kept:
            warnings.append(f"{folder.name} is there twice: the later of the two counts.")
        if key not in kept or kept[key].started <= record.started:
            kept[key] = record
    if statuses:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        warnings.append(f"runs that did not complete are left out: {counts}.")
    return Collection(list(kept.values()), warnings)
