"""GLUE's tables: parquet as the hub has it, the original tsv, or through the package ``datasets``.

No torch is loaded. Facts of the hub's form are those of the card of ``nyu-mll/glue``; the original
files are those of gluebenchmark.com (Wang et al., arXiv 1804.07461).
"""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from hydra_peft.data.tables_package import loading, tables_package
from hydra_peft.errors import UserError, check_one_of
from hydra_peft.files import open_regular
from hydra_peft.finite import decimal_number, whole_number
from hydra_peft.links import in_the_way
from hydra_peft.optional import optional_package
from hydra_peft.plain_text import quoted
from hydra_peft.quoting import of_file

REPOSITORY = "nyu-mll/glue"
#: no original file is larger: MNLI's training set has 77 MB
_MOST_BYTES = 2**30
#: MNLI's training set has 392,702
_MOST_ROWS = 10_000_000
#: of STS-B, whose scores begin at 0
_MOST_ALIKE = 5
_WRONG = "more than any file of GLUE: a wrong one?"


@dataclass(frozen=True)
class GlueTask:
    """Columns, files and classes of one of GLUE's eight tasks.

    Attributes:
        texts: columns of its texts in the hub's form, one or two.
        original: folder of its original files.
        columns: those of the texts there, by name, or by number in a file without names.
        label: column of the label there.
        classes: names of its classes, by label; empty for a regression.
        named: whether the original has classes by name and not by number.
    """

    texts: tuple[str, ...]
    original: str
    columns: tuple[str | int, ...]
    label: str | int
    classes: tuple[str, ...]
    named: bool = False


_PAIR = ("sentence1", "sentence2")
_ENTAILED = ("entailment", "not_entailment")
TASKS: Mapping[str, GlueTask] = {
    "cola": GlueTask(("sentence",), "CoLA", (3,), 1, ("unacceptable", "acceptable")),
    "sst2": GlueTask(("sentence",), "SST-2", ("sentence",), "label", ("negative", "positive")),
    "mrpc": GlueTask(
        _PAIR, "MRPC", ("#1 String", "#2 String"), "Quality", ("not_equivalent", "equivalent")
    ),
    "stsb": GlueTask(_PAIR, "STS-B", _PAIR, "score", ()),
    "qqp": GlueTask(
        ("question1", "question2"),
        "QQP",
        ("question1", "question2"),
        "is_duplicate",
        ("not_duplicate", "duplicate"),
    ),
    "mnli": GlueTask(
        ("premise", "hypothesis"),
        "MNLI",
        _PAIR,
        "gold_label",
        ("entailment", "neutral", "contradiction"),
        named=True,
    ),
    "qnli": GlueTask(
        ("question", "sentence"), "QNLI", ("question", "sentence"), "label", _ENTAILED, named=True
    ),
    "rte": GlueTask(_PAIR, "RTE", _PAIR, "label", _ENTAILED, named=True),
}


@dataclass(frozen=True)
class Table:
    """Texts and labels of one split, in the order of its file.

    Attributes:
        texts: the columns of texts; empty where only labels were asked for.
        labels: class numbers, or values of a regression.
        lineage: ``parquet``, ``originals`` or ``hub``.
        notes: sentences on what was left out.
    """

    texts: tuple[list[str], ...]
    labels: list[Any]
    lineage: str
    notes: tuple[str, ...] = ()


def read_table(root: Path, name: str, split: str, *, hub: bool, texts: bool = True) -> Table:
    """Return a split of the task ``name``.

    Args:
        root: folder of the benchmark: it holds ``<task>/<split>-00000-of-00001.parquet``, or the
            original folders or zip files, such as ``MNLI`` or ``MNLI.zip``.
        split: as the hub calls it, such as ``train`` or ``validation_matched``.
        hub: whether to take it from the hub where ``root`` does not have it.
        texts: whether they are wanted too.

    Raises:
        UserError: it is not there, lacks a column, or has a text or a label that is none.
    """
    check_one_of("task of GLUE", name, TASKS)
    task = TASKS[name]
    if files := sorted((root / name).glob(f"{split}-*.parquet")):
        table, place = _parquet(files, task, texts), str(files[0])
    elif (found := _original(root, task, split)) is not None:
        place = found[0]
        with _loading(Path(place)):
            table = _tsv(found[1], task, place)
    elif hub:
        table, place = _hub(name, split, task), f"{REPOSITORY} {name} {split}"
    else:
        way = in_the_way(root)
        said = f": {way}" if way else f" has no {split} in {root}"
        raise UserError(
            f"dataset glue/{name}{said}: put the hub's files ({REPOSITORY}) "
            f"there as {name}/{split}-00000-of-00001.parquet, or the original folder or zip file "
            f"{task.original}; or set data.hub=true."
        )
    _check(table, task, place)
    return table


def _parquet(files: Sequence[Path], task: GlueTask, texts: bool) -> Table:
    optional_package("pyarrow", extra="text", use="parquet is read with the package pyarrow")
    from pyarrow import parquet

    wanted = (*(task.texts if texts else ()), "label")
    found: dict[str, list[Any]] = {column: [] for column in wanted}
    for file in files:
        # One by one: what lies beside it, such as more shards, is not looked at.
        with _loading(file), open_regular(file, links=True) as opened:
            table = parquet.ParquetFile(opened)
            _check_columns(table.schema_arrow.names, wanted, str(file))
            rows = table.metadata.num_rows
            if rows > _MOST_ROWS:
                raise UserError(f"{file} has {rows:,} rows, {_WRONG}")
            read = table.read(columns=list(wanted))
            for column in wanted:
                found[column] += read.column(column).to_pylist()
    return Table(tuple(found[column] for column in wanted[:-1]), found["label"], "parquet")


