"""Packages that only the preparation of original files needs."""

from __future__ import annotations

from typing import Any

from hydra_peft.optional import optional_package


def optional(module: str) -> Any:
    """Import ``module``, which the extra ``prepare`` of this package brings.

    Raises:
        UserError: it is not installed, or its own libraries are missing.
    """
    return optional_package(module, extra="prepare", use=f"this original is read with {module}")
