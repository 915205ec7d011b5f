"""Plugins: methods, metrics, backbones, heads, sources and the like from packages of other people.

A plugin is one module, made like one of ours, that binds what it offers to the same name (a method
to ``METHOD``). An installed package names it as an entry point, in a group for each kind
(:data:`KINDS`)::

    [project.entry-points."hydra_peft.methods"]
    my_method = "my_package.my_method"

    [project.entry-points."hydra_peft.conf"]
    my_package = "my_package.conf"      # a folder with method/my_method.yaml

A module that is not installed is named on the command line, ``plugins=[my_package.my_method]``; the
last part of its name is what it is called. Nothing that a run's folder says is imported. Our own
modules go before installed plugins of the same name.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import inspect
import itertools
import pkgutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from hydra_peft.errors import UserError
from hydra_peft.plain_text import in_one_line, quoted

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: by our package that they add to: the group of their entry points, what a module of it binds, and
#: the class in ``_base`` of the package that this is derived from, or an object of
KINDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "hydra_peft.methods": ("hydra_peft.methods", ("METHOD",), "Method"),
    "hydra_peft.metrics": ("hydra_peft.metrics", ("METRIC",), "Metric"),
    "hydra_peft.tasks": ("hydra_peft.tasks", ("TASK",), "Task"),
    "hydra_peft.heads": ("hydra_peft.heads", ("HEAD",), "Head"),
    "hydra_peft.backbones.models": ("hydra_peft.backbones", ("BACKBONE",), ""),
    "hydra_peft.data.sources": ("hydra_peft.sources", ("load", "read"), ""),
    "hydra_peft.optimizers": ("hydra_peft.optimizers", ("OPTIMIZER",), "Optimizer"),
    "hydra_peft.schedules": ("hydra_peft.schedules", ("SCHEDULE",), "Schedule"),
    "hydra_peft.augmentations": ("hydra_peft.augmentations", ("AUGMENTATION",), "Augmentation"),
    "hydra_peft.trackers": ("hydra_peft.trackers", ("TRACKER",), "Tracker"),
}
#: group of the folders of yaml files that belong to plugins
CONF_GROUP = "hydra_peft.conf"
#: modules that ``plugins=`` named, by package and name
_used: dict[str, dict[str, ModuleType]] = {package: {} for package in KINDS}


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from.

    Attributes:
        module: its full name.
        distribution, version: the installed package that has it; empty where none does.
        sha256: of the module's file.
    """

    module: str
    distribution: str
    version: str
    sha256: str


def names(package: str) -> list[str]:
    """Return the names of the plugins of ``package``, one of ours by its full name, sorted."""
    return sorted({*_used.get(package, {}), *_installed(package)})


def load(package: str, name: str) -> ModuleType:
    """Import and return the plugin ``name`` of ``package``.

    Raises:
        UserError: it cannot be imported, or does not bind what such a module has to.
    """
    if (module := _used[package].get(name)) is not None:
        return module
    point, *others = _installed(package)[name]
    if others:
        both = " and ".join(f"{_shown(one)} ({one.value})" for one in (point, *others))
        raise UserError(f"there are several plugins of one name, {both}: uninstall all but one.")
    module = _imported(point.value.partition(":")[0], f"the plugin {_shown(point)}")
    if not _offers(module, package):
        raise UserError(
            f"the plugin {_shown(point)} is none: {module.__name__} binds no "
            f"{' or '.join(KINDS[package][1])}, as a module of {package} does."
        )
    _check(module, package, name, f"the plugin {_shown(point)}")
    return module


