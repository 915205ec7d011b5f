"""The progress bar of a run, on a terminal: title, bar, time left, loss and rate in one line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from threading import current_thread, main_thread
from typing import TextIO

from tqdm import tqdm
from tqdm.utils import disp_len

from hydra_peft.training.progress import EpochRecord

#: what a bar is that still shows something
_CELLS = 8
#: a title cut to less says nothing
_TITLE = 12
#: characters of the usual time left: the title does not move when it becomes known
_TIME = len("00:00 left")


class _Line(tqdm):
    """A line of whole pieces: where there is no room for all, the least important ones are left
    out first, which are the bar, the title, and the last of the values; the time left stays."""

    values: Sequence[str] = ()

    def __str__(self) -> str:
        told = self.format_dict
        columns = told["ncols"] or shutil.get_terminal_size().columns

        def drawn(form: str, title: str = "", rest: str = "") -> str:
            own = {"bar_format": form, "ncols": columns, "prefix": title, "rest": rest}
            return str(self.format_meter(**{**told, **own}))

        left = drawn("{remaining} left")
        rest = ", ".join((left, *self.values))
        taken = disp_len(rest) + max(_TIME - len(left), 0)
        for form, others in (("{desc} |{bar}| {rest}", len(" || ") + _CELLS), ("{desc} {rest}", 1)):
            room = columns - taken - others
            if room >= min(_TITLE, disp_len(self.desc)):
                return drawn(form, _shortened(self.desc, room), rest)
        pieces = [", ".join((left, *self.values[:count])) for count in range(len(self.values) + 1)]
        pieces = ["", left.removesuffix(" left"), *pieces]
        return next(text for text in reversed(pieces) if disp_len(text) <= columns)


class ProgressBar:
    """Shows how far a training is; nothing where ``file`` is no terminal.

    The bar takes what the texts leave of the line. Where that is not enough the title is shortened,
    since it is known, and what changes is not; then whole pieces are left out.

    Args:
        title: what is trained.
        steps: number of training steps in all.
        of: what is trained on, such as ``images``.
        done: how many were done before.
        file: where it is shown; None is standard error.
        columns: of the terminal; None asks it, again and again.
    """

    def __init__(
        self,
        title: str,
        steps: int,
        *,
        of: str = "images",
        done: int = 0,
        file: TextIO | None = None,
        columns: int | None = None,
    ) -> None:
        file = file or sys.stderr
        self._of = of
        self._bar = _Line(
            total=steps,
            initial=done,
            desc=title,
            file=file,
            leave=False,
            # Bars of several runs in threads would overwrite each other.
            disable=not file.isatty() or current_thread() is not main_thread(),
            ncols=columns,
            dynamic_ncols=columns is None,
        )

    def step(self) -> None:
        """Move by one step."""
        self._bar.update()

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Show what the last of ``epochs`` epochs gave."""
        self._bar.values = (
            f"epoch {record.epoch}/{epochs}",
            f"loss {record.loss:.3g}",
            f"{record.images_per_second:.0f} {self._of}/s",
        )
        self._bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def _shortened(text: str, length: int) -> str:
    """Return ``text``, with an ellipsis where it is wider than ``length``: before its first
    word, the task, since the others tell methods apart, or else in its middle."""
    if disp_len(text) <= length:
        return text
    first, _, others = text.partition(" ")
    for count in range(len(first) - 1, 1, -1):
        short = f"…{first[-count:]} {others}"
        if others and disp_len(short) <= length:
            return short
    room = length
    while True:
        end = (room - 1) * 2 // 3
        short = f"{text[: room - 1 - end]}…{text[len(text) - end :]}"
        if disp_len(short) <= length:  # characters may be two columns wide
            return short
        room -= 1
