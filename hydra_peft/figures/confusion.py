"""Confusion matrix of a run: which class is taken for which, and the accuracy of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._base import FigureData, RunFigure
from hydra_peft.figures._captions import describe_runs, warnings
from hydra_peft.figures._style import GREY, HEAT, PAGE, SMALL, picture
from hydra_peft.plain_text import shortened, shortened_apart
from hydra_peft.runs.kept_predictions import of_classes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.predictions import ClassPredictions
    from hydra_peft.tables.overrides import Defaults

#: classes whose cells have room for a number
_NUMBERED = 12
#: classes that are all named in the picture; of more, the least accurate ones
_NAMED = 50
_LEAST = 30
#: characters of a class name in the picture
_LONGEST = 24
#: classes of which a matrix is drawn, with a cell for each pair
_MOST = 1000
#: confusions that are named as notes
_NOTED = 3


@dataclass(frozen=True)
class Settings:
    """Options on the command line; empty is the split that counts."""

    split: str = ""


def check(folder: Path, settings: Settings) -> None:
    """Check that the run in ``folder`` kept predictions of the split, of not too many classes."""
    count = of_classes(folder, settings.split)[1].dataset.classes
    if count > _MOST:
        raise UserError(
            f"the task of the run in {folder} has {count:,} classes, and a confusion matrix is "
            f"drawn of at most {_MOST:,}: draw figure=mistakes."
        )


def data(
    folders: Sequence[Path], settings: Settings, defaults: Defaults | None = None
) -> FigureData:
    """Return one row for each pair of true and predicted class that occurs.

    Table ``classes`` has for each class its number of examples, how many were right, and its
    accuracy in percent (NaN for classes without an example).

    Raises:
        UserError: there are too many classes, or see
            :func:`hydra_peft.runs.predictions.read_class_predictions`.
    """
    from hydra_peft.runs.predictions import read_class_predictions

    (folder,) = folders
    check(folder, settings)
    run = read_class_predictions(folder, settings.split)
    table, classes = _pairs(run), _classes(run)
    record, count = run.record, len(run.names)
    caption = (
        f"{describe_runs([record], defaults)}. {len(run.targets)} examples of {run.split}, {count} "
        "classes; rows: true class, colour: share of the row (root scale). Right: accuracy of "
        f"each class{'' if count <= _NAMED else f', the {_LEAST} lowest'}; dotted: of all examples."
    )
    facts = {"accuracy": 100 * float((run.predicted == run.targets).float().mean())}
    tables = {"": table, "classes": classes}
    return FigureData(tables, caption, _notes(table, classes), facts, warnings([record]))


def _pairs(run: ClassPredictions) -> pd.DataFrame:
    import pandas as pd
    import torch

    count = len(run.names)
    counts = torch.bincount(run.targets * count + run.predicted, minlength=count * count)
    rows = [divmod(place, count) for place in counts.nonzero()[:, 0].tolist()]
    return pd.DataFrame({
        "target": [target for target, _ in rows],
        "prediction": [prediction for _, prediction in rows],
        "target_name": [run.names[target] for target, _ in rows],
        "prediction_name": [run.names[prediction] for _, prediction in rows],
        "count": counts[counts > 0].tolist(),
    })  # fmt: skip


def _classes(run: ClassPredictions) -> pd.DataFrame:
    import pandas as pd
    import torch

    count = len(run.names)
    examples = torch.bincount(run.targets, minlength=count)
    correct = torch.bincount(run.targets[run.predicted == run.targets], minlength=count)
    return pd.DataFrame({
        "class": range(count),
        "name": run.names,
        "examples": examples.tolist(),
        "correct": correct.tolist(),
        "accuracy": (100 * correct.double() / examples).tolist(),
    })  # fmt: skip


def _notes(table: pd.DataFrame, classes: pd.DataFrame) -> tuple[str, ...]:
    wrong = table[table["target"] != table["prediction"]]
    most = wrong.sort_values("count", ascending=False, kind="stable").head(_NOTED)
    notes = [
        f"{row.target_name} was taken for {row.prediction_name} in {row.count} of "
        f"{classes['examples'][row.target]} examples"
        for row in most.itertuples()
    ]
    absent = int((classes["examples"] == 0).sum())
    if absent:
        have = "has" if absent == 1 else "have"
        notes.append(f"{absent} of {len(classes)} classes {have} no example in this split")
    return tuple(notes)


def plot(data: FigureData) -> Picture:
    """Draw the matrix beside the accuracy of each class, or of the least accurate ones."""
    classes = data.tables["classes"]
    count = len(classes)
    height = 3.6 if count <= _NUMBERED else 6.4
    made = picture(PAGE, height + 0.5)
    grid = made.subplots(1, 2, width_ratios=[4.2, 1.2])
    matrix, bars = grid
    image = _matrix(matrix, data.table, classes)
    if count <= _NAMED:
        labels = shortened_apart(classes["name"].astype(str).tolist(), _LONGEST)
        matrix.set_yticks(range(count), labels, fontsize=SMALL)
        upright = max(map(len, labels)) <= 2 or (count <= _NUMBERED and max(map(len, labels)) < 7)
        matrix.set_xticks(range(count), labels, fontsize=SMALL, rotation=0 if upright else 90)
        _bars(bars, classes, [""] * count)
        bars.set_ylim(matrix.get_ylim())
        bars.tick_params(left=False)
    else:
        least = classes.dropna().sort_values("accuracy", kind="stable").head(_LEAST)
        names = [
            shortened(name if name == str(number) else f"{number} {name}", _LONGEST)
            for number, name in zip(least["class"], least["name"].astype(str), strict=True)
        ]
        _bars(bars, least, names)
        bars.set_ylim(len(least) - 0.5, -0.5)
    bars.axvline((data.facts or {})["accuracy"], color=GREY, linestyle=":")
    ticks = [0, 0.05, 0.25, 0.5, 1]
    bar = made.colorbar(image, ax=matrix, location="top", aspect=50, shrink=0.6, ticks=ticks)
    bar.ax.set_xticklabels([f"{tick:.0%}" for tick in ticks])
    bar.set_label("share of the true class")
    if data.warnings:
        made.suptitle(" · ".join(data.warnings), weight="bold")
    return made


def _matrix(axes: Axes, table: pd.DataFrame, classes: pd.DataFrame) -> Any:
    """Draw shares of rows; counts in the cells where there is room."""
    import numpy as np
    from matplotlib.colors import PowerNorm

    count = len(classes)
    counts = np.zeros((count, count))
    counts[table["target"], table["prediction"]] = table["count"]
    shares = _shares(counts)
    image = axes.imshow(
        shares,
        cmap=HEAT,
        norm=PowerNorm(0.5, vmin=0, vmax=1),
        aspect="auto",
        interpolation="nearest",
    )
    if count <= _NUMBERED:
        for row, column, number in table[["target", "prediction", "count"]].to_numpy().tolist():
            dark = shares[row, column] < 0.3
            axes.text(
                column,
                row,
                str(number),
                ha="center",
                va="center",
                color="white" if dark else "black",
                fontsize=SMALL,
            )
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return image


def _shares(counts: np.ndarray) -> np.ndarray:
    """Return ``counts`` by row as shares of it; NaN, which stays white, in a row without any."""
    import numpy as np

    total = counts.sum(axis=1, keepdims=True)
    shares: np.ndarray = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    return shares


def _bars(axes: Axes, classes: pd.DataFrame, names: Sequence[str]) -> None:
    axes.barh(range(len(classes)), classes["accuracy"], color="#4C72B0", height=0.8)
    axes.set_yticks(range(len(classes)), names, fontsize=SMALL)
    axes.set_xlim(0, 100)
    axes.set_xlabel("accuracy (%)")
    axes.grid(axis="x")


FIGURE = RunFigure(
    name="confusion",
    title="confusion matrix and accuracy by class, of the split that a run was scored on",
    settings=Settings,
    options=("split=<name>       a further split that was scored (default: the one that counts)",),
    check=check,
    data=data,
    plot=plot,
)
