"""A table cut into parts whose rows compare, and what all rows of a part have in common.

Rows of a part are on one backbone with one set of weights on the same extent of data. They alone
are ranked against each other.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra_peft.checkout import option
from hydra_peft.config.identity import USUAL_HEAD
from hydra_peft.plain_text import in_a_row
from hydra_peft.tables.complete import complete
from hydra_peft.tables.labels import PARTIAL, RANDOM
from hydra_peft.tables.left_out import filled
from hydra_peft.tables.measures import Measure, mean_measure, one_scale
from hydra_peft.tables.overrides import as_text
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.shared_tasks import shared_tasks
from hydra_peft.tables.sheet import ranks
from hydra_peft.tables.summaries import Summary, task_weights, weights_over


@dataclass(frozen=True)
class Part:
    """Rows that compare.

    Attributes:
        table: with these rows and their tasks alone.
        averaged: the tasks that means are over, with their groups.
        common: overrides that are said once, not in each label; see :func:`common_overrides`.
        names: what each row is called, by its ``id``: its label without what all rows share, of
            which there may be more than are looked at (:meth:`only`), so that tables, pictures and
            pages call a row alike.
    """

    table: Table
    averaged: dict[str, str]
    common: tuple[str, ...]
    names: Mapping[int, str]

    @property
    def backbone(self) -> str:
        """The backbone, its weights, and whether data is partial."""
        row = self.table.rows[0]
        return f"{row.model}, {row.weights}" + f", {PARTIAL}" * row.partial

    @property
    def labels(self) -> list[str]:
        """Names of the rows, in order."""
        return [self.names[id(row)] for row in self.table.rows]

    def only(self, rows: Sequence[Row], tasks: Collection[str]) -> Part:
        """Return the part with these of its rows and tasks; rows keep their names."""
        kept = {task: group for task, group in self.table.tasks.items() if task in tasks}
        cut = dataclasses.replace(self.table, rows=list(rows), tasks=kept)
        return dataclasses.replace(
            self, table=cut, averaged=shared_tasks(rows, kept, self.table.measures)
        )

    def means(self, row: Row) -> tuple[Summary | None, ...]:
        """Return the benchmark's means in their order; None where the row lacks a task."""
        means = self.table.means.values()
        return tuple(row.mean(weights_over(over, self.averaged)) for over in means)

    @property
    def main_weights(self) -> dict[str, float]:
        """Weights of the tasks in the mean that methods are compared by."""
        return weights_over(self.table.about.main_mean[1], self.averaged)

    @property
    def mean_titles(self) -> tuple[str, ...]:
        """Titles of the means: they say so where they are not over all tasks."""
        if len(self.averaged) == len(self.table.tasks):
            return tuple(self.table.means)
        of = f"{len(self.averaged)} of {len(self.table.tasks)} tasks"
        usual = {"mean over tasks": f"mean over {of}", "mean over groups": "mean over their groups"}
        return tuple(usual.get(name, f"{name} ({of})") for name in self.table.means)

    def ranked_cells(self, decimals: int) -> list[list[tuple[Summary | None, int | None]]]:
        """Return by row its cells and its two means, each with its rank in its column.

        Only rows whose settings were checked are ranked, if there is any such row; what is printed
        alike, with so many ``decimals``, is ranked alike.
        """
        rows, tasks = self.table.rows, self.table.tasks
        lines = [[*(row.cell(task) for task in tasks), *self.means(row)] for row in rows]
        any_checked = any(row.checked for row in rows)
        rated = [row.checked or not any_checked for row in rows]
        columns = []
        for measure, column in zip(self.measures, zip(*lines, strict=True), strict=True):
            pairs, digits = zip(column, rated, strict=True), measure.decimals(decimals)
            shown = [round(x.value, digits) if x and rates else None for x, rates in pairs]
            columns.append(zip(column, ranks(shown, measure.sign), strict=True))
        return [list(line) for line in zip(*columns, strict=True)]

    @property
    def measures(self) -> list[Measure]:
        """Measure of each column: the tasks, then the two means."""
        of = self.table.measures
        mean = mean_measure(of, task_weights(self.averaged))
        return [*(of[task] for task in self.table.tasks), *[mean] * len(self.table.means)]

    @property
    def titles(self) -> list[str]:
        """Titles of the columns; tasks say their metric where they differ in it."""
        return [*task_titles(self.table), *self.mean_titles]

    @property
    def sentences(self) -> list[str]:
        """Sentences on the shared settings, and on what is not in the means."""
        return [*self.settings_sentence, *self.means_sentence, *self.split_sentence]

    @property
    def settings_sentence(self) -> list[str]:
        """Sentence on the settings that all rows share; empty without any."""
        return common_sentence(self.table.rows, self.common)

    @property
    def means_sentence(self) -> list[str]:
        """Sentence on the tasks of the means and the rows without; empty where all tasks count."""
        if len(self.averaged) == len(self.table.tasks):
            return []
        without = [task for task in self.table.tasks if task not in self.averaged]
        listed = "; ".join(f"{task} ({self._why_not(task)})" for task in without)
        pairs = zip(self.table.rows, self.labels, strict=True)
        lacking = [label for row, label in pairs if not self.averaged.keys() <= row.scores.keys()]
        bare = f" Without these means: {in_a_row(lacking)}." if lacking else ""
        of = self.table.measures
        alike = one_scale(list(self.table.tasks), of)
        shared = "that rows share" if len(self.averaged) < len(alike) else "of one scale"
        return [
            f"Means are over the tasks {shared}: {', '.join(self.averaged)}. Not in them: "
            f"{listed}.{bare}"
        ]

    @property
    def split_sentence(self) -> list[str]:
        """Sentence on the rows that have all tasks of the means, but no seed with all of them."""
        split = [
            self.names[id(row)]
            for row in self.table.rows
            if self.averaged.keys() <= row.scores.keys() and not complete(row.scores, self.averaged)
        ]
        why = "as no one seed has runs on all of their tasks"
        return [f"Without means, {why}: {in_a_row(split)}."] if split else []

    def _why_not(self, task: str) -> str:
        """Say why ``task`` is in no mean: its scale, who alone has it, or that seeds differ."""
        rows, of = self.table.rows, self.table.measures
        if of[task].scale not in {of[other].scale for other in self.averaged}:
            return f"{of[task].title}, of another scale"
        if all(task in row.scores for row in rows if complete(row.scores, self.averaged)):
            return "no seed in common with these"
        return f"only {in_a_row(self.names[id(row)] for row in rows if task in row.scores)}"


