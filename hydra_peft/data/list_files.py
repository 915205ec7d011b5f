"""Prepared tasks: their folders, and their list files of one image path and one label a line.

No torch is loaded and no image is read.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from hydra_peft.data.task_files import TaskFiles
from hydra_peft.errors import UserError
from hydra_peft.files import no_ordinary_file
from hydra_peft.links import in_the_way
from hydra_peft.quoting import of_file

if TYPE_CHECKING:  # its package imports this module
    from hydra_peft.data.sources._request import DataRequest

#: split of VTAB-1k to the list file it is in; that of any other split is ``<split>.txt``
LISTS = {
    "train800": "train800.txt",
    "val200": "val200.txt",
    "train": "train800val200.txt",
    "test": "test.txt",
}
#: the largest list, dSprites' test set, has under 3 MB
MAX_BYTES = 16 * 2**20


#: what stands last in a line: one label; or any number of them, - for none
_ONE = re.compile(r"[+-]?[0-9]{1,9}")
_SEVERAL = re.compile(r"-|[0-9]{1,9}(,[0-9]{1,9})*")
#: a path as lists usually have it: no part begins with a dot, nothing is left to normalise
_PLAIN = re.compile(r"(?:[\w-][\w.-]*/)*[\w-][\w.-]*")


@dataclass(frozen=True)
class ImageList:
    """Parsed list file: image paths below the task's folder, and labels."""

    paths: list[str]
    labels: list[int]


@dataclass(frozen=True)
class LabelList:
    """Parsed list file of images with any number of labels each, ascending."""

    paths: list[str]
    labels: list[tuple[int, ...]]


def read_list(file: Path, classes: int) -> ImageList:
    """Read a list file: per line a path, white space, an integer label.

    Line ends of any kind, blank lines, tabs and a byte-order mark are accepted; so are paths with
    spaces, since the label is what stands last.

    Raises:
        UserError: the file cannot be read, or a line is malformed, has a label outside
            ``[0, classes)``, a path that leaves the folder, or one that an earlier line has; the
            message names the line.
    """
    lines = _read_lines(file, classes, _ONE)
    return ImageList(list(lines), [label for (label,) in lines.values()])


def read_label_list(file: Path, classes: int) -> LabelList:
    """Read a list file with any number of labels in each line: ``3,7``, ``3``, or ``-`` for none.

    Raises:
        UserError: as :func:`read_list`.
    """
    lines = _read_lines(file, classes, _SEVERAL)
    return LabelList(list(lines), [tuple(sorted(set(found))) for found in lines.values()])


def _read_lines(file: Path, classes: int, form: re.Pattern[str]) -> dict[str, list[int]]:
    """Return the labels of each path in a list file, whose lines end in ``form``."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(no_ordinary_file(file, "move it away, and put the list there"))
        if status.st_size > MAX_BYTES:
            raise UserError(f"{file} is larger than {MAX_BYTES} bytes: not a list of images.")
        text = text_of(file)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not a text file of image paths and labels.") from None
    lines: dict[str, int] = {}
    labels: list[list[int]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        path, found = _parse(line, f"{file}, line {number}", form)
        for label in found:
            if not 0 <= label < classes:
                raise UserError(
                    f"{file}, line {number}: label {of_file(label)} is outside 0 to {classes - 1}: "
                    "another task's list, or labels counted from 1?"
                )
        if lines.setdefault(path, number) != number:
            raise UserError(
                f"{file}, line {number}: '{of_file(path)}' stands already in line {lines[path]}: "
                "fetch or prepare the list again."
            )
        labels.append(found)
    if not lines:
        raise UserError(f"{file} lists no image.")
    return dict(zip(lines, labels, strict=True))


def text_of(file: Path) -> str:
    """Return the UTF-8 text of ``file`` without the byte-order marks, one or several, at its begin.

    Programs that add one do not always see that there is one already.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is no UTF-8.
    """
    return file.read_text(encoding="utf-8").lstrip("\ufeff")


def task_folder(request: DataRequest) -> Path:
    """Return the folder of a task below the data root.

    Looked for, under its own name and its aliases: below ``<root>/<benchmark>``, below the
    benchmark's name with a dash before its last part (``vtab-1k``), and in the root itself.

    Raises:
        UserError: none of them exists; the message says how to come by the data.
    """
    benchmark, root = request.benchmark, request.root
    names = [name for name in (request.folder, *request.aliases) if name]
    places = [root / benchmark, root / benchmark.replace("1k", "-1k"), root]
    for place in places:
        for name in names:
            if (place / name).is_dir():
                return place / name
    if _is_prepared(root):
        raise UserError(
            f"dataset {request.name}: {root} is the folder of a task itself: set paths.data "
            "(data= where a finished run is read) to the folder above it, in which the task's "
            "folder has the task's name."
        )
    links = filter(None, (in_the_way(place / names[0]) for place in places))
    said = next(links, f"there is no folder '{names[0]}' below {places[0]} or {root}")
    raise UserError(
        f"dataset {request.name}: {said}{_own(root)}; "
        f"unpack a prepared {benchmark} archive there, or set paths.data=<its folder> (data= "
        "where a finished run is read), or make it with python scripts/prepare_data.py "
        f"{benchmark} task={request.name} source=<original files> (docs/data.md)."
    )


def _own(folder: Path) -> str:
    """Return what to do about ``folder`` if it holds images of one's own; else nothing."""
    from hydra_peft.data.own_words import own_words  # it needs this module

    words = own_words(folder)
    return f"; {words}" if words else ""


