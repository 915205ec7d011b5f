"""Learning curves: training loss and accuracy by epoch, and the score that counts at their end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._bands import BANDS, OPTION, check_band, draw_band, spread
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._sheets import OPTIONS, Selection, Sheet, choose, in_words
from hydra_peft.figures._style import COLUMN, GREY, PAGE, SMALL, in_lines, legend, picture, room
from hydra_peft.runs.folder import METRICS
from hydra_peft.runs.history import read_history

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.runs.record import Record

_LOSS, _ACCURACY = "loss", "train_accuracy"
#: bands of so many series can be told apart
_BANDS = 6
#: inches that the title of an axis may take
_HEIGHT = 1.1
#: at most so many tasks side by side
_BESIDE = 4
#: how a note on a file begins that lacks some epochs
_PART = "drawn in part:"


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure."""

    band: str = "range"


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each method, task, quantity and epoch that all its seeds have.

    Columns: ``method``, ``task``, ``quantity`` (``loss``, mean over the epoch; ``train_accuracy``,
    percent, while it is trained, of tasks where an example is right or wrong; or
    ``<split>_<metric>``, the record's score), ``epoch``, ``mean``, ``low``, ``high``, ``seeds``.

    Raises:
        UserError: no run has a readable ``metrics.csv``, or no such band.
    """
    import pandas as pd

    check_band(settings.band)
    sheet = choose(collection, settings)
    notes: list[str] = []
    lines = list(_lines(sheet, settings.band, notes))
    if not any(line["quantity"] == _LOSS for line in lines):
        raise UserError(f"none of these runs has a {METRICS} that can be read: nothing to draw.")
    table = pd.DataFrame(lines)
    facts = {
        "split": sheet.table.split,
        "axes": {task: _axis(sheet, task, table) for task in set(table["task"])},
        "looks": {sheet.label(row): sheet.look(row) for row in sheet.table.rows},
        "tasks": [task for task in sheet.table.tasks if task in set(table["task"])],
    }
    caption = _caption(sheet, settings, table)
    if parts := sum(note.startswith(_PART) for note in notes):
        runs = "1 run" if parts == 1 else f"{parts} runs"
        caption += f" Of {runs} some epochs are missing: drawn where all seeds have them."
    return FigureData({"": table}, caption, (*notes, *sheet.notes), facts, sheet.marks)


def _score(sheet: Sheet, task: str) -> str:
    """Return the quantity of the score on ``task``: its metric in the place of the accuracy."""
    title = sheet.table.measures[task].title
    return f"{sheet.table.split}_{title.replace(' ', '_')}"


def _axis(sheet: Sheet, task: str, table: pd.DataFrame) -> str:
    """Return what the lower panel of ``task`` shows: training accuracy, a score, or both."""
    measure = sheet.table.measures[task]
    trained = ((table["task"] == task) & (table["quantity"] == _ACCURACY)).any()
    if not trained or measure.title == "accuracy":
        return measure.axis()
    return f"accuracy in training, {measure.title} at the end ({measure.unit})"


def _lines(sheet: Sheet, band: str, notes: list[str]) -> Iterator[dict[str, Any]]:
    for row in sheet.table.rows:
        for task in sheet.table.tasks:
            records = [record for record in row.records if record.task == task]
            start = {"method": sheet.label(row), "task": task}
            percent = sheet.table.measures[task].in_percent
            read = [_read(sheet.folders[id(record)], record, notes) for record in records]
            histories = [history for history in read if history]
            shared = set.intersection(*(set(history) for history in histories)) if histories else ()
            for epoch in sorted(shared):
                for at, quantity in enumerate((_LOSS, _ACCURACY)):
                    values = [history[epoch][at] for history in histories]
                    line = {**start, "quantity": quantity, "epoch": epoch}
                    # There is no accuracy where examples are not right or wrong, and on an axis
                    # that is not in percent no place for it.
                    if quantity == _LOSS or (percent and all(map(math.isfinite, values))):
                        yield {**line, **spread(values, band)}
            if records:
                scores = [float(record.scores[record.split][record.primary]) for record in records]
                epoch = max(int(record.selection.get("epoch", 0)) for record in records)
                line = {**start, "quantity": _score(sheet, task), "epoch": epoch}
                yield {**line, **spread(scores, band)}


def _read(folder: Path, record: Record, notes: list[str]) -> dict[int, tuple[float, float]]:
    """Return training loss and accuracy by epoch; with a note where some or all are missing."""
    try:
        history = read_history(folder, record)
    except UserError as error:
        notes.append(f"left out of the curves: {error}")
        return {}
    if history is None:
        notes.append(f"left out of the curves: {folder / METRICS} has no epoch.")
        return {}
    if history.faults:
        notes.append(f"{_PART} {history.faults}")
    return {e: pair for e, pair in history.epochs.items() if math.isfinite(pair[0])}


def _caption(sheet: Sheet, settings: Settings, table: pd.DataFrame) -> str:
    counts = table["seeds"].tolist()
    parts = [sheet.caption]
    if max(counts) > 1:
        drawn = "bars" if len(sheet.table.rows) > _BANDS else "bands and bars"
        parts.append(f"Lines: means; {drawn}: {BANDS[settings.band]} ({in_words(counts)}).")
    if min(counts) == 1:
        parts.append("Without a bar: one seed." if max(counts) > 1 else "One seed each.")
    rule = sheet.table.selection
    parts.append(
        f"{_trained(table)} over the epoch while it is trained; marks at the right: "
        f"{sheet.scores}, of {sheet.table.split} ({rule})."
    )
    if table["task"].nunique() > 1:
        parts.append("Each panel has scales of its own.")
    return " ".join(parts)


def _trained(table: pd.DataFrame) -> str:
    accuracy = (table["quantity"] == _ACCURACY).any()
    return "Training loss and accuracy are means" if accuracy else "Training loss is the mean"


def plot(data: FigureData) -> Picture:
    """Draw a loss panel and, below it, one of accuracy and score, for each task."""
    facts = data.facts or {}
    tasks: list[str] = facts["tasks"]
    blocks = -(-len(tasks) // _BESIDE)
    columns = -(-len(tasks) // blocks)
    width = COLUMN if columns <= 2 else PAGE
    labels = list(facts["looks"])
    height = 2.7 * blocks + room(width, labels, data.warnings)
    made = picture(width, height)
    grid = made.subplots(2 * blocks, columns, squeeze=False, sharex="col")
    for axes in grid.flat:
        axes.set_visible(False)
    handles: dict[str, Any] = {}
    for number, task in enumerate(tasks):
        block, column = divmod(number, columns)
        pair = grid[2 * block, column], grid[2 * block + 1, column]
        handles |= _draw(pair, data.table[data.table["task"] == task], facts)
        pair[0].set_title(in_lines(task, width / columns - 0.25))
        pair[1].set_xlabel("epoch")
        pair[1].tick_params(labelbottom=True)
        if column == 0:
            pair[0].set_ylabel("training loss\n(log scale)")
        # Beside one that says the same it is not said again.
        if column == 0 or facts["axes"][task] != facts["axes"][tasks[number - 1]]:
            pair[1].set_ylabel(in_lines(facts["axes"][task], _HEIGHT))
    legend(made, {name: handles[name] for name in labels if name in handles}, data.warnings)
    return made


def _draw(pair: tuple[Axes, Axes], table: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, Any]:
    from matplotlib.ticker import MaxNLocator

    handles = {}
    last = int(table["epoch"].max())
    for axes, quantity in zip(pair, (_LOSS, _ACCURACY), strict=True):
        axes.set_visible(True)
        axes.grid(axis="y")
        ticks = {round(epoch) for epoch in MaxNLocator(4, integer=True).tick_values(1, last)}
        axes.set_xticks(sorted(epoch for epoch in ticks if epoch <= last))
        for name, look in facts["looks"].items():
            lines = table[(table["method"] == name) & (table["quantity"] == quantity)]
            if len(lines):
                # A single epoch is a point, which no line shows.
                marker = "" if len(lines) > 1 else look["marker"]
                band = len(facts["looks"]) <= _BANDS
                handles[name] = draw_band(axes, lines, "epoch", look, band=band, marker=marker)
    _plain_log(pair[0])
    scores = table[~table["quantity"].isin((_LOSS, _ACCURACY))]
    step = min(0.06, 0.8 / (len(facts["looks"]) + 1)) * last
    for number, (name, look) in enumerate(facts["looks"].items(), 1):
        line = scores[scores["method"] == name]
        if len(line):
            handles[name] = _draw_score(pair[1], line.iloc[0], last + number * step, look)
    pair[1].axvline(last + step / 3, color=GREY, linewidth=0.6)
    middle = last + step * (len(facts["looks"]) + 1) / 2
    style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": SMALL}
    pair[1].text(middle, 1.0, facts["split"], transform=pair[1].get_xaxis_transform(), **style)
    return handles


def _plain_log(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    logarithmic = LogLocator(subs=(1, 2, 5) if high / low < 1e3 else (1,))
    axes.yaxis.set_major_locator(MaxNLocator(4) if high / low < 3 else logarithmic)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def _draw_score(axes: Axes, line: pd.Series[Any], x: float, look: Mapping[str, Any]) -> Any:
    reach = [[line["mean"] - line["low"]], [line["high"] - line["mean"]]]
    bars = None if line["seeds"] == 1 else reach
    axes.errorbar(x, line["mean"], yerr=bars, elinewidth=0.8, **{**look, "linestyle": "none"})
    # What stands in the legend has the look of both the line and the mark.
    (handle,) = axes.plot([], [], **look)
    return handle


FIGURE = CollectionFigure(
    name="curves",
    title="learning curves by task, with bands over seeds",
    data=data,
    plot=plot,
    settings=Settings,
    options=(*OPTIONS, OPTION),
)
