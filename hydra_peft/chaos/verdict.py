"""What must hold after a disturbed sweep: everything done once, equal to the undisturbed one."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

from hydra_peft.adaptation.storage import TENSORS
from hydra_peft.errors import UserError
from hydra_peft.files import read_json
from hydra_peft.runs.folder import METRICS, SUPERSEDED, find_runs
from hydra_peft.runs.record import FILE, Record, read_record
from hydra_peft.tensor_files import read_shapes

#: what a run leaves behind only while it is unfinished
UNFINISHED = ("checkpoints",)


class Witness:
    """Remembers the records of completed runs, to tell whether one was ever done again."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.completed: dict[Path, str] = {}
        self.faults: list[str] = []

    def look(self) -> int:
        """Compare with what was seen before; return the number of completed runs."""
        for folder in find_runs(self.runs) if self.runs.is_dir() else []:
            name = folder.relative_to(self.runs)
            try:
                record = read_json(folder / FILE)
            except UserError as error:
                self.faults.append(f"torn record: {error}")
                continue
            if name in self.completed and _digest(folder / FILE) != self.completed[name]:
                self.faults.append(f"{name} was written again after it had been completed")
            if record.get("status") == "completed":
                self.completed.setdefault(name, _digest(folder / FILE))
        return len(self.completed)


def differences(quiet: Path, disturbed: Path) -> list[str]:
    """Return a sentence for each way in which the disturbed runs are not the undisturbed ones."""
    ours, theirs = _by_name(disturbed), _by_name(quiet)
    faults = [f"{name} is missing" for name in theirs.keys() - ours.keys()]
    faults += [f"{name} is not part of the sweep" for name in ours.keys() - theirs.keys()]
    for name in sorted(ours.keys() & theirs.keys()):
        faults += [f"{name}: {fault}" for fault in _compare(theirs[name], ours[name])]
    faults += [f"{path.name} was left behind" for path in _left_behind(disturbed)]
    return faults


def _by_name(runs: Path) -> dict[Path, Path]:
    return {folder.relative_to(runs): folder for folder in find_runs(runs)}


def _compare(quiet: Path, disturbed: Path) -> list[str]:
    try:
        expected, found = read_record(quiet), read_record(disturbed)
        read_shapes(disturbed / TENSORS)
    except UserError as error:
        return [str(error)]
    faults = [f"is {found.status}"] if found.status != "completed" else []
    for key in ("metrics", "parameters", "data", "weights", "science", "settings"):
        if getattr(expected, key) != getattr(found, key):
            faults.append(f"{key} differ: {getattr(found, key)} for {getattr(expected, key)}")
    if _digest(quiet / TENSORS) != _digest(disturbed / TENSORS):
        faults.append("the trained tensors differ")
    return faults + _epochs(disturbed, found)


def _epochs(folder: Path, record: Record) -> list[str]:
    with (folder / METRICS).open(newline="") as file:
        epochs = [row["epoch"] for row in csv.DictReader(file)]
    wanted = [str(epoch + 1) for epoch in range(record.science["train"]["epochs"])]
    return [] if epochs == wanted else [f"{METRICS} has epochs {epochs}"]


def _left_behind(runs: Path) -> list[Path]:
    """Return half-written, superseded and unfinished files and folders below ``runs``."""
    return [
        path
        for folder in find_runs(runs)
        for path in folder.parent.rglob("*")
        if path.name.startswith(".") or path.name in UNFINISHED or SUPERSEDED in path.name
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
