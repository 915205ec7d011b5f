"""Lookup by name of the one-file-each modules of a package: methods, tasks, metrics, sources."""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
from types import ModuleType

from hydra_peft.errors import check_one_of


def module_names(package: ModuleType) -> list[str]:
    """Return the public module names of ``package``, sorted; those with a leading _ are helpers."""
    folders = tuple(package.__path__)
    return list(_names_in(folders, tuple(os.stat(folder).st_mtime_ns for folder in folders)))


@functools.cache  # of every record of thousands the method is looked up
def _names_in(folders: tuple[str, ...], changed: tuple[int, ...]) -> tuple[str, ...]:  # noqa: ARG001
    found = pkgutil.iter_modules(folders)
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


def all_modules(package: ModuleType) -> list[ModuleType]:
    """Import and return the public modules of ``package``, sorted by name."""
    return [importlib.import_module(f"{package.__name__}.{n}") for n in module_names(package)]


def find_module(package: ModuleType, name: object, key: str) -> ModuleType:
    """Import and return the module ``name`` of ``package``.

    Args:
        key: the config key or the word that the user wrote the name under, for the message.

    Raises:
        UserError: the package has no such module; the message offers near names.
    """
    names = module_names(package)
    check_one_of(key, name, names)
    return importlib.import_module(f"{package.__name__}.{name}")
