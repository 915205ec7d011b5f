"""A run's folder: found by the run's identity, not by time or job number."""

from __future__ import annotations

import collections
import itertools
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.links import leads_nowhere, missing
from hydra_peft.runs.config_file import CONFIG
from hydra_peft.runs.record import FILE, TRACEBACK, Record, read_record

#: one line an epoch, columns as the header says
METRICS = "metrics.csv"
#: ``outputs``, float32 ``[n, outputs]``: what the model said of each example of the scored split;
#: ``targets``: what is true of them, as the task's kind has it
PREDICTIONS = "predictions.safetensors"
#: the same of a further split that is scored beside it, by the split's name
PREDICTIONS_OF = "predictions-{}.safetensors"
LOG = "train.log"
#: by what trackers find the run again
TRACKERS = "trackers.json"
#: files of an adapter, as :func:`hydra_peft.adaptation.storage.save_adapter` names them
ADAPTER = ("adapter.json", "adapter.safetensors")
#: all files that a run writes into its folder itself
WRITTEN = (FILE, CONFIG, *ADAPTER, PREDICTIONS, TRACEBACK, METRICS, LOG, TRACKERS)
#: patterns of the names of all files in a run's folder, with those of a tracker and a profile
OWN = (*WRITTEN, PREDICTIONS_OF.format("*"), "values.csv", "profile.md", "profile_trace.json.gz")
#: what an earlier run of the same identity is renamed to, before a number
SUPERSEDED = ".superseded-"
#: where below the runs those of a search are: no table takes them for results
TUNING = "tuning"
#: what the name of a run's own folder has, as :func:`run_folder` makes it
_NAMED = re.compile(r"-seed\d+-")
#: folders that a run makes in its own, be it renamed; no run is below them
_INNER = ("checkpoints", "tensorboard")
#: where a run is looked for that a folder named by mistake may hold: levels below it, and entries
_DEPTH, _LOOKED_AT = 4, 5000


def predictions_name(split: str, counted: str) -> str:
    """Return the name of the file with the outputs of ``split``, where ``counted`` counts."""
    return PREDICTIONS if split == counted else PREDICTIONS_OF.format(split)


def run_folder(
    runs: Path, *, benchmark: str, task: str, method: str, seed: int, id: str, weights: str
) -> Path:
    """Return ``runs/benchmark/task/method-seedN-id-weights``.

    Args:
        id: the run's config_id.
        weights: sha256 of the backbone's weights, of which eight digits are used, so that one
            science on two checkpoints has two folders.

    Raises:
        UserError: no table would find a run of that benchmark or task.
    """
    for key, part in (("dataset.benchmark", benchmark), ("dataset.name", task)):
        if SUPERSEDED in part or (part, key) == (TUNING, "dataset.benchmark"):
            raise UserError(
                f"{key}={part} is not allowed: tables pass over folders of that name; give it "
                "another one."
            )
    name = f"{_part(method)}-seed{seed}-{id}-{weights[:8]}"
    return runs / _part(benchmark) / _part(task) / name


def unlabelled(folder: str) -> str:
    """Return a run's ``folder`` without its method's label, which says what a search chose."""
    parent, name = os.path.split(folder)
    found = name.rfind("-seed")
    return os.path.join(parent, name[found:]) if found > 0 else folder


def _part(name: str) -> str:
    """Return ``name`` as part of a path."""
    return re.sub(r"[^A-Za-z0-9_.+=-]", "_", name)


def runs_of_task(runs: Path, *, benchmark: str, task: str, seed: int, id: str = "*") -> list[Path]:
    """Return the run folders of a task and seed that hold a record, sorted; no superseded ones.

    Args:
        id: the run's config_id; of any by default.
    """
    pattern = f"{_part(benchmark)}/{_part(task)}/*-seed{seed}-{id}-*/{FILE}"
    found = sorted(path.parent for path in runs.glob(pattern))
    return [folder for folder in found if SUPERSEDED not in folder.name]


def holds_record(folder: Path) -> bool:
    """Whether anything has the name of a run's record in ``folder``, be it one or not.

    A pipe or a link to nothing counts too: what lies beside it is somebody's run.
    """
    return os.path.lexists(folder / FILE)


def check_file_places(folder: Path) -> None:
    """Check that no folder has the name of a file that a run writes into ``folder``.

    Found before training: no file can take the place of a folder.
    """
    for path in (*(folder / name for name in WRITTEN), *folder.glob(PREDICTIONS_OF.format("*"))):
        if path.is_dir() and not path.is_symlink():
            raise UserError(
                f"{path} is a folder, and the run writes a file of that name: move it elsewhere."
            )


def completed_record(folder: Path) -> Record | None:
    """Return the record in ``folder`` if a run has completed there, else None."""
    if not holds_record(folder):
        return None
    try:
        record = read_record(folder)
    except UserError:
        return None
    return record if record.status == "completed" else None


