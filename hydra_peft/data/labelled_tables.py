"""Tables with a column of images and a column of labels, one table for each split.

Tables are those of the package ``datasets``. No torch is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra_peft.data.label_files import check_numbers, in_order
from hydra_peft.data.own_data import NO_LABEL, SPLIT_NAMES, OwnData, check_own_data
from hydra_peft.data.table_columns import image_column, label_column
from hydra_peft.data.tables_package import tables_package
from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.quoting import of_file

if TYPE_CHECKING:
    from hydra_peft.data.images import EncodedImages  # loads torch


@dataclass(frozen=True)
class TableColumns:
    """Names of columns; None where they are to be found out."""

    image: str | None
    label: str | None


def read_tables(
    tables: Mapping[str, Any],
    *,
    lineage: str,
    place: str,
    columns: TableColumns,
    split_names: Mapping[str, str | None],
    roots: tuple[Path, ...] = (),
) -> OwnData:
    """Return the images and classes of ``tables``.

    The columns are found by the type of what stands in them. Classes are those of the label
    column's ``ClassLabel``, in its order, as far as there are images of them; else its values:
    numbers in the order of numbers, texts in that of texts.

    Args:
        tables: of the package ``datasets``, by split.
        lineage: how the data came here.
        place: where they come from, for messages.
        columns: which column has what.
        split_names: ``train``, ``val``, ``test`` or, to leave it out, None for splits by name.
        roots: folders below which images may lie that tables name instead of having them.

    Raises:
        UserError: a split or a column is not there or ambiguous, or an image or a label is missing.
    """
    chosen = {role: tables[name] for role, name in _roles(tables, split_names, place).items()}
    first = next(iter(chosen.values()))
    image = image_column(first.features, columns.image, place)
    label = label_column(first.features, columns.label, image, place)
    for role, table in chosen.items():
        for column in (image, label):
            if table.features.get(column) != first.features[column]:
                raise UserError(
                    f"{place}: column '{of_file(column)}' of {role} is of another type, or has "
                    f"other class names, than in {next(iter(chosen))}."
                )
    written = {
        role: _labels(table, label, f"{place}, {role}", role) for role, table in chosen.items()
    }
    if not hasattr(first.features[label], "names"):
        places = [
            (role, row, one) for role, all_ in written.items() for row, one in enumerate(all_)
        ]
        check_numbers({str(one): f"{place}, {role}, row {row}" for role, row, one in places[::-1]})
    names, given = _numbered(written, first.features[label])
    stored = {
        role: _Stored(table, image, f"{place}, {role}", roots) for role, table in chosen.items()
    }

    def images(split: str, index: Path, title: str) -> EncodedImages:
        return stored[split].images(index, title)

    data = OwnData(place, names, given, images, lineage)
    check_own_data(data)
    return data


def _roles(
    tables: Mapping[str, Any], split_names: Mapping[str, str | None], place: str
) -> dict[str, str]:
    """Return the name of the split for each of train, val and test that there is."""
    for name, role in split_names.items():
        if name not in tables:
            raise UserError(
                f"dataset.split_names: {place} has no split '{name}'"
                f"{of_file(did_you_mean(name, tables), '')}: it has {of_file(', '.join(tables))}."
            )
        if role not in (*SPLIT_NAMES.values(), None):
            raise UserError(
                f"dataset.split_names.{name}={role} is not allowed: it must be train, val, test or "
                "null, which leaves the split out."
            )
    found: dict[str, str] = {}
    for name in tables:
        role = split_names[name] if name in split_names else SPLIT_NAMES.get(name.lower(), "")
        if role == "":
            raise UserError(
                f"{place} has a split '{of_file(name)}': say what it is with "
                f"dataset.split_names={{{of_file(name)}:test}} (or train, val), or leave it out "
                "with null."
            )
        if role in found:
            raise UserError(
                f"{place}: splits {of_file(found[role])} and {of_file(name)} are both {role}: "
                f"leave one out with dataset.split_names={{{of_file(name)}:null}}."
            )
        if role is not None:
            found[role] = name
    return {role: found[role] for role in ("train", "val", "test") if role in found}


def _labels(table: Any, column: str, place: str, role: str) -> list[Any]:
    """Return the labels as they are written, texts without blanks around them."""
    values = table.select_columns([column])[:][column]
    if not values:
        raise UserError(f"{place} has no rows: leave the split out, or put images into it.")
    if all(isinstance(value, str | None) for value in values):
        values = [value and value.strip() for value in values]
    is_class = hasattr(table.features[column], "names")
    missing = [
        row for row, one in enumerate(values) if one in (None, *NO_LABEL) or (is_class and one < 0)
    ]
    if missing and len(missing) == len(values) and role != "train":
        raise UserError(
            f"{place} has no labels in '{of_file(column)}', as where a competition keeps them "
            "back: leave the split out with dataset.split_names={<its name>:null}."
        )
    if missing:
        raise UserError(
            f"{place}, row {missing[0]}: the image has no label in '{of_file(column)}' "
            f"({len(missing)} of {len(values)} have none): give it one, or leave it out."
        )
    return list(values)


def _numbered(
    written: Mapping[str, Sequence[Any]], feature: Any
) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Return the names of the classes that there are, and each label as a number of theirs."""
    there = {one for labels in written.values() for one in labels}
    if (known := getattr(feature, "names", None)) is not None:
        ordered: list[Any] = sorted(there)
        names = tuple(str(known[number]).strip() for number in ordered)
    else:
        by_text = {str(one): one for one in there}
        names = in_order(set(by_text))
        ordered = [by_text[name] for name in names]
    number = {one: place for place, one in enumerate(ordered)}
    return names, {role: [number[one] for one in labels] for role, labels in written.items()}


