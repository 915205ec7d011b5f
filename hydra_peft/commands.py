"""Commands by the words that are typed, and whether this one is a script or ``hydra-peft``."""

from __future__ import annotations

import re
import sys

#: what the installed command is called, see :mod:`hydra_peft.__main__`
PROGRAM = "hydra-peft"
#: module of :mod:`hydra_peft.cli` by the word that is typed
COMMANDS = {
    "train": "train",
    "status": "status",
    "tables": "tables",
    "report": "report",
    "figures": "figures",
    "evaluate": "evaluate",
    "predict": "predict",
    "export": "export",
    "check": "check_data",
    "prepare": "prepare_data",
    "weights": "prepare_weights",
    "bench": "bench",
    "demo": "demo",
}
_SCRIPT = re.compile(r"(?:python )?scripts/(\w+)\.py\b")


def as_started(text: str) -> str:
    """Return ``text`` with the commands in it in the form in which this one was typed."""
    if not (sys.argv and sys.argv[0].startswith(f"{PROGRAM} ")):
        return text
    words = {module: word for word, module in COMMANDS.items()}
    return _SCRIPT.sub(
        lambda found: f"{PROGRAM} {words[found[1]]}" if found[1] in words else found[0], text
    )


def command(script: str) -> str:
    """Return how ``scripts/<script>.py`` is called where this command was."""
    return as_started(f"python scripts/{script}.py")
