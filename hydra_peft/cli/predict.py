"""``scripts/predict.py``: what a trained run sees in images, as a table."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.cli.arguments import Device, parse_arguments
from hydra_peft.cli.guard import complain, guarded
from hydra_peft.data.file_walks import matching, walked
from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write
from hydra_peft.plain_text import csv_text, in_one_line, in_short
from hydra_peft.runs.folder import check_run_folder
from hydra_peft.runs.recorded import look_at_run

if TYPE_CHECKING:
    from hydra_peft.runs.predicting import OfFile, TrainedRun


USAGE = """\
Say what a trained run sees in images; write it as a table.

python scripts/predict.py run=<folder> images=<file, folder or glob> [output=predictions.csv]
                          [device=auto] [merged=false] [checkpoint=<file>]
                          [plugins=<module>]

  run         a run folder, as train.py printed it
  images      a file, a folder (its images and those of folders in it) or a quoted glob
              ('photos/**/*.jpg')
  output      the table: image, prediction, then a column for each class: its probability
              (several labels an image: of each; a regression: the value alone)
  device      auto, cpu or cuda
  merged      true: write the branches into the frozen layers first
  checkpoint  the backbone's weights, if they have moved since
  plugins     modules of your own that the run was trained with (docs/plugins.md)

An image that cannot be read is named and left out.
Exit code 0: all were read; 1: some were not; 2: a mistake."""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments."""

    run: str
    images: str
    output: str = "predictions.csv"
    device: Device = "auto"
    merged: bool = False
    checkpoint: str = ""
    plugins: str = ""


def main() -> int:
    """Write the table; return 1 where an image could not be read."""
    return guarded(_main, "output")


def _main() -> int:
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    folder, output = Path(arguments.run).expanduser(), Path(arguments.output).expanduser()
    check_run_folder(folder)
    files = find_images(arguments.images)
    if output.is_dir():
        raise UserError(f"output={output} is a folder: name a file, such as {output}/out.csv.")
    check_writable(output.parent, "output")
    look_at_run(folder, checkpoint=arguments.checkpoint or None)
    from hydra_peft.runs.predicting import load_run

    run = load_run(
        folder,
        merged=arguments.merged,
        device=arguments.device,
        checkpoint=arguments.checkpoint or None,
    )
    said = list(_shown(run.predict_files(files), len(files)))
    for one in said:
        if one.error:
            complain(one.error)
    read = [one for one in said if not one.error]
    if not read:
        raise UserError(f"none of {len(files)} images could be read: nothing was written.")
    atomic_write(output, _table(run, read).encode())
    left_out = len(files) - len(read)
    missing = f", {left_out} could not be read" if left_out else ""
    print(in_short(f"written: {output} ({len(read)} of {len(files)} images{missing})"))
    return 1 if left_out else 0


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


def _shown(said: Iterator[OfFile], count: int) -> Iterator[OfFile]:
    """Yield from ``said``; on a terminal a bar shows how many of ``count`` are done."""
    from tqdm import tqdm

    yield from tqdm(said, total=count, unit="image", leave=False, disable=not sys.stderr.isatty())


def _table(run: TrainedRun, said: list[OfFile]) -> str:
    """Return the table as CSV: probabilities in six digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [in_one_line(f"p({name})") for name in run.class_names]
    writer.writerow(["image", "prediction", *names])
    for one in said:
        assert one.probabilities is not None, "it was read"
        values = one.probabilities[: len(run.class_names)].tolist()
        texts = (csv_text(str(one.file)), csv_text(one.name or ""))
        writer.writerow([*texts, *(f"{value:.6g}" for value in values)])
    return text.getvalue()
