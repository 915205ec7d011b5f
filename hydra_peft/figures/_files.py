"""A picture, its caption and its numbers as files, the same bytes for the same data."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.figures._style import style
from hydra_peft.files import atomic_write
from hydra_peft.plain_text import in_one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

    from hydra_peft.figures._base import FigureData

#: what a file says of itself; without these matplotlib writes its version and the time
_METADATA: dict[str, dict[str, str | None]] = {
    "pdf": {"Creator": "hydra_peft", "Producer": "matplotlib", "CreationDate": None},
    "png": {"Software": None},
    "svg": {"Creator": "hydra_peft", "Date": None},
}
#: where a file says what it shows
_CAPTIONS = {"pdf": "Subject", "png": "Description", "svg": "Description"}

#: what is saved; the report takes svg
_SAVED = ("pdf", "png")


def render(picture: Picture, form: str, caption: str = "") -> bytes:
    """Return ``picture`` as a file of the form ``pdf``, ``png`` (200 dots an inch) or ``svg``.

    Its ``caption`` is among what the file says of itself.
    """
    buffer = io.BytesIO()
    said = {_CAPTIONS[form]: in_one_line(caption)} if caption else {}
    with style(), warnings.catch_warnings():
        # Letters that the font lacks are boxes, which is seen.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        picture.savefig(buffer, format=form, metadata=_METADATA[form] | said)
    return buffer.getvalue()


def save(picture: Picture, data: FigureData, path: Path) -> list[Path]:
    """Write ``picture``, its caption and the tables of ``data`` to ``path`` with endings.

    These are ``.pdf``, ``.png``, ``.txt`` (caption and notes), ``.csv``, and ``-<name>.csv`` for
    each further table.

    Returns:
        The files.

    Raises:
        OSError: the files cannot be written.
    """
    files = {
        path.with_name(f"{path.name}.{form}"): render(picture, form, data.caption)
        for form in _SAVED
    }
    text = "\n\n".join(in_one_line(sentence) for sentence in (data.caption, *data.notes))
    files[path.with_name(f"{path.name}.txt")] = f"{text}\n".encode()
    for name, table in data.tables.items():
        ending = f"-{name}.csv" if name else ".csv"
        text = table.to_csv(index=False, lineterminator="\n")
        files[path.with_name(f"{path.name}{ending}")] = text.encode()
    for file, content in files.items():
        atomic_write(file, content)
    return list(files)
