"""Reading a file with a line for each image: its path, its label, and maybe its split.

No torch is loaded and no image is read.
"""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from hydra_peft.data.list_files import MAX_BYTES, ImageList, text_of
from hydra_peft.data.own_data import NO_LABEL, SPLIT_NAMES, OwnData, is_image, listed_files
from hydra_peft.errors import UserError, did_you_mean, reason_of
from hydra_peft.files import no_ordinary_file
from hydra_peft.links import leads_nowhere
from hydra_peft.plain_text import counted, quoted, shortened
from hydra_peft.quoting import of_file

LINEAGE = "csv"
#: what separates columns, in the order in which the first line is searched for it; else white space
_SEPARATORS = (",", "\t", ";")


@dataclass(frozen=True)
class Columns:
    """Names of columns, by what stands in them; None where that is to be found out."""

    image: str | None
    label: str | None
    split: str | None


@dataclass
class _Rows:
    """Images, labels as written, and lines of one split."""

    paths: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def read_label_file(file: Path, folder: Path, columns: Columns) -> OwnData:
    """Return the images and classes that ``file`` names.

    Its first line names the columns. Labels are names or numbers, blanks around them are dropped;
    classes are in the order of their numbers where all are numbers, of their names otherwise.

    Args:
        file: comma, semicolon, tab or white space between the columns.
        folder: what the images' paths start from.
        columns: which column has what.

    Raises:
        UserError: the file cannot be read, lacks a column or a value, names an image that is not
            there, twice, or out of ``folder``, or see :func:`check_numbers`; the message names the
            line.
    """
    table = _table(file)
    header = table[0][1]
    image, label, split = _places(file, header, table[1:], columns)
    found: dict[str, _Rows] = {}
    seen: dict[str, int] = {}
    first: dict[str, str] = {}
    for number, cells in table[1:]:
        where = f"{file}, line {number}"
        if len(cells) != len(header):
            raise UserError(
                f"{where}: {counted(len(cells), 'value')} where the first line names "
                f"{counted(len(header), 'column')}."
            )
        path = _path(cells[image], folder, where)
        if seen.setdefault(path, number) != number:
            raise UserError(
                f"{where}: '{of_file(path)}' stands already in line {seen[path]}: drop one."
            )
        if cells[label] in NO_LABEL:
            said = f" but '{cells[label]}', which stands for none" if cells[label] else ""
            raise UserError(
                f"{where}: '{of_file(path)}' has no label{said}: give it one, or leave the image "
                "out."
            )
        name = "train" if split is None else _split(cells[split], where)
        rows = found.setdefault(name, _Rows())
        rows.paths.append(path)
        rows.labels.append(cells[label])
        first.setdefault(cells[label], where)
    check_numbers(first)
    names = in_order({one for rows in found.values() for one in rows.labels})
    numbers = {name: number for number, name in enumerate(names)}
    given = {
        name: ImageList(rows.paths, [numbers[one] for one in rows.labels])
        for name, rows in found.items()
    }
    return listed_files(file, folder, names, given, LINEAGE)


def _table(file: Path) -> list[tuple[int, list[str]]]:
    """Return line numbers and cells, blank lines left out; the first has the columns' names."""
    if not file.is_file():
        raise UserError(
            f"dataset.file={file} is no file: it must be the file of your labels, of an earlier "
            "run where it was then (a link will do)."
        )
    if file.stat().st_size > MAX_BYTES:
        raise UserError(f"{file} is larger than {MAX_BYTES:,} bytes: is it a file of labels?")
    try:
        text = text_of(file)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not a text file in UTF-8: save it as such.") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((one for one in _SEPARATORS if one in first), None)
    try:
        found = list(_lines(text, separator))
    except csv.Error as error:
        raise UserError(f"{file} cannot be read as columns: {reason_of(error)}.") from None
    if len(found) < 2:
        raise UserError(
            f"{file} has no line of an image: the first line names the columns, each other line is "
            "of one image."
        )
    return found


def _lines(text: str, separator: str | None) -> list[tuple[int, list[str]]]:
    if separator is None:
        rows = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    else:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    return [(number, cells) for number, cells in rows if any(cells)]


