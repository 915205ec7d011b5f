"""The train entry point, called in the tests' own process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from few_images import SIZES, shorten

from hydra_peft.cli import train

#: from words to exit code, stdout and stderr
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Sequence[str]:
    """Words that make a run on a task of mini short; a module may have its own."""
    shorten(monkeypatch)
    sizes = ",".join(f"{name}:{size}" for name, size in SIZES.items())
    return [
        "train.epochs=1",
        "scheduler.warmup_epochs=0",
        "train.batch_size=50",
        "device=cpu",
        f"dataset.sizes={{{sizes}}}",
    ]


@pytest.fixture
def cli(
    short: Sequence[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Cli:
    """Call the entry point with words and those of ``short`` whose keys they do not give."""

    def call(*words: str) -> tuple[int, str, str]:
        from hydra.core.global_hydra import GlobalHydra

        paths = [f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
        given = {word.lstrip("+~").partition("=")[0] for word in words}
        usual = [word for word in (*short, *paths) if word.partition("=")[0] not in given]
        monkeypatch.setattr(sys, "argv", ["scripts/train.py", *usual, *words])
        before = signal.getsignal(signal.SIGTERM)
        GlobalHydra.instance().clear()
        try:
            code = train.main()
        finally:
            signal.signal(signal.SIGTERM, before)
            GlobalHydra.instance().clear()
        return (code, *capfd.readouterr())

    return call
