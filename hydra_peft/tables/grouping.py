"""Grouping of records into tables and rows: what is averaged is alike in all but task and seed.

A row is one setting (method, training, protocol) on one backbone with one set of weights, on whole
or on partial data. Its cells are tasks, its samples seeds. Whatever differs otherwise goes into
another row.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.identity import settings_id, short_hash
from hydra_peft.plain_text import in_a_row
from hydra_peft.runs.record import Record, completed_score
from hydra_peft.tables.contents import draws_by_seed, shared_content
from hydra_peft.tables.labels import PARTIAL, weights_label
from hydra_peft.tables.left_out import filled
from hydra_peft.tables.measures import Measure, measure_of
from hydra_peft.tables.overrides import UNCHECKED, Defaults, as_text, by_role, marks
from hydra_peft.tables.rows import Row, Table

#: sizes that the label of a row names; of more it says how many
_SIZES = 2
#: rows that a warning on many names
_NAMED = 3


def build_tables(
    records: list[Record],
    *,
    defaults: Defaults | None = None,
    benchmarks: Sequence[Path] = (),
) -> tuple[list[Table], list[str]]:
    """Group ``records`` into tables; also return a sentence for each thing kept apart.

    Notes on the data of a task are among the sentences.

    Args:
        records: completed runs.
        defaults: what settings are by default, so that labels name those that are otherwise; None
            where that is not to be looked at.
        benchmarks: config roots that have benchmarks beside those of ``conf``.
    """
    tables: dict[tuple[str, str, str, str, str], list[Record]] = defaultdict(list)
    for record in records:
        trained_on, scored = record.role(record.trained_on), record.role(record.split)
        rule = record.rule_on(record.role(record.chosen_on))
        tables[record.benchmark, record.protocol, trained_on, scored, rule].append(record)
    about = {key[0]: find_benchmark(key[0], benchmarks) for key in tables}

    def order(key: tuple[str, ...]) -> tuple[object, ...]:
        own = about[key[0]].protocols
        return (key[0], own.index(key[1]) if key[1] in own else len(own), *key[1:])

    built: list[Table] = []
    warnings = _data_notes(records)
    for key, found in sorted(tables.items(), key=lambda item: order(item[0])):
        where, benchmark = f"{key[0]}, protocol {key[1]}", about[key[0]]
        warnings += _metrics(found, where)
        for members in _by_metric(found):
            rows, apart = _rows(members, defaults)
            for row in rows:
                row.over_seeds = benchmark.over_seeds
            warnings += [*apart, *_lineages(members, where), *_contents(members, where, defaults)]
            measures = {record.task: _measure(record) for record in members}
            learnt = _name_or_role({record.trained_on for record in members}, key[2])
            scored = _name_or_role({record.split for record in members}, key[3])
            chosen_on = {record.chosen_on for record in members}
            rule = members[0].rule_on(chosen_on.pop()) if len(chosen_on) == 1 else key[4]
            tasks = benchmark.in_order({record.task: record.group for record in members})
            parts = (*key[:2], learnt, scored, rule)
            built.append(Table(*parts, tasks, rows, measures, benchmark))
    if len({table.protocol for table in built}) > 1:
        warnings.append("runs of different protocols are in different tables, never averaged.")
    return built, warnings


def _name_or_role(names: set[str], role: str) -> str:
    return names.pop() if len(names) == 1 else role


def _by_metric(records: list[Record]) -> list[list[Record]]:
    """Split ``records`` so that each task has one primary metric, the usual ones first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        counts[record.task][record.primary] += 1
    usual = {task: max(sorted(found), key=found.__getitem__) for task, found in counts.items()}
    tables: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        tables["" if record.primary == usual[record.task] else record.primary].append(record)
    return [members for _, members in sorted(tables.items())]


