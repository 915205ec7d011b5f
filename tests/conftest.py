"""What several test modules need."""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path

import few_images
import hydra_memo
import pytest
import torch
from isolation import isolate
from tiny_net import TinyNet
from torch import nn

import hydra_peft.backbones.models
import hydra_peft.data.sources
import hydra_peft.heads
import hydra_peft.methods

# Until all tests are collected: modules that are imported leave next to nothing to collect.
gc.disable()

# Before anything reads the environment: nothing of this machine is for tests.
isolate()
# What tests start takes one thread too: more wait for each other at every step, and where they
# follow the load, so do the last bits.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# What the disk has is asked for in tests of it alone: a run waits for it some twenty times.
os.fsync = lambda _: None

# A shell that starts this in the background ignores Ctrl-C for it and for all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

hydra_memo.remember()
few_images.remember()

ROOT = Path(__file__).resolve().parent.parent
#: the longest first
LONGEST = (
    *("test_matrix.py", "test_report_page.py", "test_train.py", "test_resume.py", "test_run.py"),
    *("test_distributed.py", "test_suites.py", "test_vtab1k.py", "test_sweeper.py"),
    *("test_experiments.py", "test_tuning.py", "test_malformed.py", "test_glue_runs.py"),
)


@pytest.fixture
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def tiny() -> TinyNet:
    """A fresh small model."""
    return TinyNet()


@pytest.fixture
def randomize() -> Callable[[nn.Module], None]:
    """Give all trainable parameters values as after training: none zero, none large."""

    def fill(model: nn.Module) -> None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.1)

    return fill


@pytest.fixture
def extra_methods(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the modules of tests/extra_methods beside our own methods; return their configs' root."""
    folder = ROOT / "tests" / "extra_methods"
    monkeypatch.setattr(hydra_peft.methods, "__path__", [*hydra_peft.methods.__path__, str(folder)])
    return folder / "conf"


@pytest.fixture
def extra_heads(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the modules of tests/extra_heads beside our own heads; return their configs' root."""
    folder = ROOT / "tests" / "extra_heads"
    monkeypatch.setattr(hydra_peft.heads, "__path__", [*hydra_peft.heads.__path__, str(folder)])
    return folder / "conf"


@pytest.fixture
def extra_tasks(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a source and a backbone of tests/ beside our own; return the root of their configs."""
    places = {
        "extra_tasks": hydra_peft.data.sources,
        "extra_backbones": hydra_peft.backbones.models,
    }
    for name, own in places.items():
        monkeypatch.setattr(own, "__path__", [*own.__path__, str(ROOT / "tests" / name)])
    return ROOT / "tests" / "extra_tasks" / "conf"


@pytest.fixture(scope="session")
def compose_train() -> Callable[..., object]:
    """Compose conf/train.yaml with overrides, as the jobs of a sweep are: options only once."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    from hydra_peft.cli.composing import Composer
    from hydra_peft.cli.train import register

    register()

    @functools.cache
    def composer() -> Composer:
        # Entry points that other tests call leave a Hydra of their own behind.
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
        return Composer(loader, loader.load_configuration("train", [], RunMode.MULTIRUN))

    def composed(*overrides: str) -> object:
        if not any(word.startswith("hydra.") for word in overrides):
            return composer()._compose(overrides)
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            return compose("train", list(overrides))

    return composed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, which one worker would be left alone with at the end."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Let one worker do the files that share what takes long to start."""
    from scheduling import scheduler

    return scheduler(config, log)


def pytest_collection_finish() -> None:
    """Let the collector look less often, and not at torch's objects and thousands of tests.

    They stay to the end, and what libraries make that tests import does too.
    """
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 10, 50)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests for a GPU where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no GPU: torch finds no CUDA device")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what a machine without a browser or a GPU did not test."""
    skipped = terminalreporter.stats.get("skipped", [])
    for reason, sentence in (
        ("no browser:", "tests of web pages were skipped: no browser; install Debian's chromium."),
        (
            "no GPU:",
            "tests were skipped: no GPU; where there is one, scripts/bench.py gpu runs them.",
        ),
    ):
        count = sum(reason in str(report.longrepr) for report in skipped)
        if count:
            terminalreporter.write_line(f"{count} {sentence}")
