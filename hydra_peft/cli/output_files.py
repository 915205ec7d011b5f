"""Where a command writes: checked before it computes anything, so that nothing else is lost."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError
from hydra_peft.files import no_ordinary_file, real_path
from hydra_peft.plain_text import shortened
from hydra_peft.runs.config_file import config_text
from hydra_peft.runs.folder import OWN, find_runs, holds_record

if TYPE_CHECKING:
    from hydra_peft.data.sources import DataRequest

#: bytes of a name that leave room for an ending, and for the name of a temporary file
_LONGEST = 200
#: what of a config says where its data lies
_DATA = re.compile(r"^(?:dataset|paths):\n(?:[ -].*\n)*", re.MULTILINE)


def check_output(
    path: Path, key: str, *, inputs: Iterable[Path] = (), endings: tuple[str, ...] = ()
) -> None:
    """Check that a file can be written as ``path`` and takes the place of nothing of worth.

    Args:
        path: the file.
        key: what names it.
        inputs: files that the command reads, and folders that it reads all of.
        endings: what the name may end in; anything where there is none.

    Raises:
        UserError: it is a folder, a pipe or the like, one of ``inputs`` or in one, or a file of a
            run's own; its name is too long or has another ending; its folder cannot be written to.
    """
    given = f"{key}={shortened(os.fspath(path), 100)}"
    if os.path.isdir(path):
        raise UserError(f"{given} is a folder: name a file, such as {path}/out{(*endings, '')[0]}.")
    if os.path.exists(path) and not os.path.isfile(path):  # such as /dev/null, which would go
        raise UserError(f"{key}={no_ordinary_file(path, 'name a file')}")
    _check_length(path.name, given)
    if endings and path.suffix.lower() not in endings:
        raise UserError(f"{given} is not allowed: name a file that ends in {' or '.join(endings)}.")
    check_writable(path.parent, key)
    if (taken := _input_at(path, inputs)) is not None:
        where = "is" if os.path.isfile(taken) else "lies in"
        raise UserError(
            f"{given} {where} {taken}, which is read here and would be overwritten: name another "
            "file elsewhere."
        )
    _check_not_of_run(path, given)


def check_spares_data(files: Iterable[Path], *runs: Path) -> None:
    """Check that no file takes the place of data that runs were made of.

    Args:
        files: what is to be written; what is not there yet takes no place.
        runs: folders of runs, or runs' own.

    Raises:
        UserError: one would.
    """
    there = [file for file in files if os.path.lexists(file)]
    if not there:
        return
    from hydra_peft.data.sources import is_data

    for run, source, request in _data_of(one for folder in runs for one in find_runs(folder, [])):
        for file in there:
            if is_data(source, request, file):
                raise UserError(
                    f"{file} is there, as data of the run in {run}, and would be overwritten: "
                    "choose another name or folder."
                )


def _data_of(runs: Iterable[Path]) -> Iterator[tuple[Path, str, DataRequest]]:
    """Yield a run of all that were made of the same data, its source and the request for it."""
    from hydra_peft.runs.first_look import data_request
    from hydra_peft.runs.recorded import read_run_config

    seen = set()
    for run in runs:
        with contextlib.suppress(UserError):  # what is damaged is told by its readers
            # To check a config takes a hundred times as long as to look which are alike.
            parts = tuple(_DATA.findall(config_text(run) or ""))
            if parts in seen:
                continue
            seen.add(parts or (str(run),))
            config = read_run_config(run)
            dataset = config.dataset
            yield run, dataset.source, data_request(dataset, config.paths, ())


def check_name(name: str | None, out: Path) -> None:
    """Check that files called ``name`` and an ending can be written, and into ``out`` alone.

    Args:
        name: what ``name=`` gives; None where nothing is given.
        out: the folder.

    Raises:
        UserError: it is no name, too long, or that of a file of the run whose folder ``out`` is.
    """
    if not name:
        return
    given = f"name={shortened(name, 100)}"
    if Path(name).name != name or name == "..":
        raise UserError(f"{given} is not allowed: give a name alone, and the folder with out=.")
    _check_length(name, given)
    for own in OWN:
        if own.startswith(f"{name}."):
            _check_not_of_run(out / own, given)


def _check_not_of_run(path: Path, given: str) -> None:
    place = real_path(path)
    for file in {place, real_path(path.parent) / path.name}:
        if holds_record(file.parent) and any(fnmatch.fnmatchcase(file.name, own) for own in OWN):
            raise UserError(
                f"{given} would take the place of {file.name} of the run in {file.parent}: choose "
                "another name or folder."
            )


def _check_length(name: str, given: str) -> None:
    if (size := len(os.fsencode(name))) > _LONGEST:
        raise UserError(
            f"{given} is too long: a file may have {_LONGEST} bytes in its name here, and these "
            f"are {size}."
        )


def _input_at(path: Path, inputs: Iterable[Path]) -> Path | None:
    """Return which of ``inputs`` is what ``path`` leads to, or is a folder above it."""
    place, there = real_path(path), os.path.exists(path)
    for given in inputs:
        same = there and os.path.exists(given) and os.path.samefile(path, given)
        if same or (os.path.isdir(given) and real_path(given) in place.parents):
            return given
    return None
