"""A browser, and pages on made-up studies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from study import grid, troubled, unreadable

from hydra_peft.cli.report import write_report

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: set where a browser is required, such as by .ci/run
REQUIRE = "HYDRA_PEFT_REQUIRE_BROWSER"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; tests that need it are skipped on a machine without, if they may."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get(REQUIRE) == "1":
            pytest.fail(f"no Chromium was found, and {REQUIRE}=1 requires one: install chromium.")
        pytest.skip("no browser: chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="session")
def studied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs below a folder: a whole grid, runs in trouble, and folders that are none any more."""
    runs = tmp_path_factory.mktemp("study") / "runs"
    grid(runs, seeds=2, epochs=3)
    troubled(runs)
    unreadable(runs)
    return runs


@pytest.fixture(scope="session")
def report(studied: Path) -> Path:
    """The report on them."""
    out = studied.parent / "report.html"
    write_report(studied, out)
    return out
