"""Hyper-parameters drawn by Optuna, one trial after the other, each in the light of those before.

Nothing of a search is stored but the runs of its trials. Draws depend on the seed and on the scores
told so far alone, so a search that was cut off is done again from its first trial: trials whose
runs are complete give their score without training, and the first one that is not is drawn as it
was. There is no second account of the search that could be torn, or disagree with the runs, or be
written by two processes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from hydra_peft.config.grid import Grid, shortened_keys
from hydra_peft.config.schema import ProtocolConfig
from hydra_peft.optional import optional_package

#: significant digits of what is drawn: enough for any rate, few enough to type
DIGITS = 4
SAMPLER = "TPESampler"
#: trials that it draws without a look at the scores of others
BLIND = 10


@dataclass(frozen=True)
class Dimension:
    """Values or range that a search draws one hyper-parameter from.

    Attributes:
        kind: ``fixed`` (one value), ``values`` (any of several), ``uniform`` or ``log_uniform``
            (between two numbers; between two whole ones, a whole one).
        values: the one, all, or the two ends.
    """

    kind: str
    values: tuple[Any, ...]

    def draw(self, name: str, trial: Any) -> Any:
        """Return a value out of ``trial`` of Optuna."""
        if self.kind == "fixed":
            return self.values[0]
        if self.kind == "values":
            # By place: Optuna takes no lists.
            return self.values[trial.suggest_categorical(name, range(len(self.values)))]
        low, high = self.values
        log = self.kind == "log_uniform"
        if isinstance(low, int):
            return trial.suggest_int(name, low, high, log=log)
        drawn = trial.suggest_float(name, low, high, log=log)
        # An end of more digits than these may be passed by rounding.
        return min(max(float(f"{drawn:.{DIGITS}g}"), low), high)


def check_search(protocol: ProtocolConfig) -> None:
    """Check that what the tuning of ``protocol``, if any, draws with is installed.

    Not part of the check of a config, since one is read on machines that never search.
    """
    if protocol.tune and protocol.search == "optuna":
        _optuna()


def search_space(grid: Grid, *, logarithmic: Set[str]) -> dict[str, Dimension]:
    """Return the space that the values of ``grid`` span, by dotted key.

    A single value is fixed. Numbers are drawn uniformly between the smallest and the largest, those
    of ``logarithmic`` keys by their logarithm; where one of these is not positive, and of all that
    are no numbers, one of the given values is drawn.
    """
    return {key: _dimension(values, log=key in logarithmic) for key, values in grid.items()}


def _dimension(values: Sequence[Any], *, log: bool) -> Dimension:
    different = tuple(v for i, v in enumerate(values) if v not in values[:i])
    if len(different) == 1:
        return Dimension("fixed", different)
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in different):
        return Dimension("values", different)
    low, high = min(different), max(different)
    if not log:
        return Dimension("uniform", (low, high))
    return (
        Dimension("log_uniform", (low, high))
        if low > 0
        else Dimension("values", tuple(sorted(different)))
    )


def trials_of(space: Mapping[str, Dimension], trials: int) -> int:
    """Number of trials of a search: as asked, or one where nothing is left to choose."""
    return trials if any(one.kind != "fixed" for one in space.values()) else 1


def search(
    space: Mapping[str, Dimension],
    *,
    trials: int,
    seed: int,
    score: Callable[[dict[str, Any]], float | None],
) -> None:
    """Draw ``trials`` combinations out of ``space``, each after the score of the one before.

    The same seed and scores give the same draws, with one version of Optuna.

    Args:
        space: see :func:`search_space`.
        trials: at least 1.
        seed: of the draws, not negative.
        score: does a trial; the higher the better, None where it gave none (it diverged).

    Raises:
        UserError: Optuna is not installed.
        Exception: what ``score`` raises ends the search.
    """
    pruned = _optuna().trial.TrialState.PRUNED
    study = _study(seed)
    for _ in range(trials_of(space, trials)):
        trial = study.ask()
        reached = score(_drawn(space, trial))
        if reached is None:
            # Of a pruned trial the sampler learns to stay away. A failed one it passes over, and is
            # then drawn to the same place again and again.
            study.tell(trial, state=pruned)
        else:
            study.tell(trial, reached)


def first_draws(space: Mapping[str, Dimension], *, trials: int, seed: int) -> list[dict[str, Any]]:
    """Return the combinations that :func:`search` of these arguments draws whatever they score.

    Raises:
        UserError: Optuna is not installed.
    """
    study = _study(seed)
    return [_drawn(space, study.ask()) for _ in range(min(trials_of(space, trials), BLIND))]


def _study(seed: int) -> Any:
    optuna = _optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed % 2**32, n_startup_trials=BLIND)
    return optuna.create_study(direction="maximize", sampler=sampler)


def _drawn(space: Mapping[str, Dimension], trial: Any) -> dict[str, Any]:
    # The sampler goes by name, so draws are what they were when the names were these.
    names = shortened_keys(space)
    return dict(zip(space, (d.draw(n, trial) for n, d in names.items()), strict=True))


def description(space: Mapping[str, Dimension]) -> dict[str, Any]:
    """Return for a record what was drawn from, how, and with what."""
    return {
        "sampler": SAMPLER,
        "optuna": str(_optuna().__version__),
        "space": {name: {one.kind: list(one.values)} for name, one in space.items()},
    }


def _optuna() -> ModuleType:
    use = "protocol.search=optuna draws with optuna"
    otherwise = ", or set protocol.search=grid"
    return optional_package("optuna", extra="search", use=use, otherwise=otherwise)
