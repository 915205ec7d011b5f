"""Packages that come with an extra of this one, imported where something is asked of them."""

from __future__ import annotations

import importlib
from types import ModuleType

from hydra_peft.errors import UserError


def optional_package(name: str, *, extra: str, use: str, otherwise: str = "") -> ModuleType:
    """Import and return the package, or one of its modules, called ``name``.

    Args:
        extra: the extra of ``hydra-peft`` that brings it.
        use: what needs it, for the message: ``text is tokenised with the package tokenizers``.
        otherwise: what else can be done, for the message.

    Raises:
        UserError: it is not installed, or its own libraries are missing.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"{use}, which cannot be imported ({error}): pip install 'hydra-peft[{extra}]'"
            f"{otherwise}."
        ) from None


def check_major_version(package: ModuleType, least: int, drawback: str) -> None:
    """Check that ``package`` is of the major version ``least`` or a later one.

    Args:
        drawback: what is wrong with earlier ones, for the message.

    Raises:
        UserError: it is not.
    """
    if int(package.__version__.split(".")[0]) < least:
        name = package.__name__
        raise UserError(
            f"version {package.__version__} of the package {name} {drawback}: "
            f"pip install '{name}>={least}'."
        )
