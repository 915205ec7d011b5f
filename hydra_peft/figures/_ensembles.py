"""Pairs and ensembles of runs: agreement, shared mistakes, and gains over the best member."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from hydra_peft.runs.record import completed_score

if TYPE_CHECKING:
    from hydra_peft.runs.predictions import ClassPredictions

MEAN = "mean over tasks"
SEEDS, METHODS = "seeds of one method", "methods"
#: ensembles of one size, times seeds and tasks, that are still computed
MOST = 200
#: numbers of one task by what they are of: seeds, then values by name
Values = dict[tuple[int, ...], dict[str, float]]
#: predictions of one task, by method and seed
Runs = Mapping[str, Mapping[int, "ClassPredictions"]]


def compare(runs: Runs, pair: tuple[str, str]) -> Values:
    """Return agreement and shared mistakes of ``pair`` on one task, by the runs' seeds."""
    from hydra_peft.analysis.agreement import agreement, shared_mistakes

    first, second = (runs[method] for method in pair)
    if pair[0] == pair[1]:
        seeds = list(combinations(sorted(first), 2))
    else:
        seeds = [(one, two) for one in sorted(first) for two in sorted(second) if one != two]
        seeds = seeds or [(seed, seed) for seed in sorted(set(first) & set(second))]
    found: Values = {}
    for one, two in seeds:
        own, other = first[one], second[two]
        found[one, two] = {
            "agreement": agreement(own.predicted, other.predicted),
            "shared_mistakes": shared_mistakes(own.predicted, other.predicted, own.targets),
        }
    return found


def memberships(methods: Sequence[str], most: int) -> tuple[list[tuple[str, ...]], list[int]]:
    """Return the members of each ensemble, and the sizes of which there are too many."""
    found: list[tuple[str, ...]] = []
    untold = []
    for size in range(2, most + 1):
        found += [(method,) * size for method in methods]
        if math.comb(len(methods), size) > MOST:
            untold.append(size)
        else:
            found += combinations(methods, size)
    return found, untold


def _draws(runs: Runs, members: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the seeds of the members, by ensemble: different ones where there are enough."""
    if len(set(members)) == 1:
        return list(combinations(sorted(runs[members[0]]), len(members)))
    seeds = sorted(set.intersection(*(set(runs[member]) for member in members)))
    if len(seeds) < len(members):
        return [(seed,) * len(members) for seed in seeds]
    turns = range(len(seeds))
    return [tuple(seeds[(at + n) % len(seeds)] for n in range(len(members))) for at in turns]


def combine(runs: Runs, members: Sequence[str], sign: int) -> Values:
    """Return what each ensemble of ``members`` scores on one task, by the members' seeds."""
    from hydra_peft.analysis.agreement import ensemble, ties

    found: Values = {}
    for seeds in _draws(runs, members):
        parts = [runs[member][seed] for member, seed in zip(members, seeds, strict=True)]
        record, task = parts[0].record, parts[0].config.task()
        outputs = ensemble([part.probabilities for part in parts])
        single = [completed_score(part.record) for part in parts]
        best = max(single, key=lambda score: sign * score)
        score = float(task.scores(outputs, parts[0].targets)[record.primary])
        found[seeds] = {
            "score": score,
            "mean_member": statistics.fmean(single),
            "best_member": best,
            "gain": sign * (score - best),
            "gain_over_mean": sign * (score - statistics.fmean(single)),
            "ties": ties(outputs),
        }
    return found


def pair_lines(pair: tuple[str, str], found: Mapping[str, Values]) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``pair`` in the table of pairs: one a task, then the mean."""
    for task, values in _with_mean(found):
        same = any(one == two for one, two in values)
        yield {
            "method": pair[0],
            "other": pair[1],
            "task": task,
            **_spread(values, "agreement"),
            **_spread(values, "shared_mistakes"),
            "seeds": "same" if same else "different",
            "pairs": len(values),
        }


@dataclass(frozen=True)
class EnsembleLine:
    """Columns of the table of ensembles."""

    members: str
    of: str
    size: int
    task: str
    score: float
    mean_member: float
    best_member: float
    gain: float
    gain_low: float
    gain_high: float
    gain_over_mean: float
    draws: int
    ties: int


def ensemble_lines(members: Sequence[str], found: Mapping[str, Values]) -> Iterator[EnsembleLine]:
    """Yield the lines of ``members`` in the table of ensembles: one a task, then the mean."""
    for task, values in _with_mean(found):
        if not values:
            continue
        names = ("score", "mean_member", "best_member", "gain_over_mean")
        alike = len(set(members)) == 1
        yield EnsembleLine(
            members=" + ".join(dict.fromkeys(members)),
            of=SEEDS if alike else METHODS,
            size=len(members),
            task=task,
            **{name: _mean([value[name] for value in values.values()]) for name in names},
            **_spread(values, "gain"),
            draws=len(values),
            ties=_ties(found),
        )


def _with_mean(found: Mapping[str, Values]) -> Iterator[tuple[str, Values]]:
    """Yield the values of each task, then their mean within each choice of seeds."""
    yield from found.items()
    if len(found) < 2:
        return
    shared = set.intersection(*(set(values) for values in found.values()))
    yield (
        MEAN,
        {
            seeds: {
                name: _mean([values[seeds][name] for values in found.values()])
                for name in next(iter(found.values()))[seeds]
            }
            for seeds in sorted(shared)
        },
    )


def _mean(values: Sequence[float]) -> float:
    """Return the mean of ``values`` that are numbers."""
    numbers = [value for value in values if not math.isnan(value)]
    return statistics.fmean(numbers) if numbers else math.nan


def _spread(values: Values, name: str) -> dict[str, float]:
    """Return mean, least and greatest over seeds of ``name``; no spread of one alone."""
    numbers = [value[name] for value in values.values() if not math.isnan(value[name])]
    several = len(numbers) > 1
    return {
        name: _mean(numbers),
        f"{name}_low": min(numbers) if several else math.nan,
        f"{name}_high": max(numbers) if several else math.nan,
    }


def _ties(found: Mapping[str, Values]) -> int:
    return int(sum(value["ties"] for values in found.values() for value in values.values()))
