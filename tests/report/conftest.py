"""A browser, and pages on made-up studies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from chromium import ARGUMENTS, find_chromium
from study import grid, troubled, unreadable

from hydra_peft.cli.report import write_report

#: what the tests of pages have opened: a browser, and what closes it
OPENED: list[tuple[Any, ExitStack]] = []


@pytest.fixture
def browser() -> Any:
    """A headless Chromium; tests that need it are skipped on a machine without, if they may."""
    if not OPENED:
        path = find_chromium()
        from playwright.sync_api import sync_playwright

        with ExitStack() as stack:
            playwright = stack.enter_context(sync_playwright())
            started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
            stack.callback(started.close)
            OPENED.append((started, stack.pop_all()))
    return OPENED[0][0]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """Close the browser, which is busy while it waits too, after the last test of this folder."""
    yield
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        while OPENED:
            OPENED.pop()[1].close()


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs below a folder: a whole grid, runs in trouble, and folders that are none any more."""
    runs = tmp_path_factory.mktemp("study") / "runs"
    grid(runs, seeds=2)
    troubled(runs)
    unreadable(runs)
    return runs


@pytest.fixture(scope="session")
def report(studied: Path) -> Path:
    """The report on them."""
    out = studied.parent / "report.html"
    write_report(studied, out)
    return out
