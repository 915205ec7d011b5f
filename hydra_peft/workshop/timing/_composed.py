"""A run's config as the command line composes it, for suites that measure whole runs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from hydra_peft.checkout import script_command
from hydra_peft.config.resolvers import register_resolvers


def composed(words: Sequence[str]) -> str:
    """Return the config of a run with ``words`` as yaml, for ``check_recorded``.

    It is composed by a process of its own, since Hydra is not for here. Interpolations stay: what
    some point to is found out in the data.
    """
    register_resolvers()
    command = [*script_command("train"), "--cfg", "job", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
