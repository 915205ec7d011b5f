"""Public weights under names of our own, one module each that binds ``WEIGHTS``."""

from __future__ import annotations

import sys

from hydra_peft.registry import find_module, module_names
from hydra_peft.workshop.prepare.weights._base import PublicFolder, PublicWeights


def find_weights(name: str) -> PublicWeights | PublicFolder:
    """Return the public weights called ``name``.

    Raises:
        UserError: there are none; the message names those that there are.
    """
    found: PublicWeights | PublicFolder = find_module(
        sys.modules[__name__], name, "weights"
    ).WEIGHTS
    return found


def weights_names() -> list[str]:
    """Return the names of all public weights that can be prepared."""
    return module_names(sys.modules[__name__])