def _metrics(records: list[Record], where: str) -> list[str]:
    """Say which tasks were scored by several metrics, and which metrics are not known here."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for record in records:
        found[record.task][_measure(record).title] = None
    sentences = [
        f"{where}: {task} is scored by {' and by '.join(sorted(titles))}, in tables of their own."
        for task, titles in sorted(found.items())
        if len(titles) > 1
    ]
    unknown = {measure.title for measure in map(_measure, records) if not measure.sign}
    return sentences + [
        f"{where}: the metric {title} is not known here, so whether higher or lower is better is "
        "not either: it is neither ranked nor compared."
        for title in sorted(unknown)
    ]


def _measure(record: Record) -> Measure:
    return measure_of(record.primary)


def _lineages(records: list[Record], where: str) -> list[str]:
    """Name the tasks whose data has different lineages."""
    tasks: dict[str, set[str]] = defaultdict(set)
    for record in records:
        tasks[str(record.data.get("lineage") or "not stated")].add(record.task)
    if len(tasks) < 2:
        return []
    ways = sorted(tasks.items())
    listed = "; ".join(f"{way} ({', '.join(sorted(names))})" for way, names in ways)
    return [f"{where}: data of different lineages: {listed}."]


def _contents(records: list[Record], where: str, defaults: Defaults | None) -> list[str]:
    """Name the tasks on which rows were trained or scored on other images than their neighbours."""
    found: dict[tuple[str, bool, str, int], dict[str, dict[str, None]]] = defaultdict(dict)
    for record in records:
        splits = record.data.get("splits")
        for split, content in splits.items() if isinstance(splits, dict) else ():
            drawn = draws_by_seed(record) and not record.tests(str(split))
            draw = record.seed if drawn else -1
            key = (record.task, bool(record.data.get("partial")), str(split), draw)
            found[key].setdefault(str(content), {})[run_label(record, defaults)] = None
    sentences = []
    for (task, _, split, _), contents in sorted(found.items()):
        if len(contents) > 1:
            listed = "; ".join(f"{c[:8]} ({in_a_row(names)})" for c, names in contents.items())
            sentences.append(
                f"{where}: {task} has different examples in {split}: {listed}. Differences between "
                "such runs are not of methods alone."
            )
    return sentences


def _data_notes(records: list[Record]) -> list[str]:
    """Return the notes of the manifests of the runs' data, once a task."""
    notes: dict[str, None] = {}
    for record in sorted(records, key=lambda record: (record.benchmark, record.task)):
        said = record.data.get("notes")
        for note in said if isinstance(said, list) else []:
            notes[f"data of {record.task}: {' '.join(str(note).split())}"] = None
    return list(notes)


def _rows(records: list[Record], defaults: Defaults | None) -> tuple[list[Row], list[str]]:
    grouped: dict[tuple[str, str, bool], list[Record]] = defaultdict(list)
    for record in records:
        key = (
            settings_id(by_role(record.settings, record.role)),
            weights_label(record),
            bool(record.data.get("partial")),
        )
        grouped[key].append(record)
    rows: list[Row] = []
    warnings: list[str] = []
    apart: dict[str, list[str]] = defaultdict(list)
    for members in grouped.values():
        for number, part in enumerate(_comparable(members)):
            counted, repeated = _one_each(part, defaults)
            warnings += repeated
            row = _row(counted, defaults)
            if number:
                row.apart += f" (apart {number})"
                apart[", ".join(sorted(row.scores))].append(f"'{row.label}'")
            rows.append(row)
    for tasks, labels in apart.items():
        more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
        have, s = ("have", "s") if len(labels) > 1 else ("has", "")
        warnings.append(
            f"{', '.join(labels[:_NAMED])}{more} {have} other data or another recipe on {tasks} "
            f"than the row{s} of the same name{s}: not averaged together."
        )
    if len({row.weights for row in rows}) > 1:
        warnings.append("rows with different backbone weights are kept apart, never averaged.")
    if len({row.partial for row in rows}) > 1:
        warnings.append(f"rows on part of the data ({PARTIAL}) are kept apart, never averaged.")
    if not all(row.checked for row in rows):
        warnings.append(
            f"rows marked {UNCHECKED} have a protocol, a method or a benchmark that conf does not "
            "have: whether they were overridden is not known."
        )
    _tell_apart(rows)
    rows.sort(key=lambda row: (row.model, row.weights, row.adapter, row.label))
    return rows, warnings


