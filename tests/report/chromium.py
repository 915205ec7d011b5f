"""Where the browser is, or what is to be done without one."""

from __future__ import annotations

import os
import shutil

import pytest

#: set to 1 where a browser is required, as by .ci/run
REQUIRE = "HYDRA_PEFT_REQUIRE_BROWSER"
#: a browser that is nobody's: no network of its own, no profile
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_chromium() -> str:
    """Return the path of Chromium; without it the test is skipped, or fails where it must run."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"no Chromium was found, and {REQUIRE}=1 requires one: install chromium.")
    if path is None:
        pytest.skip("no browser: chromium is not installed")
    return path