def task_titles(table: Table) -> list[str]:
    """Return what the columns of tasks are called: with their metrics where these differ."""
    if len(table.own_measures) < 2:
        return list(table.tasks)
    return [f"{task} ({table.measures[task].title})" for task in table.tasks]


def bounds_sentence(table: Table) -> str:
    """Return how intervals over seeds are made, and between which bounds they stay or which seeds
    have none."""
    if table.about.over_seeds == "median":
        return (
            "Intervals of medians are between two of the seeds' own numbers (order statistics, at "
            "95% or more); fewer than six seeds have none."
        )
    bounds = {(m.least, m.most) for m in table.own_measures}
    percent = sorted((low, high) for low, high in bounds if math.isfinite(high))
    stay = [f"{low:g} and {high:g}" for low, high in percent]
    said = [f"Wilson's with Student's t, which stay between {' or '.join(stay)}"] if stay else []
    said += ["Student's t where scores are not in percent"] if len(percent) < len(bounds) else []
    return f"Intervals are {', and '.join(said)}."


def measures_sentence(table: Table) -> list[str]:
    """Return what is to be known of the metrics; nothing where all is in percent as is usual."""
    said = []
    for measure in table.own_measures:
        notes = [measure.direction] * bool(measure.direction)
        notes += ["not in percent"] * (not measure.in_percent)
        said += [f"{measure.title}: {', '.join(notes)}"] if notes else []
    return [f"{'; '.join(said)}."] if said else []


def parts(table: Table) -> list[Part]:
    """Cut ``table`` by backbone, weights and extent of data, the usual ones first."""
    kinds: dict[tuple[bool, bool, str, str], list[Row]] = {}
    for row in table.rows:
        kind = (row.weights == RANDOM, row.partial, row.model, row.weights)
        kinds.setdefault(kind, []).append(row)
    found = []
    for _, rows in sorted(kinds.items()):
        tasks = {t: g for t, g in table.tasks.items() if any(t in row.scores for row in rows)}
        cut = dataclasses.replace(table, rows=rows, tasks=tasks)
        common = common_overrides(rows)
        found.append(
            Part(cut, shared_tasks(rows, tasks, table.measures), common, _names(rows, common))
        )
    return found


def _names(rows: Sequence[Row], common: Sequence[str]) -> dict[int, str]:
    """Return by ``id`` the label of each row without what is said of all of them.

    That are ``common`` and, as it belongs to :attr:`Part.backbone`, partial data. Where two rows
    would be called alike, the whole label.
    """
    short = [row.titled(own_overrides(row, common)).replace(f", {PARTIAL}", "", 1) for row in rows]
    twice = {label for label, count in Counter(short).items() if count > 1}
    return {id(r): r.label if s in twice else s for r, s in zip(rows, short, strict=True)}


