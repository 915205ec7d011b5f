"""List files of the community layout: one image path and one label a line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hydra_peft.errors import UserError

#: split name to the list file it is in
LISTS = {
    "train800": "train800.txt",
    "val200": "val200.txt",
    "train": "train800val200.txt",
    "test": "test.txt",
}
#: the largest list, dSprites' test set, has under 3 MB
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ImageList:
    """What a list file says: paths below the task's folder, and labels."""

    paths: list[str]
    labels: list[int]


def read_list(file: Path, classes: int) -> ImageList:
    """Read a list file: per line a path, white space, an integer label.

    Line ends of any kind, blank lines, tabs and a byte-order mark are accepted; so are paths with
    spaces, since the label is what stands last.

    Raises:
        UserError: the file cannot be read, or a line is malformed, has a label outside
            ``[0, classes)``, or a path that leaves the folder; the message names the line.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UserError(f"{file} is larger than {MAX_BYTES} bytes: not a list of images.")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not a text file of image paths and labels.") from None
    paths, labels = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        path, label = _parse(line, f"{file}, line {number}")
        if not 0 <= label < classes:
            raise UserError(
                f"{file}, line {number}: label {label} is outside 0 to {classes - 1}: another "
                "task's list, or labels counted from 1?"
            )
        paths.append(path)
        labels.append(label)
    if not paths:
        raise UserError(f"{file} lists no image.")
    return ImageList(paths, labels)


def _parse(line: str, where: str) -> tuple[str, int]:
    words = line.strip().rsplit(None, 1)
    if len(words) != 2 or not re.fullmatch(r"[+-]?\d+", words[1]):
        raise UserError(
            f"{where}: expected an image path and an integer label, such as "
            f"'images/test/000000.jpg 7', found '{line.strip()[:80]}'."
        )
    path = words[0].replace("\\", "/")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match(r"[A-Za-z]:", path) or "\0" in path:
        raise UserError(
            f"{where}: the path '{path}' leads out of the task's folder, which is refused."
        )
    return path, int(words[1])