def _hub(name: str, split: str, task: GlueTask) -> Table:
    package = tables_package()
    with loading(f"{REPOSITORY} {name}", "put its files into paths.data, see docs/data.md"):
        rows = package.load_dataset(REPOSITORY, name, split=split)
    _check_columns(rows.column_names, (*task.texts, "label"), f"{REPOSITORY} {name} {split}")
    return Table(tuple(list(rows[column]) for column in task.texts), list(rows["label"]), "hub")


def _original(root: Path, task: GlueTask, split: str) -> tuple[str, str] | None:
    """Return place and content of an original file; None where there is none."""
    file = f"{split.replace('validation', 'dev')}.tsv"
    path = root / task.original / file
    if os.path.lexists(path):
        with _loading(path), open_regular(path, links=True) as opened:
            return str(path), _text(opened, path)
    # Versions follow some names: QNLIv2.zip, QQP-clean.zip.
    for archive in sorted(root.glob(f"{task.original}*.zip")):
        if not re.fullmatch(rf"{re.escape(task.original)}([-v].*)?\.zip", archive.name):
            continue
        with (
            _loading(archive),
            open_regular(archive, links=True) as source,
            zipfile.ZipFile(source) as members,
        ):
            for member in members.namelist():
                if member.split("/")[-2:] in ([task.original, file], [file]):
                    with members.open(member) as inside:
                        place = archive / of_file(member, file)
                        return str(place), _text(inside, place)
    return None


def _loading(place: Path) -> AbstractContextManager[None]:
    return loading(place, "fetch it again")


def _text(file: IO[bytes], place: Path) -> str:
    """Return the text in a file that may be packed, and larger than it says."""
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise UserError(f"{place} has more than {_MOST_BYTES:,} bytes, {_WRONG}")
    return _decoded(content, place)


def _decoded(content: bytes, place: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{place} is no text in UTF-8 ({error.reason}): fetch it again.") from None


def _tsv(content: str, task: GlueTask, place: str) -> Table:
    """Return the rows of an original file; those that lack columns are left out, as on the hub."""
    wanted = [*task.columns, task.label]
    rows: Any = csv.reader(
        io.StringIO(content, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE, strict=False
    )
    if isinstance(task.label, str):
        header: list[str] = next(rows, [])
        _check_columns(header, [str(name) for name in wanted], place)
        places = [header.index(str(name)) for name in wanted]
    else:
        places = [int(number) for number in wanted]
    columns: list[list[Any]] = [[] for _ in places]
    short = 0
    for row in rows:
        if len(row) <= max(places):
            short += 1
            continue
        for column, number in zip(columns, places, strict=True):
            column.append(row[number])
    labels = [_label(text, task, place, row) for row, text in enumerate(columns.pop(), 1)]
    notes = (f"{short} rows of {place} lack columns and are left out",) if short else ()
    return Table(tuple(columns), labels, "originals", notes)


def _label(text: str, task: GlueTask, place: str, row: int) -> int | float:
    if task.named:
        if text not in task.classes:
            check_one_of(f"{place}, row {row}: label", of_file(text), task.classes)
        return task.classes.index(text)
    try:
        return whole_number(text) if task.classes else decimal_number(text)
    except ValueError:
        kind = "whole number" if task.classes else "number"
        raise UserError(
            f"{place} has the label {of_file(quoted(text))} in row {row}, which is no {kind}: mend "
            "it or leave the row out."
        ) from None


def _check_columns(names: Sequence[str], wanted: Sequence[str], place: str) -> None:
    for name in wanted:
        if name not in names:
            raise UserError(
                f"{place} has no column '{name}' (it has {of_file(', '.join(map(str, names)))}): a "
                "file of another data set?"
            )


def _check(table: Table, task: GlueTask, place: str) -> None:
    """Check that there are texts and labels in all rows.

    Raises:
        UserError: a text or label is null, or a label is hidden or no class of the task.
    """
    for column, texts in zip(task.texts, table.texts, strict=False):
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise UserError(
                    f"{place} has no text in column '{column}' of row {row + 1} (it is "
                    f"{'null' if text is None else of_file(quoted(text))}): mend it or leave the "
                    "row out."
                )
    most = len(task.classes) - 1
    if not table.labels:
        raise UserError(f"{place} has no rows: fetch it again.")
    for row, label in enumerate(table.labels):
        if label == -1:
            raise UserError(
                f"{place} has the label -1 in row {row + 1}, which hides the true one: GLUE's test "
                "sets are not to be scored here; use the train and validation files."
            )
        right = (
            isinstance(label, int) and 0 <= label <= most
            if task.classes
            else isinstance(label, int | float) and 0 <= label <= _MOST_ALIKE
        )
        if not right:
            kind, end = ("class", most) if task.classes else ("number", _MOST_ALIKE)
            expected = f"a {kind} from 0 to {end}"
            raise UserError(
                f"{place} has the label {of_file(quoted(label))} in row {row + 1}: it must be "
                f"{expected}."
            )
