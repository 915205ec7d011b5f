"""Our classes as plugins of Hydra, which looks for them by names below ``hydra_plugins``."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin

PACKAGE = "hydra_plugins"
MODULE = f"{PACKAGE}.hydra_peft"


def plug_in(cls: type[Plugin]) -> str:
    """Make ``cls`` known to Hydra and return the name for a ``_target_``.

    The module of that name is made here and in no file: a file there would be loaded by every
    Hydra application of the environment.
    """
    module = sys.modules.get(MODULE)
    if module is None:
        module = sys.modules[MODULE] = ModuleType(MODULE)
        _package().__dict__["hydra_peft"] = module
    cls.__module__ = MODULE
    setattr(module, cls.__name__, cls)
    Plugins.instance().register(cls)
    return f"{MODULE}.{cls.__name__}"


def _package() -> ModuleType:
    """Return the package of installed plugins; an empty one if none is installed."""
    try:
        return importlib.import_module(PACKAGE)
    except ModuleNotFoundError:
        package = sys.modules[PACKAGE] = ModuleType(PACKAGE)
        package.__path__ = []
        return package