def _comparable(records: list[Record]) -> list[list[Record]]:
    """Split the runs of one row so that each task has one data content and one science.

    Tasks may differ from each other by their recipes. Where one task comes with two, nothing says
    which of them belongs to which other task, so runs are then kept together by equal values only.
    """
    sciences: dict[str, set[str]] = defaultdict(set)
    contents: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        sciences[record.task].add(_training(record))
        contents[record.task][shared_content(record)] += 1
    clash = any(len(found) > 1 for found in sciences.values())
    parts: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        content = shared_content(record)
        usual = contents[record.task].most_common(1)[0][0]
        key = (_training(record) if clash else "", "" if content == usual else content)
        parts[key].append(record)
    return sorted(parts.values(), key=len, reverse=True)


def _one_each(records: list[Record], defaults: Defaults | None) -> tuple[list[Record], list[str]]:
    """Return of several runs of one row, task and seed the latest, and a sentence for each such.

    They differ in what makes no row of its own: further metrics, the draw of random weights.
    """
    found: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        found[record.task, record.seed].append(record)
    latest = {key: max(runs, key=lambda run: run.begun) for key, runs in found.items()}
    sentences = [
        f"{run_label(runs[0], defaults)} has {len(runs)} runs of {task}, seed {seed}: the one "
        f"started last counts ({latest[task, seed].config_id}, {latest[task, seed].started})."
        for (task, seed), runs in found.items()
        if len(runs) > 1
    ]
    return list(latest.values()), sentences


def run_label(record: Record, defaults: Defaults | None, common: Sequence[str] = ()) -> str:
    """Return what a row of ``record`` alone is called, but for partial data, which is said apart.

    Args:
        record: a run, completed or not.
        defaults: as of :func:`build_tables`.
        common: overrides that are said elsewhere.
    """
    name = ", ".join([record.label, *reduced_precision(record.settings)])
    row = Row(name, record.model, weights_label(record), record.settings)
    overrides = () if defaults is None else marks(record, defaults)
    return row.titled([override for override in overrides if override not in common])


def _training(record: Record) -> str:
    # What seeds start from may be runs of their seeds; their settings are in the row's.
    left_out = ("seed", "dataset", "init_from")
    decides = {k: v for k, v in record.science.items() if k not in left_out}
    if isinstance(protocol := decides.get("protocol"), dict):
        decides["protocol"] = by_role(protocol, record.role)
    return short_hash(decides)


def _row(records: list[Record], defaults: Defaults | None) -> Row:
    first = records[0]
    partial = bool(first.data.get("partial"))
    name = _method(records) + (f", {PARTIAL}" if partial else "")
    name += "".join(f", {precision}" for precision in reduced_precision(first.settings))
    row = Row(name, first.model, weights_label(first), first.settings, partial=partial)
    row.overrides = () if defaults is None else marks(first, defaults)
    row.sources = sorted({str(r.weights["source"]) for r in records if r.weights.get("source")})
    row.method = {
        key: value
        for key, value in first.row_method.items()
        if all(key in record.row_method and record.row_method[key] == value for record in records)
    }
    sizes = [record.trained_parameters for record in records]
    row.adapter = round(statistics.fmean(size["adapter"] for size in sizes))
    row.records = records
    for record, size in zip(records, sizes, strict=True):
        row.scores.setdefault(record.task, {})[record.seed] = completed_score(record)
        row.measures[record.task] = _measure(record)
        row.heads[record.task] = size["head"]
    return row


def _method(records: list[Record]) -> str:
    """Return the method with its sizes, which tuning or a recipe may choose for each task."""
    labels = sorted({record.label for record in records})
    if len(labels) <= _SIZES:
        return " or ".join(labels)
    names = sorted({str(record.row_method["name"]) for record in records})
    return f"{' or '.join(names)}, {len(labels)} sizes"


def reduced_precision(settings: dict[str, Any]) -> list[str]:
    """Return the precision to name in a label: any but full."""
    precision = settings.get("precision", "fp32")
    return [] if precision == "fp32" else [str(precision)]


def _tell_apart(rows: list[Row]) -> None:
    """Add to labels that several rows share the settings in which those rows differ."""
    same: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        same[(row.label, row.model, row.weights)].append(row)
    for twins in same.values():
        settings = [filled(row.settings) for row in twins]
        keys = sorted({key for own in settings for key in own})
        differing = [k for k in keys if len({str(own.get(k)) for own in settings}) > 1]
        for row, own in zip(twins, settings, strict=True):
            if differing:
                row.apart += (
                    f" ({', '.join(f'{key}={as_text(own.get(key))}' for key in differing)})"
                )
