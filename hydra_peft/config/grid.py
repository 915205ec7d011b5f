"""``protocol.grid``: the hyper-parameters that tuning chooses, by dotted key of the config.

A grid maps keys such as ``optimizer.lr`` to lists of values. Once it is checked
(:mod:`hydra_peft.config.tunable`) its keys are dotted, its values typed, and its order is the same
however it was written. Keys of an option that a run's method, optimizer or schedule does not have
are left out for that run.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hydra_peft.errors import UserError, placed
from hydra_peft.limits import is_logarithmic

if TYPE_CHECKING:
    from hydra_peft.config.schema import RunConfig

#: the three keys that older code knew, in its order, by the names that identities have for them
SHORT = {"optimizer.lr": "lr", "method.scale": "scale", "method.dropout": "dropout"}
_LONG = {short: key for key, short in SHORT.items()}
#: more combinations than anybody trains: a slip of the keyboard
MAX_COMBINATIONS = 10_000

T = TypeVar("T")
#: ELEVATER's search as its toolkit has it, and with the slips of the release that copied it
RELEASED = "elevater_released"
COARSE_TO_FINE = ("elevater", RELEASED)
#: what it goes through
RATE_AND_DECAY = ("optimizer.lr", "optimizer.weight_decay")
#: dotted keys to their values, checked
Grid = Mapping[str, list[Any]]


def dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` by dotted key, the short names of older code replaced."""
    return {_LONG.get(key, key): value for key, value in values.items()}


def shortened_keys(values: Mapping[str, T]) -> dict[str, T]:
    """Return ``values`` as identities name them: older code's keys under their short names."""
    return {SHORT.get(key, key): value for key, value in values.items()}


def ordered(grid: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``grid`` in the order in which searches try it: older code's keys, then by name."""
    first = list(SHORT)
    return dict(
        sorted(grid.items(), key=lambda item: (item[0] not in first, _place(item[0]), item[0]))
    )


def _place(key: str) -> int:
    return list(SHORT).index(key) if key in SHORT else 0


@dataclass(frozen=True)
class Choice:
    """One combination of values that tuning tries.

    Attributes:
        values: by dotted key.
    """

    values: dict[str, Any]

    def apply(self, config: RunConfig, *, epochs: int | None = None, **groups: Any) -> RunConfig:
        """Return ``config`` with these values, and with ``groups`` in the place of its own.

        Args:
            epochs: to train, where these values do not say it; None leaves it as it is.
        """
        changes = self.changes()
        if epochs is not None:
            changes["train"] = {"epochs": epochs, **changes.get("train", {})}
        changed = {
            group: dataclasses.replace(getattr(config, group), **values)
            for group, values in changes.items()
        }
        return dataclasses.replace(config, **changed, **groups)

    def changes(self) -> dict[str, dict[str, Any]]:
        """Return the values by group of the config and name."""
        return by_group(self.values)

    def __str__(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.values.items())


def by_group(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return ``values`` of dotted keys by group, then name."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        group, _, name = key.partition(".")
        found.setdefault(group, {})[name] = value
    return found


def used(config: RunConfig) -> dict[str, list[Any]]:
    """Return the part of ``protocol.grid`` that the method, optimizer, ... of ``config`` have."""
    return {key: v for key, v in config.protocol.grid.items() if _has(config, key)}


def _has(config: RunConfig, key: str) -> bool:
    group, _, name = key.partition(".")
    return name in {field.name for field in dataclasses.fields(getattr(config, group))}


def logarithmic(config: RunConfig) -> set[str]:
    """Return the keys of :func:`used` whose values differ by factors rather than by steps."""
    parts = {key: key.partition(".") for key in used(config)}
    return {
        k for k, (group, _, n) in parts.items() if is_logarithmic(type(getattr(config, group)), n)
    }


def choices(config: RunConfig) -> list[Choice]:
    """Return every combination of ``protocol.grid`` that means something for ``config``."""
    return list(_combinations(used(config)))


def _combinations(grid: Grid) -> Iterator[Choice]:
    for values in itertools.product(*grid.values()):
        yield Choice(dict(zip(grid, values, strict=True)))


def check_choices(config: RunConfig) -> None:
    """Check that every combination that tuning may try is a run that could be asked for.

    Of a search that does not try all, the ends of its lists are combined.

    Raises:
        UserError: one is not, there is nothing to choose from, or far too much.
    """
    protocol = config.protocol
    if not protocol.grid:
        raise UserError(
            "protocol.tune=true has nothing to choose from, since protocol.grid is empty: give it "
            "values, as in protocol.grid.optimizer.lr=[1e-3,5e-3]."
        )
    grid = used(config)
    if not grid:
        raise UserError(
            f"protocol.tune=true has nothing to choose for method {config.method.name}, which has "
            f"none of protocol.grid's keys ({', '.join(protocol.grid)}): add one that it has, such "
            "as protocol.grid.optimizer.lr=[1e-3,5e-3], or train it in a command of its own "
            "without tuning (protocol.tune=false)."
        )
    count = math.prod(map(len, grid.values()))
    if protocol.search == "grid" and count > MAX_COMBINATIONS:
        raise UserError(
            f"protocol.grid has {count:,} combinations, each of which would be trained: give "
            f"fewer values (at most {MAX_COMBINATIONS:,} combinations), or draw some of them with "
            "protocol.search=optuna."
        )
    if protocol.search in COARSE_TO_FINE:
        _check_two_lists(grid, protocol.search)
    if protocol.search != "grid":
        grid = {key: _ends(values) for key, values in grid.items()}
    plain = dataclasses.replace(protocol, tune=False)
    few = protocol.trial_epochs
    where = "cannot be run" if few is None else f"cannot be tried with protocol.trial_epochs={few}"
    for choice in itertools.islice(_combinations(grid), MAX_COMBINATIONS):
        with placed(f"protocol.grid has {choice}, which {where}:"):
            choice.apply(config, epochs=few, protocol=plain)


def _check_two_lists(grid: Grid, search: str) -> None:
    """Check that what ``search`` goes through, learning rates and weight decays, is in ``grid``."""
    lists = {key for key, values in grid.items() if len(values) > 1}
    ascending = all(
        list(grid.get(key, [])) == sorted(set(grid.get(key, []))) for key in RATE_AND_DECAY
    )
    if not grid.keys() >= set(RATE_AND_DECAY) or lists - set(RATE_AND_DECAY) or not ascending:
        raise UserError(
            f"protocol.search={search} chooses {' and '.join(RATE_AND_DECAY)}: give both in "
            "protocol.grid as ascending lists, and one value of any other key."
        )


def _ends(values: list[Any]) -> list[Any]:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return sorted({min(values), max(values)}) if numbers else values