def check_no_links(runs: Path, folder: Path) -> None:
    """Check that what is written into the run's ``folder`` stays below ``runs``.

    Raises:
        UserError: the folder or one above it, below ``runs``, is a link.
    """
    for part in (folder, *folder.parents):
        if part == runs:
            return
        if part.is_symlink():
            found = leads_nowhere(part)
            remedy = "remove it"
            if found is None and part == folder:
                remedy += ", or put the folder itself there"
            elif found is None:
                remedy += ", or set paths.runs to where it leads"
            raise UserError(
                f"{part} is {found or 'a link'}, and runs are not written through links: {remedy}."
            )


def set_aside(folder: Path) -> Path:
    """Rename ``folder`` so that a new run can take its name; nothing in it is lost.

    Returns:
        The new name: the old one with ``.superseded-N``.
    """
    number = 1
    while os.path.lexists(aside := folder.with_name(f"{folder.name}{SUPERSEDED}{number}")):
        number += 1
    return folder.rename(aside)


def check_run_folder(folder: Path) -> None:
    """Check that ``folder`` holds a record, of whatever worth.

    Raises:
        UserError: it does not; the message names a run below it, if there is one near.
    """
    if holds_record(folder):
        return
    for place in (folder, folder / FILE):
        try:
            os.lstat(place)
        except PermissionError as error:
            raise UserError(f"cannot look into {place.parent}: {error.strerror}.") from None
        except OSError:
            break  # it is not there, or cannot be
    if not os.path.isdir(folder):  # a name may be too long for Path.is_dir()
        what = "is no folder" if os.path.lexists(folder) else "is not there"
        raise UserError(
            f"{missing(folder, what)}: give the folder of a run, as train.py printed it."
        )
    advice = f"such as {run}" if (run := run_below(folder)) else "as train.py printed it"
    raise UserError(f"{folder} is no run, it has no {FILE}: give the folder of one, {advice}.")


def run_below(folder: Path) -> str | None:
    """Return a run's folder some levels below ``folder``, if a short look finds one.

    One that is named as a run's own, if there is such a one: another record may have strayed there.
    """
    waiting, looked_at = collections.deque([(os.fspath(folder), 0)]), 0
    other: str | None = None
    while waiting and looked_at < _LOOKED_AT:
        place, depth = waiting.popleft()
        try:
            with os.scandir(place) as entries:
                inside = list(itertools.islice(entries, _LOOKED_AT - looked_at))
        except OSError:  # it may be gone by now, or others'
            continue
        looked_at += len(inside)
        if depth and any(entry.name == FILE for entry in inside):
            if _named_as_run(place):
                return place
            other = other or place
        if depth < _DEPTH:
            waiting += sorted((e.path, depth + 1) for e in inside if _may_hold_runs(e))
    return other


def find_runs(runs: Path, unreadable: list[str] | None = None) -> list[Path]:
    """Return all run folders below ``runs`` that hold a record, sorted; ``runs`` may be one itself.

    Left out are superseded ones, those of a search for hyper-parameters, hidden folders (claims,
    announced sweeps) and what lies inside a run's folder; links to folders are not followed. Where
    the folder of a record is not named as a run's own, it may have strayed there and hides no run.

    Args:
        runs: a folder.
        unreadable: gets a sentence for each folder that cannot be listed; it is passed over.
    """
    found: list[Path] = []
    waiting = [os.fspath(runs)]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                inside = list(entries)
        except OSError as error:
            if unreadable is not None:
                unreadable.append(f"cannot look into {folder}: {error.strerror or error}.")
            continue
        is_whole = folder == os.fspath(runs)
        left_out: tuple[str, ...] = (TUNING,) if is_whole or _has_search(inside) else ()
        if any(entry.name == FILE for entry in inside):
            found.append(Path(folder))
            if _named_as_run(folder):
                continue  # what a run has in its own folder, copies too, is no further run
            left_out += _INNER
        waiting += [e.path for e in inside if e.name not in left_out and _may_hold_runs(e)]
    return sorted(found)


def _has_search(inside: Sequence[os.DirEntry[str]]) -> bool:
    """Whether a folder among those below the runs' own has a search's folder, and no task that is
    called so, whose runs lie in it."""
    for entry in inside:
        if entry.name == TUNING and entry.is_dir(follow_symlinks=False):
            with suppress(OSError), os.scandir(entry.path) as tasks:
                return not any(os.path.lexists(os.path.join(one.path, FILE)) for one in tasks)
    return False


def _named_as_run(folder: str) -> bool:
    return _NAMED.search(os.path.basename(folder)) is not None


def _may_hold_runs(entry: os.DirEntry[str]) -> bool:
    hidden = entry.name.startswith(".") or SUPERSEDED in entry.name
    return not hidden and entry.is_dir(follow_symlinks=False)
