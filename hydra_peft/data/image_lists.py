"""List files of the community layout: one image path and one label a line."""

from __future__ import annotations

import re
import stat
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
MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ImageList:
    """What list files say: paths below the task's folder, and labels."""

    paths: list[str]
    labels: list[int]


def read_list(file: Path, classes: int) -> ImageList:
    """Read a list file: per line a path, white space, an integer label.

    Line ends of any kind, blank lines, tabs and a byte-order mark are accepted; so are paths with
    spaces, since the label is what stands last.

    Raises:
        UserError: the file cannot be read, or a line is malformed, has a label outside
            ``[0, classes)``, a path that leaves the folder, or one that an earlier line has; the
            message names the line.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{file} is no ordinary file: not a list of images.")
        if status.st_size > MAX_BYTES:
            raise UserError(f"{file} is larger than {MAX_BYTES} bytes: not a list of images.")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not a text file of image paths and labels.") from None
    lines: dict[str, int] = {}
    labels: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        path, label = _parse(line, f"{file}, line {number}")
        if not 0 <= label < classes:
            raise UserError(
                f"{file}, line {number}: label {label} is outside 0 to {classes - 1}: another "
                "task's list, or labels counted from 1?"
            )
        if lines.setdefault(path, number) != number:
            raise UserError(
                f"{file}, line {number}: '{path}' stands already in line {lines[path]}: fetch or "
                "prepare the list again."
            )
        labels.append(label)
    if not lines:
        raise UserError(f"{file} lists no image.")
    return ImageList(list(lines), labels)


def _parse(line: str, where: str) -> tuple[str, int]:
    words = line.strip().rsplit(None, 1)
    if len(words) != 2 or not re.fullmatch(r"[+-]?[0-9]{1,9}", words[1]):
        raise UserError(
            f"{where}: expected an image path and an integer label, such as "
            f"'images/test/000000.jpg 7', found '{line.strip()[:80]}'."
        )
    path = words[0].replace("\\", "/")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or re.match(r"[A-Za-z]:", path):
        raise UserError(
            f"{where}: the path '{path}' leads out of the task's folder, which is refused."
        )
    if "\0" in path:
        raise UserError(f"{where}: the path {path!r} holds a zero byte, as no file's name does.")
    return str(pure), int(words[1])
