"""Learning curves: training loss and accuracy by epoch, and the score that counts at their end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._bands import BANDS, OPTION, bare, check_band, draw_band, spread
from hydra_peft.figures._base import MOST_NOTES, CollectionFigure, FigureData
from hydra_peft.figures._epochs import Places, inches_for, places
from hydra_peft.figures._looks import of_one_look
from hydra_peft.figures._sheets import OPTIONS, Selection, Sheet, choose, spread_in_words
from hydra_peft.figures._style import COLUMN, GREY, PAGE, SMALL, in_lines, legend, picture, room
from hydra_peft.plain_text import counted, few_of_each
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
#: marks on a line, at most
_MARKS = 5
#: a loss that is less than the first, or not less than the second, is written in powers of ten, and
#: so are all beside it
_PLAIN = (1e-4, 1e5)
#: inches beside a panel that labels take
_LABELS = 0.5
#: inches that the title of an axis may take
_HEIGHT = 1.1
#: at most so many tasks side by side
_BESIDE = 4
#: how a note on a file begins that lacks some epochs
_PART = "drawn in part:"
#: and one on a file that has none
_OUT = "left out of the curves:"


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
    notes += [
        f"{_OUT} {sheet.label(row)} trains nothing, its runs have no epochs."
        for row in sheet.table.rows
        if not row.trains
    ]
    if not any(line["quantity"] == _LOSS for line in lines):
        if not any(row.trains for row in sheet.table.rows):
            raise UserError("none of these runs trains anything: there are no curves to draw.")
        first = next((note.removeprefix(_OUT) for note in notes), " nothing to draw.")
        raise UserError(f"none of these runs has a {METRICS} with an epoch to draw:{first}")
    table = pd.DataFrame(lines)
    facts = {
        "split": sheet.table.split,
        "axes": {task: _axis(sheet, task, table) for task in set(table["task"])},
        "looks": {sheet.label(row): sheet.look(row) for row in sheet.table.rows if row.trains},
        "tasks": [task for task in sheet.table.tasks if task in set(table["task"])],
    }
    caption = _caption(sheet, settings, table)
    if parts := sum(note.startswith(_PART) for note in notes):
        runs = counted(parts, "run")
        caption += f" The {METRICS} of {runs} is not whole: drawn is what all seeds have."
    unseen = list(_unseen(table))
    if unseen:
        caption += " Losses of 0 or below have no place on the logarithmic axis."
    said = (*few_of_each([*notes, *unseen], MOST_NOTES), *sheet.notes)
    return FigureData({"": table}, caption, said, facts, sheet.marks)


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
            records = [record for record in row.records if record.task == task and record.trains]
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


def _unseen(table: pd.DataFrame) -> Iterator[str]:
    """Yield a note for each line whose mean loss has epochs that no logarithmic axis shows."""
    losses = table[table["quantity"] == _LOSS]
    for (method, task), lines in losses.groupby(["method", "task"], sort=False):
        count = int((lines["mean"] <= 0).sum())
        # Where all are so, the axis is a plain one.
        if count and (losses[losses["task"] == task][["mean", "high"]] > 0).any(axis=None):
            epochs = counted(count, "epoch")
            yield (
                f"not drawn: the mean loss of {epochs} of {method} on {task} is 0 or below, which "
                "a logarithmic axis does not show; the CSV has it."
            )


def _read(folder: Path, record: Record, notes: list[str]) -> dict[int, tuple[float, float]]:
    """Return training loss and accuracy by epoch; with a note where some or all are missing."""
    try:
        history = read_history(folder, record)
    except UserError as error:
        notes.append(f"{_OUT} {error}")
        return {}
    if history is None:
        notes.append(f"{_OUT} {folder / METRICS} has no epoch.")
        return {}
    if history.faults:
        notes.append(f"{_PART if history.epochs else _OUT} {history.faults}")
    return history.epochs


def _caption(sheet: Sheet, settings: Settings, table: pd.DataFrame) -> str:
    counts = table["seeds"].tolist()
    records = (record for row in sheet.table.rows for record in row.records)
    parts = [sheet.caption(record.seed for record in records if record.trains)]
    if max(counts) > 1:
        drawn = "bars" if len(sheet.table.rows) > _BANDS else "bands and bars"
        parts.append(f"Lines: means; {drawn}: {BANDS[settings.band]} ({spread_in_words(counts)}).")
        if why := bare(table[~table["quantity"].isin((_LOSS, _ACCURACY))]):
            parts.append(f"Without a bar: {why}.")
    else:
        parts.append("One seed each.")
    rule = sheet.table.selection
    parts.append(
        f"{_trained(table)} over the epoch while it is trained; marks at the right: "
        f"{sheet.scores}, of {sheet.table.split} ({rule})."
    )
    lengths = table[table["quantity"] == _LOSS].groupby(["method", "task"]).size()
    if (lengths == 1).any():
        beside = ", left of it where there are lines" * bool((lengths > 1).any())
        parts.append(f"Marks of a single epoch stand side by side{beside}.")
    if table["task"].nunique() > 1:
        parts.append("Each panel has scales of its own.")
    parts += of_one_look(sheet.look(row) for row in sheet.table.rows if row.trains)
    return " ".join(parts)


def _trained(table: pd.DataFrame) -> str:
    accuracy = (table["quantity"] == _ACCURACY).any()
    return "Training loss and accuracy are means" if accuracy else "Training loss is the mean"


def plot(data: FigureData) -> Picture:
    """Draw a loss panel and, below it, one of accuracy and score, for each task."""
    facts = data.facts or {}
    tasks: list[str] = facts["tasks"]
    columns, blocks, width = _sheet(data.table, tasks)
    labels = list(facts["looks"])
    height = 2.7 * blocks + room(width, labels, data.warnings)
    made = picture(width, height)
    grid = made.subplots(2 * blocks, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_visible(False)
    handles: dict[str, Any] = {}
    for number, task in enumerate(tasks):
        block, column = divmod(number, columns)
        pair = grid[2 * block, column], grid[2 * block + 1, column]
        lines = data.table[data.table["task"] == task]
        pair[0].sharex(pair[1])
        handles |= _draw(pair, lines, facts, width / columns - _LABELS)
        pair[0].set_title(in_lines(task, width / columns - 0.25))
        pair[1].set_xlabel("epoch")
        pair[0].tick_params(labelbottom=False)
        if column == 0:
            pair[0].set_ylabel("training loss\n(log scale)")
        # Beside one that says the same it is not said again.
        if column == 0 or facts["axes"][task] != facts["axes"][tasks[number - 1]]:
            pair[1].set_ylabel(in_lines(facts["axes"][task], _HEIGHT))
    legend(made, {name: handles[name] for name in labels if name in handles}, data.warnings)
    return made


def _sheet(table: pd.DataFrame, tasks: Sequence[str]) -> tuple[int, int, float]:
    """Return columns and rows of the tasks' panels, and inches of the picture.

    As many stand side by side as have room for their marks.
    """
    widest = 0.0
    for task in tasks:
        own = table[table["task"] == task]
        lengths = own[own["quantity"] == _LOSS].groupby("method").size()
        single, lines = int((lengths == 1).sum()), bool((lengths > 1).any())
        needed = inches_for(single, own["method"].nunique(), lines=lines)
        widest = max(widest, needed + _LABELS)
    most = max(1, min(_BESIDE, int(PAGE / widest)))
    blocks = -(-len(tasks) // most)
    columns = -(-len(tasks) // blocks)
    return columns, blocks, COLUMN if columns <= 2 and columns * widest <= COLUMN else PAGE


def _draw(
    pair: tuple[Axes, Axes], table: pd.DataFrame, facts: Mapping[str, Any], width: float
) -> dict[str, Any]:
    """Draw the panels of a task, of so many inches; return what stands in the legend."""
    from matplotlib.ticker import MaxNLocator

    methods = set(table["method"])
    looks = {name: look for name, look in facts["looks"].items() if name in methods}
    losses = table[table["quantity"] == _LOSS]
    epochs = {n: own for n in looks if (own := list(losses[losses["method"] == n]["epoch"]))}
    where, last = places(epochs, list(looks), width), max(losses["epoch"], default=1)
    ticks = {round(x) for x in MaxNLocator(4, integer=True).tick_values(1, last)}
    for axes, quantity in zip(pair, (_LOSS, _ACCURACY), strict=True):
        axes.set_visible(True)
        axes.grid(axis="y")
        lines, band = table[table["quantity"] == quantity], len(facts["looks"]) <= _BANDS
        _draw_curves(axes, lines, looks, where, band=band)
    pair[1].set_xticks(sorted(epoch for epoch in ticks if 1 <= epoch <= last))
    pair[1].set_xlim(where.ends)
    _plain_log(pair[0])
    scores = table[~table["quantity"].isin((_LOSS, _ACCURACY))]
    handles = {}
    for name, look in looks.items():
        for _, line in scores[scores["method"] == name].iterrows():
            _draw_mark(pair[1], line, where.scores[name], look)
        # What stands in the legend has the look of both the line and the mark.
        (handles[name],) = pair[1].plot([], [], **look)
    pair[1].axvline(where.edge, color=GREY, linewidth=0.6)
    style: dict[str, Any] = {"ha": "center", "va": "bottom", "fontsize": SMALL}
    middle, above = (where.edge + where.ends[1]) / 2, pair[1].get_xaxis_transform()
    pair[1].text(middle, 1.0, facts["split"], transform=above, **style)
    return handles


def _draw_curves(
    axes: Axes,
    table: pd.DataFrame,
    looks: Mapping[str, Mapping[str, Any]],
    where: Places,
    *,
    band: bool,
) -> None:
    """Draw the lines of ``table`` by their method.

    What has a single epoch is a point, which no line shows. Lines have some marks, each line at
    other epochs: where one hides another its marks are seen.
    """
    curves = {n: lines for n in looks if len(lines := table[table["method"] == n])}
    longer = {name: lines for name, lines in curves.items() if len(lines) > 1}
    for name, lines in curves.items():
        if name not in longer:
            at = where.points.get(name, lines["epoch"].iloc[0])
            _draw_mark(axes, lines.iloc[0], at, looks[name])
    for number, (name, lines) in enumerate(longer.items()):
        every = min(max(-(-len(lines) // _MARKS), len(longer)), len(lines))
        marks = (number % every, every)
        draw_band(axes, lines, "epoch", looks[name], band=band, markevery=marks)


def _plain_log(axes: Axes) -> None:
    import numpy as np
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    if not math.isfinite(axes.dataLim.minposy):
        return  # losses of 0 alone, which no logarithm shows
    axes.set_yscale("log")
    for line in axes.get_lines():  # which would fall to the bottom
        heights = np.asarray(line.get_ydata(), dtype=float)
        line.set_ydata(np.where(heights > 0, heights, np.nan))
    low, high = axes.get_ylim()
    logarithmic = LogLocator(subs=(1, 2, 5) if high / low < 1e3 else (1,))
    axes.yaxis.set_major_locator(MaxNLocator(4) if high / low < 3 else logarithmic)
    axes.yaxis.set_minor_locator(NullLocator())
    plain = low >= _PLAIN[0] and high < _PLAIN[1]
    axes.yaxis.set_major_formatter(lambda x, _: f"{x:g}" if plain else _in_powers(x))


def _in_powers(x: float) -> str:
    """Return ``x`` in three digits and a power of ten, as in ``2.5e6``."""
    digits, power = f"{x:.2e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def _draw_mark(axes: Axes, line: pd.Series[Any], x: float, look: Mapping[str, Any]) -> None:
    reach = [[line["mean"] - line["low"]], [line["high"] - line["mean"]]]
    bars = None if line["seeds"] == 1 else reach
    axes.errorbar(x, line["mean"], yerr=bars, elinewidth=0.8, **{**look, "linestyle": "none"})


FIGURE = CollectionFigure(
    name="curves",
    title="learning curves by task, with bands over seeds",
    data=data,
    plot=plot,
    settings=Settings,
    options=(*OPTIONS, OPTION),
)