def use(modules: Iterable[str]) -> None:
    """Import ``modules`` and make what they offer known by the last parts of their names.

    Raises:
        UserError: one cannot be imported, offers nothing or something else than it says, or has the
            name of one of our own or of another one.
    """
    for full in modules:
        if any(full == m.__name__ for found in _used.values() for m in found.values()):
            continue
        module = _imported(full, f"plugins: {quoted(full)}")
        offered = [package for package in KINDS if _offers(module, package)]
        if not offered:
            listed = ", ".join(" or ".join(bound) for _, bound, _ in KINDS.values())
            raise UserError(f"plugins: {full} offers nothing: it binds none of {listed}.")
        name = full.rpartition(".")[-1]
        for package in offered:
            if _is_ours(package, name):
                raise UserError(
                    f"plugins: {full} has the name of {package}.{name}: call it otherwise."
                )
            if (other := _used[package].get(name)) is not None:
                raise UserError(
                    f"plugins: {full} has the last name of {other.__name__}: call it otherwise."
                )
            _check(module, package, name, f"plugins: {full}")
        for package in offered:
            _used[package][name] = module


def used() -> list[str]:
    """Return the full names of the modules that :func:`use` made known, sorted."""
    return sorted({m.__name__ for found in _used.values() for m in found.values()})


def origin(package: str, name: str) -> dict[str, Any] | None:
    """Return the :class:`Origin` of the plugin ``name`` of ``package`` as plain values.

    None where it is no plugin.
    """
    if name in _used.get(package, {}):
        module = _used[package][name].__name__
        distribution, version = _distribution_of(module)
    elif name in _installed(package) and not _is_ours(package, name):
        point = _installed(package)[name][0]
        module = point.value.partition(":")[0]
        distribution, version = (point.dist.name, point.dist.version) if point.dist else ("", "")
    else:
        return None
    return vars(Origin(module, distribution, version, _hash(module)))


def hash_of(module: str) -> str | None:
    """Return the sha256 of the file of ``module``; None where it is no plugin that is known here.

    The name may be anybody's: only of known plugins a file is looked for.
    """
    installed = {
        point.value.partition(":")[0]
        for package in KINDS
        for points in _installed(package).values()
        for point in points
    }
    return _hash(module) if module in installed or module in used() else None


def check_origins(origins: object, run: str) -> None:
    """Check that the plugins that a run recorded are known here, and are the same code.

    Args:
        origins: by key, as :func:`hydra_peft.config.identity.plugin_origins` gives them.
        run: which run it is, for the message.

    Raises:
        UserError: one is not known or another one; the message says what is to be done.
    """
    told = origins.items() if isinstance(origins, dict) else ()
    plugins = [(str(key), _recorded(one)) for key, one in told if isinstance(one, dict)]
    missing = [one for _, one in plugins if hash_of(one.module) is None]
    for key, one in plugins:
        of = " ".join(in_one_line(part) for part in (one.distribution, one.version) if part)
        wanted = f"{run} has its {key} from {in_one_line(one.module)}" + f" ({of})" * bool(of)
        if one in missing:
            named = naming(m.module for m in missing if m == one or _can_be_named(m))
            if _can_be_named(one):
                raise UserError(f"{wanted}, which a run's folder may not load: {named}.")
            remedy = "install it" if of else f"put its folder on PYTHONPATH, and {named}"
            raise UserError(f"{wanted}, which this Python does not have: {remedy}.")
        if hash_of(one.module) != one.sha256:
            raise UserError(f"{wanted}, and here that module is another one: install that version.")


def naming(modules: Iterable[str]) -> str:
    """Return what is to be done for ``modules`` to be known beside those that are."""
    names = sorted({*modules, *used()})
    return (
        f"give plugins=[{','.join(names)}], if you trust that code (in Python: "
        f"from hydra_peft.plugins import use; use({names}))"
    )


def _recorded(told: dict[str, Any]) -> Origin:
    parts = (told.get(field.name) for field in dataclasses.fields(Origin))
    return Origin(*("" if part is None else str(part) for part in parts))


def _can_be_named(one: Origin) -> bool:
    """Whether ``plugins=`` would find it, and of that distribution.

    Nothing is imported for that, no parent package either: the name may be anybody's.
    """
    first, *others = one.module.split(".")
    if not all(part.isidentifier() for part in (first, *others)):
        return False
    try:
        spec = importlib.util.find_spec(first)
    except ValueError:  # __main__
        return False
    for part in others:
        places = list((spec.submodule_search_locations if spec else None) or [])
        spec = PathFinder.find_spec(part, places)
    same = (one.distribution, one.version)
    return spec is not None and _distribution_of(one.module) == same