def list_files(folder: Path, split: str) -> list[Path]:
    """Return the list file of ``split``.

    Without one of VTAB-1k's name, ``train`` is train800 and val200, or what ``train.txt`` lists.

    Raises:
        UserError: it is missing; of a folder with none at all, that it is no prepared task.
    """
    own = folder / LISTS.get(split, f"{split}.txt")
    # What is no ordinary file is told where it is read.
    if os.path.lexists(own):
        return [own]
    parts = [folder / LISTS[part] for part in ("train800", "val200")]
    if split == "train" and all(os.path.lexists(part) for part in parts):
        return parts
    if os.path.lexists(plain := folder / f"{split}.txt"):
        return [plain]
    if not _is_prepared(folder):
        raise UserError(
            f"{folder} is no prepared task: it has none of the list files "
            f"{', '.join(LISTS.values())}{_own(folder)}; if these are the original files, prepare "
            "them with python scripts/prepare_data.py <benchmark> task=<name> source=<folder> "
            "(docs/data.md)."
        )
    raise UserError(
        f"{own} is missing: this prepared task lacks its split '{split}'; get a complete archive "
        "or prepare it again (scripts/check_data.py lists what each task lacks)."
    )


def read_split(folder: Path, split: str, classes: int) -> ImageList:
    """Return images and labels that the lists of ``split`` name, those of its parts joined.

    Raises:
        UserError: a list is missing or malformed, or a link out of the folder.
    """
    lists = [read_list(file, classes) for file in _files(folder, split)]
    return ImageList([p for one in lists for p in one.paths], [x for y in lists for x in y.labels])


def read_label_split(folder: Path, split: str, classes: int) -> LabelList:
    """Return images and their sets of labels that the list of ``split`` names.

    Raises:
        UserError: a list is missing or malformed, or a link out of the folder.
    """
    lists = [read_label_list(file, classes) for file in _files(folder, split)]
    return LabelList([p for one in lists for p in one.paths], [x for y in lists for x in y.labels])


def _files(folder: Path, split: str) -> list[Path]:
    files = list_files(folder, split)
    for file in files:
        TaskFiles(folder).status(file, MAX_BYTES)
    return files


def _is_prepared(folder: Path) -> bool:
    return any((folder / name).is_file() for name in LISTS.values())


def _parse(line: str, where: str, form: re.Pattern[str]) -> tuple[str, list[int]]:
    words = line.strip().rsplit(None, 1)
    if len(words) != 2 or not form.fullmatch(words[1]):
        label, example = ("an integer label", "7") if form is _ONE else ("its labels", "3,7")
        raise UserError(
            f"{where}: expected an image path and {label}, such as "
            f"'images/test/000000.jpg {example}', found '{of_file(line.strip()[:80])}'."
        )
    labels = [int(word) for word in words[1].split(",") if word != "-"]
    if _PLAIN.fullmatch(words[0]):  # lists of 262,144 lines are read in a second, not in five
        return words[0], labels
    path = words[0].replace("\\", "/")
    pure = PurePosixPath(path)
    plain = posixpath.normpath(path)
    if pure.is_absolute() or plain.split("/")[0] == ".." or re.match(r"[A-Za-z]:", path):
        raise UserError(
            f"{where}: the path '{of_file(path)}' leads out of the task's folder, which is refused."
        )
    if ".." in pure.parts:
        raise UserError(
            f"{where}: the path '{of_file(path)}' has '..' in it: write it as '{of_file(plain)}'."
        )
    if "\0" in path:
        raise UserError(
            f"{where}: the path {of_file(repr(path))} holds a zero byte, as no file's name does."
        )
    return str(pure), labels