#: groups whose options have settings of their own, which do not apply to the others; a row without
#: any other setting has its default
_CHOSEN = ("method.", "head.", "optimizer.", "scheduler.")
#: groups of settings that do not apply where nothing is trained
_TRAINING = ("method.", "optimizer.", "scheduler.", "train.")


def common_overrides(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the overrides that are to be said once for all ``rows``.

    Those are what each row has to which the setting applies, and of a setting that each of them
    overrides, but not alike, the value that more than half of them have. A setting that applies to
    fewer than half of the rows is said in theirs.
    """
    found, none = [], not any(row.trains for row in rows)
    for override in dict.fromkeys(o for row in rows for o in row.overrides):
        key, is_setting, _ = override.partition("=")
        chosen = is_setting and key.startswith(_CHOSEN)
        training = [r for r in rows if none or r.trains or not key.startswith(_TRAINING)]
        fitting = [row for row in training if not chosen or _applies(row.settings, key)]
        same = sum(override in row.overrides or _by_default(row, override) for row in fitting)
        everywhere = all(_says(row, override) for row in fitting)
        many = len(fitting) >= min(2, len(rows)) and 2 * len(fitting) >= len(training)
        if everywhere and many and 2 * same > len(fitting):
            found.append(override)
    return tuple(sorted(found))


def _says(row: Row, override: str) -> bool:
    """Whether ``row`` overrides the setting of ``override``, or has its value by default."""
    key = _key(override)
    return any(_key(o) == key for o in row.overrides) or _by_default(row, override)


def _by_default(row: Row, override: str) -> bool:
    """Whether ``row`` has the value of ``override``, which it does not override."""
    key, _, value = override.partition("=")
    settings = filled(row.settings)
    return key in settings and as_text(settings[key]) == value


def own_overrides(row: Row, common: Sequence[str]) -> list[str]:
    """Return the overrides that the label of ``row`` names where ``common`` ones are named
    above."""
    return [override for override in row.overrides if override not in common]


def common_sentence(rows: Sequence[Row], common: Sequence[str], kind: str = "") -> list[str]:
    """Return the sentence about ``common`` overrides; empty where there are none.

    ``kind`` is an adjective, with a space behind it, for the rows that it is said of.
    """
    said = common_in_words(rows, common)
    return [f"{f'All {kind}rows' if len(rows) > 1 else f'This {kind}row'}: {said}."] if said else []


def common_in_words(rows: Sequence[Row], common: Sequence[str]) -> str:
    """Return the overrides of ``common`` that hold for ``rows``, with the rows they do not hold
    for."""
    trained = [row for row in rows if row.trains]
    of_training = [override for override in common if override.startswith(_TRAINING)]
    if of_training and 0 < len(trained) < len(rows):
        others = common_in_words(rows, [o for o in common if o not in of_training])
        of_those = f"{common_in_words(trained, of_training)}, where anything is trained"
        return f"{others}; {of_those}" if others else of_those
    there = [o for o in common if any(o in row.overrides for row in rows)]
    keys = {_key(override) for override in there}
    own = {_key(o) for row in rows for o in own_overrides(row, there)} & keys
    usual = [o for o in there if _key(o) in own]
    some = [
        o
        for o in there
        if _key(o).startswith(_CHOSEN)
        and not all(_applies(row.settings, _key(o)) for row in rows if row.trains)
    ]
    plain = [o for o in there if o not in usual and o not in some]
    apart = [o for o in some if o not in usual]
    said = [", ".join(plain)] if plain else []
    said += [f"{', '.join(apart)} where {'they apply' if apart[1:] else 'it applies'}"] * bool(
        apart
    )
    said += [f"{', '.join(usual)} unless a label says otherwise"] if usual else []
    return "; ".join(said)


def _key(override: str) -> str:
    return override.partition("=")[0]


def _applies(settings: Mapping[str, Any], key: str) -> bool:
    """Whether the setting ``key`` of a group of :data:`_CHOSEN` applies to a run of ``settings``.

    Records leave out some settings at their defaults; the yaml of what the run chose has them.
    """
    group, _, name = key.partition(".")
    if _has(settings, key) or name == "name":
        return True
    chosen = str(settings.get(f"{group}.name", USUAL_HEAD["name"] if group == "head" else ""))
    return name.partition(".")[0] in option(group, chosen)


def _has(settings: Mapping[str, Any], key: str) -> bool:
    """Whether ``settings`` has ``key``, or a group of settings that it is of."""
    names = key.split(".")
    return any(".".join(names[: end + 1]) in settings for end in range(len(names)))
