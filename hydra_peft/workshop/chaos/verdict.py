"""Verdict on a disturbed sweep: every job done once, equal to the undisturbed sweep."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from pathlib import Path

from safetensors.torch import load_file

from hydra_peft.adaptation.storage import TENSORS
from hydra_peft.errors import UserError
from hydra_peft.runs.folder import METRICS, SUPERSEDED, find_runs
from hydra_peft.runs.record import FILE, Record, read_record
from hydra_peft.tensor_files import read_headers

#: of a record, what a run is given, and what it finds
_GIVEN = ("parameters", "data", "weights", "science", "settings")
_FOUND = ("scores", "counts", "training")
#: trained values of about 0.1, after some hundred steps in another order of additions
_ROUNDING = 1e-3
#: what a run leaves behind only while it is unfinished
UNFINISHED = ("checkpoints",)


class Witness:
    """Remembers the records of completed runs, to tell whether one was ever done again.

    May look while the sweep is going on. ``faults`` has a sentence for each that was found, once.
    """

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.completed: dict[Path, str] = {}
        self.faults: list[str] = []

    def look(self) -> int:
        """Compare with what was seen before; return the number of completed runs."""
        for folder in find_runs(self.runs) if self.runs.is_dir() else []:
            try:
                # Read once: status and digest are of the same moment.
                content = (folder / FILE).read_bytes()
            except FileNotFoundError:
                continue  # set aside since; what stays away is missing in the end
            self._compare(folder.relative_to(self.runs), content)
        return len(self.completed)

    def _compare(self, name: Path, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        if self.completed.get(name, digest) != digest:
            self._note(f"{name} was written again after it had been completed")
        try:
            status = json.loads(content)["status"]
        except (ValueError, KeyError, TypeError) as error:
            self._note(f"torn record: {name / FILE} ({error})")
            return
        if status == "completed":
            self.completed.setdefault(name, digest)

    def _note(self, fault: str) -> None:
        if fault not in self.faults:
            self.faults.append(fault)


def differences(quiet: Path, disturbed: Path, *, rounded: bool = False) -> list[str]:
    """Return a sentence for each way in which the disturbed runs are not the undisturbed ones.

    Args:
        rounded: whether they were computed in another order, so that tensors may differ in their
            last digits and scores by one example.
    """
    ours, theirs = _by_name(disturbed), _by_name(quiet)
    faults = [f"{name} is missing" for name in theirs.keys() - ours.keys()]
    faults += [f"{name} is not part of the sweep" for name in ours.keys() - theirs.keys()]
    for name in sorted(ours.keys() & theirs.keys()):
        faults += [f"{name}: {fault}" for fault in _compare(theirs[name], ours[name], rounded)]
    faults += [f"{path.name} was left behind" for path in _left_behind(disturbed)]
    return faults


def _by_name(runs: Path) -> dict[Path, Path]:
    return {folder.relative_to(runs): folder for folder in find_runs(runs)}


def _compare(quiet: Path, disturbed: Path, rounded: bool) -> list[str]:
    try:
        expected, found = read_record(quiet), read_record(disturbed)
        read_headers(disturbed / TENSORS)
    except UserError as error:
        return [str(error)]
    faults = [f"is {found.status}"] if found.status != "completed" else []
    for key in _GIVEN if rounded else (*_FOUND, *_GIVEN):
        if getattr(expected, key) != getattr(found, key):
            faults.append(f"{key} differ: {getattr(found, key)} for {getattr(expected, key)}")
    if rounded:
        right = [record.counts.get("correct", 0) for record in (expected, found)]
        if abs(right[0] - right[1]) > 1:
            faults.append(f"{right[1]} examples are right, and {right[0]} of the quiet run")
        tensors = _largest_difference(quiet / TENSORS, disturbed / TENSORS)
        if not tensors <= _ROUNDING:
            faults.append(f"the trained tensors differ by up to {tensors:.1e}")
    elif _digest(quiet / TENSORS) != _digest(disturbed / TENSORS):
        faults.append("the trained tensors differ")
    return faults + _epochs(disturbed, found)


def _largest_difference(one: Path, other: Path) -> float:
    """Return by how much two files of the same tensors differ, at most; nan if by their names."""
    ours, theirs = load_file(one), load_file(other)
    if ours.keys() != theirs.keys():
        return math.nan
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def _epochs(folder: Path, record: Record) -> list[str]:
    with (folder / METRICS).open(newline="") as file:
        epochs = [row["epoch"] for row in csv.DictReader(file)]
    wanted = [str(epoch + 1) for epoch in range(record.science["train"]["epochs"])]
    return [] if epochs == wanted else [f"{METRICS} has epochs {epochs}"]


def _left_behind(runs: Path) -> list[Path]:
    """Return half-written, superseded and unfinished files and folders below ``runs``."""
    return [
        path
        for task in sorted({folder.parent for folder in find_runs(runs)})
        for path in task.rglob("*")
        if path.name.startswith(".") or path.name in UNFINISHED or SUPERSEDED in path.name
    ]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
