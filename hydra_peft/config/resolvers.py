"""The functions that ``conf`` calls in its interpolations, for whatever process resolves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

#: the checkout
ROOT = Path(__file__).resolve().parent.parent.parent


def register_resolvers() -> None:
    """Make ``project_root`` and the other functions here known to OmegaConf."""
    OmegaConf.register_new_resolver("project_root", lambda: str(ROOT), replace=True)
    OmegaConf.register_new_resolver("in_proportion", in_proportion, replace=True)
    OmegaConf.register_new_resolver("prepared_weights", prepared_weights, replace=True)
    OmegaConf.register_new_resolver("tuned_on", tuned_on, replace=True)


def in_proportion(length: Any, epochs: Any, recommended: Any) -> Any:
    """Shorten ``length``, part of ``recommended`` epochs, for a run of fewer epochs; round down.

    What is no whole number is given back as it is: the checks of the config say what is wrong.
    """
    counts = all(type(value) is int and value > 0 for value in (length, epochs, recommended))
    return length * epochs // recommended if counts and epochs < recommended else length


def prepared_weights(pretrained: Any, folder: Any, name: Any) -> str | None:
    """Return the file that ``scripts/prepare_weights.py`` makes; None where weights are random."""
    return None if pretrained is False else f"{folder}/{name}.safetensors"


def tuned_on(architecture: Any, tuned: Any, value: Any, neutral: Any) -> Any:
    """Return ``value``, which was chosen on the architecture ``tuned``; ``neutral`` on others."""
    return value if architecture == tuned else neutral
