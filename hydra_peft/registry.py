"""Lookup by name of the one-file-each modules of a package: methods, tasks, metrics, sources.

Beside our own modules there are plugins (:mod:`hydra_peft.plugins`).
"""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
from types import ModuleType

from hydra_peft import plugins
from hydra_peft.errors import check_one_of
from hydra_peft.limits import Words


def own_names(package: ModuleType) -> list[str]:
    """Return the public module names of ``package``, sorted; those with a leading _ are helpers."""
    folders = tuple(package.__path__)
    return list(_names_in(folders, tuple(os.stat(folder).st_mtime_ns for folder in folders)))


@functools.cache  # of every record of thousands the method is looked up
def _names_in(folders: tuple[str, ...], changed: tuple[int, ...]) -> tuple[str, ...]:  # noqa: ARG001
    found = pkgutil.iter_modules(folders)
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


def module_names(package: ModuleType) -> list[str]:
    """Return the names of the public modules of ``package`` and of its plugins, sorted."""
    return sorted({*own_names(package), *plugins.names(package.__name__)})


class ModuleOf(Words):
    """The name of a public module of ``package``, for messages: who looks it up checks it."""

    def __init__(self, package: str) -> None:
        super().__init__()
        self.package = package

    def admit(self, value: object) -> bool:
        """Whether ``value`` may be a name."""
        return isinstance(value, str)

    def __str__(self) -> str:
        return f"one of {', '.join(module_names(importlib.import_module(self.package)))}"


def is_known(package: ModuleType, name: object) -> bool:
    """Whether ``package`` has a public module ``name``, or a plugin of that name."""
    # Installed packages are looked through only where the name is not our own: that takes time.
    return name in own_names(package) or name in plugins.names(package.__name__)


def all_modules(package: ModuleType) -> list[ModuleType]:
    """Import and return the public modules of ``package``, sorted by name."""
    return [importlib.import_module(f"{package.__name__}.{n}") for n in own_names(package)]


def find_module(package: ModuleType, name: object, key: str) -> ModuleType:
    """Import and return the module ``name`` of ``package``.

    Args:
        key: the config key or the word that the user wrote the name under, for the message.

    Raises:
        UserError: the package has no such module; the message offers near names.
    """
    if name in own_names(package):
        return importlib.import_module(f"{package.__name__}.{name}")
    check_one_of(key, name, module_names(package))
    return plugins.load(package.__name__, str(name))