@dataclass(frozen=True)
class _Stored:
    """Images of one split: in its table, or in files that this names."""

    table: Any
    column: str
    place: str
    roots: tuple[Path, ...]

    def __post_init__(self) -> None:
        self._paths()

    def images(self, index: Path, title: str) -> EncodedImages:
        from hydra_peft.data.images import FileImages
        from hydra_peft.data.table_images import TableImages, TableRow

        if paths := self._paths():
            return FileImages(paths, index, title, cast(Path, self._root(paths)))
        undecoded = tables_package().Image(decode=False)
        bare = self.table.select_columns([self.column]).cast_column(self.column, undecoded)
        files = [TableRow(bare, self.column, row, self.place) for row in range(len(bare))]
        sources = tuple(str(one["filename"]) for one in self.table.cache_files)
        return TableImages(files, index, title, sources)

    def _paths(self) -> list[Path]:
        """Return the files that the table names; empty where it has the images themselves.

        Raises:
            UserError: an image is neither here nor there, or out of reach.
        """
        content, named = _content_and_paths(self.table.data.column(self.column))
        filled = [bool(length) for length in _lengths(content)]
        if all(filled):
            return []
        row = filled.index(False)
        if named[row] is None:
            raise UserError(
                f"{self.place}, row {row} has no image in '{of_file(self.column)}': put one there, "
                "or leave the row out."
            )
        paths = [Path(os.path.normpath(name)) for name in named if name is not None]
        if any(filled) or len(paths) < len(named) or self._root(paths) is None:
            raise UserError(
                f"{self.place}, row {row} names a file, {of_file(named[row])}, and has no image in "
                f"'{of_file(self.column)}': files are read out of a data set's own folder alone; "
                "make the table with the images in it, as save_to_disk and push_to_hub of "
                "datasets do."
            )
        return paths

    def _root(self, paths: Sequence[Path]) -> Path | None:
        """Return the first of the roots that all files lie below."""
        return next((r for r in self.roots if all(p.is_relative_to(r) for p in paths)), None)


def _content_and_paths(stored: Any) -> tuple[Any, list[str | None]]:
    """Return the encoded images of an Arrow column, and the file that each row names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_struct(stored.type):
        return stored, [None] * len(stored)
    has_paths = "path" in [one.name for one in stored.type]
    paths = pc.struct_field(stored, "path").to_pylist() if has_paths else [None] * len(stored)
    return pc.struct_field(stored, "bytes"), paths


def _lengths(content: Any) -> list[int | None]:
    """Return the bytes of each row of an Arrow column; None of one that is null."""
    import pyarrow.compute as pc

    return list(pc.binary_length(content).to_pylist())
