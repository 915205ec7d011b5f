"""Missing runs of a table with the command that trains them, and stray ones."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.checkout import whole_option
from hydra_peft.commands import command
from hydra_peft.config.quoting import override_value
from hydra_peft.methods.linear import Linear
from hydra_peft.tables.grouping import reduced_precision
from hydra_peft.tables.labels import RANDOM
from hydra_peft.tables.overrides import NOT_TUNED, TUNED, UNCHECKED, usual_search
from hydra_peft.tables.parts import Part, parts
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.strays import strays, wanted_seeds

#: settings that a command may repeat: none of them can name code or leave the run's own keys
_KEY = re.compile(
    r"(model|data|head|optimizer|scheduler|protocol|train|method)(\.[a-z_0-9]+)+"
    r"|dataset\.(train_size|shots|split_seed|sampling_seed)"
)
#: begin of an override that is a variant, a yaml of a method that another one names too
_VARIANT = "method="
_TUNED_BY = f"{TUNED} by "
#: settings that are chosen by a yaml of the group: the name alone would leave the other's options
_CHOSEN = re.compile(r"(head|optimizer|scheduler)\.name=")
#: overrides of rows whose seeds differ in them, as they are typed
_BY_SEED = {"dataset.sampling_seed=seed": "dataset.sampling_seed=${seed}"}
#: value of settings that each task's recipe says, for which there is no word
_OF_RECIPE = "recipe"
#: beginning of those that a search chooses from
_GRID = "protocol.grid."
_VALUE = re.compile(r"[A-Za-z0-9_.,+\[\]/-]+")
_PATTERN = re.compile(r"[A-Za-z0-9_.*\[\]-]+")
_NAME = re.compile(r"[A-Za-z0-9_.]+")
_PATH = re.compile(r"[A-Za-z0-9_./ +=:@-]+")


@dataclass(frozen=True)
class Options:
    """Tasks, methods and models that the command line knows.

    Attributes:
        datasets: option of ``conf/dataset`` by benchmark and task.
        models: options of ``conf/model``.
    """

    datasets: Mapping[tuple[str, str], str]
    models: frozenset[str]


@dataclass(frozen=True)
class Gap:
    """A row that lacks runs.

    Attributes:
        where: the table, in a few words.
        label: the row's.
        cells: how many runs are missing.
        listed: which, as text.
        command: trains them; None where the records do not say enough.
        bare: whether the row has no mean without them.
    """

    where: str
    label: str
    cells: int
    listed: str
    command: str | None
    bare: bool = False


@dataclass(frozen=True)
class Beside:
    """Runs that share little with the others: where they are, what they are, and how they would."""

    where: str
    text: str
    command: str | None = None


def gaps(tables: list[Table], options: Options, runs: Path | None) -> list[Gap]:
    """Return the rows of ``tables`` that have not all tasks that rows share with all their seeds.

    Rows, tasks and seeds that stand beside the others (:func:`beside`) lack nothing.

    Args:
        tables: the measured tables.
        options: what tasks and models are called on the command line.
        runs: where the run folders are; None is where ``train.py`` puts them.
    """
    found = []
    for part in (strays(part).shared for table in tables for part in parts(table)):
        for row in part.table.rows:
            lacking = missing_cells(row, part.table.tasks, wanted_seeds(part, row))
            if lacking:
                cells = sum(len(seeds) for seeds in lacking.values())
                command = fill_command(row, part.table, lacking, options, runs)
                label = part.names[id(row)]
                said, bare = _listed(lacking), None in part.means(row)
                found.append(Gap(_where(part), label, cells, said, command, bare))
    return found


def beside(tables: list[Table], options: Options, runs: Path | None) -> list[Beside]:
    """Return the rows, tasks and seeds that share too little with the others to be compared.

    Arguments are those of :func:`gaps`.
    """
    found = []
    for part in (part for table in tables for part in parts(table)):
        apart, where = strays(part), _where(part)
        for row in apart.rows:
            own = {seed for scores in row.scores.values() for seed in scores}
            lacking = missing_cells(row, part.averaged, own)
            command = fill_command(row, part.table, lacking, options, runs)
            on = ", ".join(row.scores)
            found.append(Beside(where, f"{part.names[id(row)]} is only on {on}", command))
        for task, names in apart.tasks.items():
            if names:
                found.append(Beside(where, f"task {task} has only runs of {', '.join(names)}"))
        for row, seed in _seeds_beside(apart.shared):
            lacking = missing_cells(row, apart.shared.table.tasks, {seed})
            command = fill_command(row, part.table, lacking, options, runs)
            on = ", ".join(task for task, scores in row.scores.items() if seed in scores)
            text = f"seed {seed} of {part.names[id(row)]} is only on {on}"
            found.append(Beside(where, text, command))
    return found


def _seeds_beside(part: Part) -> Iterator[tuple[Row, int]]:
    for row in part.table.rows:
        own = {seed for scores in row.scores.values() for seed in scores}
        for seed in sorted(own - wanted_seeds(part, row)):
            yield row, seed


def missing_cells(row: Row, tasks: Iterable[str], seeds: set[int]) -> dict[str, list[int]]:
    """Return by task the ``seeds`` that ``row`` has no run of there; other tasks are left out."""
    lacking = {task: sorted(seeds - row.scores.get(task, {}).keys()) for task in tasks}
    return {task: absent for task, absent in lacking.items() if absent}


def _where(part: Part) -> str:
    table = part.table
    return f"{table.benchmark}, protocol {table.protocol}, {table.rows[0].model}"


def fill_command(
    row: Row,
    table: Table,
    lacking: Mapping[str, list[int]],
    options: Options,
    runs: Path | None,
) -> str | None:
    """Return the sweep that trains what is ``lacking``; what exists of it, it skips.

    Records are data that others may have written, and this will be pasted into a shell: only
    plain words are repeated. None where anything else would have to be.
    """
    words = _method(row, table)
    settings, model = _overrides(row, options), _model(row, options)
    tasks = [options.datasets.get((table.benchmark, task)) for task in lacking]
    if words is None or settings is None or model is None or None in tasks:
        return None
    seeds = sorted({seed for absent in lacking.values() for seed in absent})
    words += [*settings, *model, f"dataset={','.join(map(str, tasks))}"]
    words.append(f"seed={','.join(map(str, seeds))}")
    words += [f"paths.runs={override_value(str(runs))}"] if runs else []
    return " ".join([command("train"), "-m", *(shlex.quote(word) for word in words)])


def _method(row: Row, table: Table) -> list[str] | None:
    precision = reduced_precision(row.settings)
    names = (row.records[0].untrained or str(row.method.get("name")), table.protocol, *precision)
    if not all(map(_NAME.fullmatch, names)):
        return None
    variant = next((o for o in row.overrides if o.startswith(_VARIANT)), f"{_VARIANT}{names[0]}")
    words = [*(_untrained(row, table) or [variant]), *_ranks(row), f"protocol={table.protocol}"]
    words += [f"precision={name}" for name in precision]
    return words + ["data.allow_partial=true"] * row.partial


def _untrained(row: Row, table: Table) -> list[str]:
    """Return the words of a row that trains nothing, none of another."""
    if not (option := row.records[0].untrained):
        return []
    tuned = usual_search(table.benchmark, table.protocol) is not None
    words = [f"{_VARIANT}{Linear.name}", f"head={option}", "train.epochs=0"]
    return [*words, *["protocol.tune=false"] * tuned]


def _overrides(row: Row, options: Options) -> list[str] | None:
    """Return the overrides of a row's runs, None where they are not known or not plain."""
    words = []
    for override in row.overrides:
        if override.startswith(_VARIANT):
            continue
        key, _, value = override.partition("=")
        if override == UNCHECKED or value == _OF_RECIPE:
            return None
        if value == TUNED:
            continue  # its grid says so
        if _KEY.fullmatch(key) and (word := _typed(override, row)) is not None:
            words.append(f"{_plus(key, row, options)}{word}")
        elif override == TUNED:
            words.append("protocol.tune=true")
        elif override.startswith(_TUNED_BY):
            search = override.removeprefix(_TUNED_BY)
            words += ["protocol.tune=true", f"protocol.search={search}"]
        elif override == NOT_TUNED:
            words.append("protocol.tune=false")
        else:
            return None
    return words


