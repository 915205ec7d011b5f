"""A browser, and pages on made-up studies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import ARGUMENTS, find_chromium
from study import grid, troubled, unreadable

from hydra_peft.cli.report import write_report


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """A headless Chromium, which is busy while it waits too: closed after the tests of pages.

    Tests that need it are skipped on a machine without, if they may.
    """
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield started
        started.close()


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