def conf_roots() -> list[Path]:
    """Return the folders of yaml files that installed plugins bring, sorted."""
    found: set[Path] = set()
    for point in itertools.chain(*_entry_points().get(CONF_GROUP, {}).values()):
        try:
            spec = importlib.util.find_spec(point.value)
        except (ImportError, ValueError):
            spec = None
        places = (spec.submodule_search_locations if spec else None) or []
        found |= {Path(place) for place in places if Path(place).is_dir()}
    return sorted(found)


def _installed(package: str) -> dict[str, list[EntryPoint]]:
    return _entry_points().get(KINDS[package][0], {}) if package in KINDS else {}


@functools.cache
def _entry_points() -> dict[str, dict[str, list[EntryPoint]]]:
    """Return the entry points of our groups by group and name: of one name each module once."""
    from importlib.metadata import entry_points

    found = entry_points()
    groups: dict[str, dict[str, list[EntryPoint]]] = {}
    for group in (*(group for group, *_ in KINDS.values()), CONF_GROUP):
        named = groups.setdefault(group, {})
        for point in found.select(group=group):
            points = named.setdefault(point.name, [])
            if all(point.value != other.value for other in points):
                points.append(point)
    return groups


def _imported(full: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(full)
    except (Exception, SystemExit) as error:  # whatever somebody's module does when it is loaded
        said = in_one_line(str(error)).rstrip(".") or type(error).__name__
        raise UserError(
            f"{what} cannot be imported by {sys.executable} ({type(error).__name__}: {said}): "
            "install its package there, or mend it."
        ) from None


def _is_ours(package: str, name: str) -> bool:
    """Whether ``package`` has a module ``name`` of its own."""
    places = importlib.import_module(package).__path__
    return name in {module.name for module in pkgutil.iter_modules(places)}


def _offers(module: ModuleType, package: str) -> bool:
    """Whether ``module`` binds what one of ``package`` does; functions must be Python's own."""
    own = vars(module)
    if package == "hydra_peft.data.sources":
        return any(
            all(inspect.isfunction(own.get(name)) for name in names)
            for names in (("read",), ("load", "labels_of"))
        )
    return any(bound in own for bound in KINDS[package][1])


def _check(module: ModuleType, package: str, name: str, what: str) -> None:
    """Check that ``module`` binds a class, or a metric, of the kind that ``package`` has.

    Raises:
        UserError: something else is bound, or it has another name than the plugin.
    """
    _, (bound, *_), base = KINDS[package]
    value = vars(module).get(bound)
    needed: Any = getattr(importlib.import_module(f"{package}._base"), base) if base else object
    is_object = base == "Metric"
    fits = isinstance(value, needed if is_object else type)
    if bound.isupper() and not (fits and (is_object or issubclass(cast(type, value), needed))):
        kind = f"{base} of {package}._base"
        wanted = f"a {kind}" if is_object else f"a class{f' derived from {kind}' * bool(base)}"
        raise UserError(f"{what} binds {bound} to {quoted(value)}: it must be {wanted}.")
    called = getattr(value, "name", getattr(value, "kind", name))
    if base and called != name:
        raise UserError(
            f"{what} is called '{name}', and its {bound} {quoted(called)}: give both one name."
        )


def _shown(point: EntryPoint) -> str:
    of = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"'{point.name}'{of}"


@functools.cache
def _hash(module: str) -> str:
    """Return the sha256 of the file of ``module``, which is not imported for that if it is not."""
    loaded = sys.modules.get(module)
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(module)
    file = spec.origin if spec is not None else None
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


def _distribution_of(module: str) -> tuple[str, str]:
    """Return name and version of the installed package that has ``module``; empty without one."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    owners = packages_distributions().get(module.partition(".")[0], [])
    try:
        return (owners[0], version(owners[0])) if owners else ("", "")
    except PackageNotFoundError:
        return "", ""