def _places(
    file: Path, header: Sequence[str], rows: Sequence[tuple[int, list[str]]], columns: Columns
) -> tuple[int, int, int | None]:
    """Return the places of the columns of images, labels and splits."""
    listed = of_file(shortened(", ".join(header), 300))
    for key, name in vars(columns).items():
        if name is not None:
            _check_once(file, header, [name])
            if name not in header:
                raise UserError(
                    f"{file} has no column '{name}' for dataset.{key}_column"
                    f"{of_file(did_you_mean(name, header), '')}: it has {listed}."
                )
    split = None if columns.split is None else header.index(columns.split)
    first = rows[0][1]
    known = (columns.label, columns.split)
    if columns.image is not None:
        image = header.index(columns.image)
    else:
        places = range(min(len(first), len(header)))
        images = [i for i in places if is_image(first[i]) and header[i] not in known]
        if len(images) != 1:
            _check_once(file, header, [header[i] for i in images])
            raise UserError(
                f"{file}: which column names the images? Set dataset.image_column to one of "
                f"{listed}; the first line must name the columns."
            )
        (image,) = images
    if is_image(header[image]):
        raise UserError(
            f"{file}: the first line must name the columns, and has the image "
            f"'{of_file(header[image])}': put a line such as image,label above it."
        )
    if columns.label is not None:
        return image, header.index(columns.label), split
    others = [i for i in range(len(header)) if i not in (image, split)]
    if len(others) != 1:
        _check_once(file, header, [header[i] for i in others])
        raise UserError(
            f"{file}: which column has the labels? Set dataset.label_column to one of {listed}."
        )
    return image, others[0], split


def _check_once(file: Path, header: Sequence[str], names: Iterable[str]) -> None:
    """Check that no two columns have one of ``names``, which then chooses none."""
    for name in names:
        if header.count(name) > 1:
            raise UserError(
                f"{file} has the column '{of_file(name)}' {header.count(name)} times: rename all "
                "but one in its first line."
            )


def _path(text: str, folder: Path, where: str) -> str:
    """Return ``text`` as a path below ``folder`` of a file that is there."""
    path = PurePosixPath(text.replace("\\", "/"))
    if not text:
        raise UserError(f"{where}: no image is named.")
    if "\0" in text:
        raise UserError(
            f"{where}: the path {of_file(quoted(text))} holds a zero byte, as no file's name does."
        )
    if path.is_absolute() and path.is_relative_to(folder):
        path = path.relative_to(folder)
    plain = posixpath.normpath(path)
    if path.is_absolute() or plain.split("/")[0] == "..":
        raise UserError(
            f"{where}: '{of_file(path)}' leads out of {folder}: set dataset.root to a folder that "
            "all images are below."
        )
    if ".." in path.parts:
        raise UserError(
            f"{where}: '{of_file(path)}' has '..' in it: write it as '{of_file(plain)}'."
        )
    place = folder / path
    if os.path.exists(place) and not os.path.isfile(place):
        remedy = "put the image there, or drop the line"
        said = of_file(no_ordinary_file(place, remedy), f"what it names is no file: {remedy}.")
        raise UserError(f"{where}: {said}")
    if not os.path.isfile(place):
        raise UserError(f"{where}: there is no file {of_file(f'{place}{_near(place)}')}.")
    return str(path)


def _near(file: Path) -> str:
    """Return what stands in the place of ``file``, or what is there by almost that name."""
    if found := leads_nowhere(file):
        return f": it is {found}"
    try:
        names = os.listdir(file.parent)
    except OSError:
        return ": set dataset.root to the folder that the paths start from"
    other = [n for n in names if n.lower() == file.name.lower() or Path(n).stem == file.name]
    return f", but '{sorted(other)[0]}' is there: write it so" if other else ""


def _split(text: str, where: str) -> str:
    name = SPLIT_NAMES.get(text.lower())
    if name is None:
        raise UserError(f"{where}: '{of_file(text)}' is no split: it must be train, val or test.")
    return name


def check_numbers(first: Mapping[str, str]) -> None:
    """Check that among labels that count classes none is of another kind, as -1 for no label is.

    Numbers with gaps, below zero as in ``-1, 1``, and names are classes as any others.

    Args:
        first: each label, with the place where it stands first, for messages.

    Raises:
        UserError: most labels are plain numbers, and the others are one name or odd numbers.
    """
    odd = {one: where for one, where in first.items() if not _PLAIN.fullmatch(one)}
    alone = len(odd) == 1 or all(_ODD.fullmatch(one) for one in odd)
    if not odd or not alone or len(first) - len(odd) <= len(odd):
        return
    label, where = next(iter(odd.items()))
    raise UserError(
        f"{where}: the label {of_file(quoted(label))} is no plain number such as 0, 1 or 2, as "
        "most labels here are: leave out the images that have none, or, if it is a class, give "
        "the classes names that are no numbers."
    )


#: a label that counts; one that is a number but does not count
_PLAIN, _ODD = re.compile(r"[0-9]{1,18}"), re.compile(r"[+-]?[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?")


def in_order(labels: set[str]) -> tuple[str, ...]:
    """Return names of classes in order: of numbers where all are whole ones, else of texts."""
    if all(re.fullmatch(r"[+-]?[0-9]{1,18}", one) for one in labels):
        return tuple(sorted(labels, key=lambda one: (int(one), one)))
    return tuple(sorted(labels))
