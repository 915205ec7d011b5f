"""Filter of a run's log for the console."""

from __future__ import annotations

import logging
import sys


def log_to_console() -> None:
    """Show warnings and errors of the package on stderr, one line each; called twice it does once.

    Tracebacks belong into the run's ``train.log``.
    """
    log = logging.getLogger("hydra_peft")
    log.propagate = False
    for handler in list(log.handlers):
        if type(handler) is logging.StreamHandler:
            log.removeHandler(handler)  # its stream may be closed
    console = logging.StreamHandler(sys.stderr)
    console.setLevel(logging.WARNING)
    console.addFilter(lambda record: record.exc_info is None)
    console.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log.addHandler(console)
