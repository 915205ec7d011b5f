"""``scripts/predict.py``: what a trained run says of images or texts, as a table."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.cards import check_card
from hydra_peft.cli.arguments import Device, parse_arguments
from hydra_peft.cli.guard import complain, guarded
from hydra_peft.cli.output_files import check_output, check_spares_data
from hydra_peft.cli.text_rows import TextRows, read_rows
from hydra_peft.data.file_walks import matching, walked
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write
from hydra_peft.plain_text import counted, csv_text, in_one_line, in_short
from hydra_peft.runs.folder import check_run_folder
from hydra_peft.runs.record import read_record
from hydra_peft.runs.recorded import look_at_run

if TYPE_CHECKING:
    from tqdm import tqdm

    from hydra_peft.runs.predicting import TrainedRun

#: cells of an example, what was predicted of it, and the values of each class
Predicted = tuple[list[str], str, list[float]]
#: texts that are tokenised at a time
_AT_ONCE = 1024

USAGE = """\
Say what a trained run sees in images, or reads in texts; write it as a table.

python scripts/predict.py run=<folder> images=<file, folder or glob> [output=predictions.csv]
                          [device=auto] [merged=false] [checkpoint=<file>]
                          [plugins=<module>]
python scripts/predict.py run=<folder> texts=<table> [columns=<name>[,<name>]] [...]

  run         a run folder, as train.py printed it
  images      a file, a folder (its images and those of folders in it) or a quoted glob
              ('photos/**/*.jpg')
  texts       of a run that reads texts: a table of them, .csv, .tsv, .jsonl or .parquet
  columns     names of its columns of texts, as many as the run reads, where they are not those of
              the run's task
  output      the table, .csv: image, or row and texts; prediction; then a column for each class:
              its probability (several labels an example: of each; a regression: the value alone)
  device      auto, cpu or cuda
  merged      true: write the branches into the frozen layers first
  checkpoint  the backbone's weights, if they have moved since
  plugins     modules of your own that the run was trained with (docs/plugins.md)

An image that cannot be read, or a row without a text, is named and left out.
Exit code 0: all were read; 1: some were not; 2: a mistake."""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments."""

    run: str
    images: str | None = None
    texts: str | None = None
    columns: str = ""
    output: str = "predictions.csv"
    device: Device = "auto"
    merged: bool = False
    checkpoint: str = ""
    plugins: str = ""


def main() -> int:
    """Write the table; return 1 where an example could not be read."""
    return guarded(_main, "output")


def _main() -> int:
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    folder, output = Path(arguments.run).expanduser(), Path(arguments.output).expanduser()
    check_card(arguments.device)
    check_run_folder(folder)
    _check_kind(folder, arguments)
    files = find_images(arguments.images) if arguments.images is not None else []
    texts = [Path(arguments.texts).expanduser()] if arguments.texts else []
    check_output(output, "output", inputs=[*files, *texts], endings=(".csv",))
    config = look_at_run(folder, checkpoint=arguments.checkpoint or None)
    check_spares_data([output], folder)
    rows = None
    if arguments.texts is not None:
        rows = read_rows(config, arguments.texts, arguments.columns)
    from hydra_peft.runs.predicting import load_run

    run = load_run(
        folder,
        merged=arguments.merged,
        device=arguments.device,
        checkpoint=arguments.checkpoint or None,
    )
    if rows is None:
        first, said, of = ["image"], _seen(run, files), "image"
    else:
        first, said, of = ["row", *rows.columns], _read(run, rows), "text"
    for one in said:
        if isinstance(one, str):
            complain(one)
    read = [one for one in said if not isinstance(one, str)]
    if not read:
        raise UserError(f"none of {counted(len(said), of)} could be read: nothing was written.")
    atomic_write(output, _table(run, first, read).encode())
    left_out = len(said) - len(read)
    missing = f", {left_out} could not be read" if left_out else ""
    print(in_short(f"written: {output} ({len(read)} of {counted(len(said), of)}{missing})"))
    return 1 if left_out else 0


def _check_kind(folder: Path, arguments: Arguments) -> None:
    """Check that images or texts are given, what the run in ``folder`` takes."""
    wanted = read_record(folder).of
    other = "images" if wanted == "texts" else "texts"
    if getattr(arguments, other) is not None:
        raise UserError(
            f"the run in {folder} takes {wanted}: give {wanted}=... in the place of {other}=."
        )
    if getattr(arguments, wanted) is None:
        raise UserError(f"{wanted} is missing: give {wanted}=..., see --help.")
    if arguments.columns and wanted == "images":
        raise UserError(f"columns={arguments.columns} is of a table of texts: leave it out.")


def find_images(text: str) -> list[Path]:
    """Return the files that ``images=text`` names, sorted.

    Of a folder these are all files whose names end as those of images do, in folders below it
    too; hidden ones are left out.

    Raises:
        UserError: it names none.
    """
    from hydra_peft.data.decoding import image_endings

    if "\0" in text or not text:
        raise UserError(f"images={text!r} is not allowed: it must be a file, a folder or a glob.")
    path = Path(text).expanduser()
    if os.path.isfile(path):
        return [path]
    if os.path.isdir(path):
        endings = image_endings()
        found = sorted(file for file in _files_below(path) if file.suffix.lower() in endings)
        if not found:
            raise UserError(
                f"images={text}: no file in this folder ends as an image does "
                f"({', '.join(sorted(endings))}); name files with a glob, such as '{text}/*'."
            )
        return found
    found = [Path(match) for match in matching(str(path), "images")[1]]
    if not found:
        raise UserError(
            f"images={text} is no file and no folder, and as a glob it matches no file: give what "
            "is there, such as images=photos or images='photos/*.jpg'."
        )
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    for place, names in walked(str(folder), "images"):
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _seen(run: TrainedRun, files: list[Path]) -> list[Predicted | str]:
    """Return what ``run`` says of each file, or why it cannot be read."""
    said: list[Predicted | str] = []
    with _bar("image", len(files)) as bar:
        for one in run.predict_files(files):
            values = one.probabilities
            done = values is not None and ([str(one.file)], one.name or "", values.tolist())
            said.append(done or one.error)
            bar.update()
    return said


def _read(run: TrainedRun, rows: TextRows) -> list[Predicted | str]:
    """Return what ``run`` says of each row, or what is wrong with it."""
    said: list[Predicted | str] = list(rows.errors)
    with _bar("text", len(rows.texts)) as bar:
        for start in range(0, len(rows.texts), _AT_ONCE):
            some = rows.texts[start : start + _AT_ONCE]
            names, values = run.predict([texts for _, texts in some])
            for (number, texts), name, its in zip(some, names, values.tolist(), strict=True):
                said.append(([str(number), *texts], name, its))
            bar.update(len(some))
    return said


def _bar(unit: str, count: int) -> tqdm[Any]:
    """Return a bar of ``count`` steps, which is seen on a terminal alone."""
    from tqdm import tqdm

    return tqdm(total=count, unit=unit, leave=False, disable=not sys.stderr.isatty())


def _table(run: TrainedRun, first: list[str], said: list[Predicted]) -> str:
    """Return the table as CSV: probabilities in six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f"p({name})" for name in run.class_names]
    writer.writerow([in_one_line(name) for name in (*first, "prediction", *names)])
    for example, name, values in said:
        cells = [csv_text(cell) for cell in (*example, name)]
        writer.writerow([*cells, *(f"{value:.6g}" for value in values[: len(names)])])
    return text.getvalue()
