"""Our classes as plugins of Hydra, which looks for them by names below ``hydra_plugins``.

One of them shows Hydra the yaml files that our own plugins (:mod:`hydra_peft.plugins`) bring.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin
from hydra.plugins.search_path_plugin import SearchPathPlugin

from hydra_peft.plugins import conf_roots

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


class PluginConfigs(SearchPathPlugin):
    """The folders of yaml files of installed plugins, behind ``conf`` in Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add them."""
        for root in conf_roots():
            search_path.append(provider="hydra_peft plugins", path=f"file://{root}")


def register_plugins() -> None:
    """Make the yaml files of installed plugins known to Hydra, if there are any."""
    if conf_roots() and not hasattr(sys.modules.get(MODULE), PluginConfigs.__name__):
        plug_in(PluginConfigs)


def _package() -> ModuleType:
    """Return the package of installed plugins; an empty one if none is installed."""
    try:
        return importlib.import_module(PACKAGE)
    except ModuleNotFoundError:
        package = sys.modules[PACKAGE] = ModuleType(PACKAGE)
        package.__path__ = []
        return package
