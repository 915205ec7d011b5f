"""A pytest plugin that prints each test's outcome as a line of json, when the test has ended."""

from __future__ import annotations

import json
import sys
from typing import Any

MARK = "hydra_peft test: "


def pytest_runtest_logreport(report: Any) -> None:
    """Print what became of a test: of its call, or of a phase beside it that did not pass."""
    if report.when != "call" and report.passed:
        return
    said = ""
    if report.skipped and isinstance(report.longrepr, tuple):
        said = str(report.longrepr[2])
    elif report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        said = str(report.longrepr if crash is None else crash.message)
    line = {
        "test": report.nodeid.removeprefix("tests/"),
        "outcome": report.outcome,
        "s": round(report.duration, 3),
        "said": " ".join(said.split())[:500],
    }
    sys.__stdout__.write(f"\n{MARK}{json.dumps(line)}\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