def _typed(override: str, row: Row) -> str | None:
    """Return ``override`` as a word, a list of patterns of names as texts; None if it is none."""
    key, _, value = override.partition("=")
    if _VALUE.fullmatch(value):
        return _BY_SEED.get(override, _CHOSEN.sub(r"\1=", override))
    patterns = row.settings.get(key)
    if not isinstance(patterns, list) or not all(map(_PATTERN.fullmatch, map(str, patterns))):
        return None
    return f"{key}=[{','.join(override_value(str(pattern)) for pattern in patterns)}]"


def _plus(key: str, row: Row, options: Options) -> str:
    """Return what stands before ``key`` on the command line, where no yaml may have it."""
    group, _, name = key.partition(".")
    # The arguments of a model are set with a plus and without.
    written = whole_option("model", row.model if row.model in options.models else "timm")
    return "+" if group == "model" and name.split(".")[0] not in written else ""


def _model(row: Row, options: Options) -> list[str] | None:
    if not _NAME.fullmatch(row.model):
        return None
    named = row.model in options.models
    words = [f"model={row.model}"] if named else ["model=timm", f"model.architecture={row.model}"]
    if row.weights == RANDOM:
        return [*words, "model.pretrained=false"]
    if row.sources and Path(row.sources[0]).is_absolute():
        checkpoint = row.sources[0]
        return (
            [*words, f"model.checkpoint={override_value(checkpoint)}"]
            if _is_path(checkpoint)
            else None
        )
    return words


def _is_path(text: str) -> bool:
    return _PATH.fullmatch(text) is not None


def _ranks(row: Row) -> list[str]:
    keys = ("rank_parallel", "rank_sequential")
    ranks = {key: row.method[key] for key in keys if isinstance(row.method.get(key), int)}
    grid = f"{_GRID}method."
    found = {o.removeprefix(grid).partition("=")[0] for o in row.overrides if o.startswith(grid)}
    if "rank" in found:
        return []
    searched = found.intersection(keys)
    used = {key: rank for key, rank in ranks.items() if rank > 0 and key not in searched}
    if searched:
        return [f"method.{key}={rank}" for key, rank in used.items()]
    if len(set(used.values())) == 1:
        return [f"method.rank={next(iter(used.values()))}"]
    return [f"method.{key}={rank}" for key, rank in used.items()]


def _listed(lacking: Mapping[str, list[int]]) -> str:
    seeds = {tuple(absent) for absent in lacking.values()}
    if len(seeds) == 1:
        (only,) = seeds
        return f"{', '.join(lacking)} (seed {', '.join(map(str, only))})"
    return "; ".join(f"{task} (seed {', '.join(map(str, s))})" for task, s in lacking.items())
