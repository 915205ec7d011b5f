"""What a run's progress bar shows of title, bar, loss and rate."""

from __future__ import annotations

import io
import re

import pytest
from tqdm import tqdm

from hydra_peft.runs.bar import ProgressBar
from hydra_peft.training.progress import EpochRecord


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(terminal: Terminal) -> str:
    """What the line on the terminal is now."""
    return terminal.getvalue().split("\r")[-1].rstrip()


@pytest.mark.parametrize("columns", [80, 100, 200])
@pytest.mark.parametrize("title", ["mini/sprites_orientation hydra r=2+2 seed 0", "a b seed 0"])
def test_values_do_not_push_the_bar_or_each_other_out(columns: int, title: str) -> None:
    terminal = Terminal()
    bar = ProgressBar(title, 400, of="texts", done=100, file=terminal, columns=columns)
    before = shown(terminal)
    bar.epoch(EpochRecord(100, 0.12345, 98.0, 1e-3, 1.0, 12345.6), 1000)
    line = shown(terminal)
    bar.close()
    assert line.endswith("epoch 100/1000, loss 0.123, 12346 texts/s")
    for text in (before, line):
        assert len(text) <= columns
        match = re.fullmatch(r"(.+) \|(.+)\| \S+ left.*", text)
        assert match is not None
        assert len(match[2]) >= 8
        assert abs(len(match[2].rstrip()) - len(match[2]) / 4) <= 1  # a quarter is done
        assert match[1].endswith(title[-4:])
        assert match[1].endswith("seed 0")
    if columns == 200:
        assert line.startswith(f"{title} |")


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    file = io.StringIO()
    bar = ProgressBar("title", 2, file=file)
    bar.step()
    bar.epoch(EpochRecord(1, 0.5, 50.0, 1e-3, 1.0, 100.0), 1)
    bar.close()
    assert file.getvalue() == ""


@pytest.mark.parametrize(
    ("columns", "before", "after"),
    [
        (5, "00:01", "00:01"),
        (10, "00:01 left", "00:01 left"),
        (20, "00:01 left", "00:01 left"),
        (30, "…igits hydra seed 0 00:01 left", "00:01 left, epoch 100/1000"),
        (
            40,
            "…gits hydra seed 0 |####    | 00:01 left",
            "00:01 left, epoch 100/1000, loss 0.123",
        ),
        (
            60,
            "mini/digits hydra seed 0 |###########           | 00:01 left",
            "00:01 left, epoch 100/1000, loss 0.123, 12346 texts/s",
        ),
        (
            70,
            "mini/digits hydra seed 0 |################                | 00:01 left",
            "…ts hydra seed 0 00:01 left, epoch 100/1000, loss 0.123, 12346 texts/s",
        ),
    ],
)
def test_what_has_no_room_is_left_out_whole(
    columns: int, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    bar = ProgressBar("mini/digits hydra seed 0", 400, of="texts", file=terminal, columns=columns)
    monkeypatch.setattr(tqdm, "format_interval", lambda _: "00:01")
    bar._bar.update(200)
    bar._bar.refresh()
    assert shown(terminal) == before
    bar.epoch(EpochRecord(100, 0.12345, 98.0, 1e-3, 1.0, 12345.6), 1000)
    assert shown(terminal) == after
    bar.close()
