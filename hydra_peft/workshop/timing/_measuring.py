"""Run a suite so that what it has measured is written whatever ends it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from hydra_peft.errors import UserError
from hydra_peft.plain_text import in_one_line
from hydra_peft.training.devices import exact_float32
from hydra_peft.workshop.timing._report import Report


def measure(
    suite: str,
    settings: Any,
    device: torch.device,
    path: Path | None,
    say: Callable[[str], None],
) -> Report:
    """Run ``suite`` on ``device`` and write its report to ``path``, if one is given.

    Args:
        settings: the suite's own, ``Settings()`` of its module or another instance.
        say: takes a line for each thing measured, at once.

    Raises:
        BaseException: what the suite raises; what it had measured is then in
            ``<name>.incomplete.json`` beside ``path``, with the reason.
    """
    module = import_module(f"hydra_peft.workshop.timing.{suite}")
    report = Report(suite, device, path, say)
    try:
        with exact_float32():  # as runs compute
            module.run(device, settings, report)
    except BaseException as error:
        if report.rows or not isinstance(error, UserError | KeyboardInterrupt):
            partial = report.save(_reason(error))
            if partial is not None and report.rows:
                say(f"measured before: {partial}")
        raise
    report.finish()
    return report


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return in_one_line(f"{type(error).__name__}: {error}")[:2000]
