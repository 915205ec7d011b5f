"""Packages that only the preparation of original files needs."""

from __future__ import annotations

import importlib
from typing import Any

from hydra_peft.errors import UserError


def optional(module: str) -> Any:
    """Import ``module``, which the extra ``prepare`` of this package brings.

    Raises:
        UserError: it is not installed, or its own libraries are missing.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"this original is read with {module}, which cannot be imported ({error}): "
            "pip install 'hydra-peft[prepare]'."
        ) from None
