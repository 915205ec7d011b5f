"""The progress bar of a run, on a terminal: title, bar, time left, loss and rate in one line."""

from __future__ import annotations

import shutil
import sys
from threading import current_thread, main_thread
from typing import Any, TextIO

from tqdm import tqdm

from hydra_peft.training.progress import EpochRecord

#: what a bar is that still shows something
_CELLS = 8
#: a title cut to less says nothing
_TITLE = 12
_FORMAT = "{desc} |{bar}| {remaining} left{postfix}"


class ProgressBar:
    """Shows how far a training is; nothing where ``file`` is no terminal.

    The bar takes what the texts leave of the line. Where that is not enough the title is shortened
    in its middle, since it is known, and what changes is not.

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
        self._title, self._columns, self._of = title, columns, of
        self._bar: tqdm[Any] = tqdm(
            total=steps,
            initial=done,
            desc=title,
            file=file,
            leave=False,
            # Bars of several runs in threads would overwrite each other.
            disable=not file.isatty() or current_thread() is not main_thread(),
            bar_format=_FORMAT,
            ncols=columns,
            dynamic_ncols=columns is None,
        )
        self._show("")

    def step(self) -> None:
        """Move by one step."""
        self._bar.update()

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Show what the last of ``epochs`` epochs gave."""
        self._show(
            f"epoch {record.epoch}/{epochs}, loss {record.loss:.3g}, "
            f"{record.images_per_second:.0f} {self._of}/s"
        )

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()

    def _show(self, values: str) -> None:
        columns = self._columns or shutil.get_terminal_size().columns
        others = len(" ||  left, 00:00") + len(values) + _CELLS
        self._bar.set_description_str(_shortened(self._title, columns - others), refresh=False)
        self._bar.set_postfix_str(values)


def _shortened(text: str, length: int) -> str:
    """Return ``text``, with an ellipsis in its middle where it is longer than ``length``."""
    length = max(length, _TITLE)
    if len(text) <= length:
        return text
    end = (length - 1) * 2 // 3
    return f"{text[: length - 1 - end]}…{text[-end:]}"
