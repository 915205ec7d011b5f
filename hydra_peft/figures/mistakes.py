"""Contact sheet of a run's worst mistakes: images that it is surest of and wrong about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.checkout import CACHE
from hydra_peft.data.sources import text_columns
from hydra_peft.data.unread import nothing_to_show
from hydra_peft.errors import UserError
from hydra_peft.figures._base import FigureData, RunFigure
from hydra_peft.figures._captions import describe_runs, warnings
from hydra_peft.figures._style import PAGE, picture
from hydra_peft.plain_text import shortened
from hydra_peft.runs.kept_predictions import of_classes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.predictions import ClassPredictions
    from hydra_peft.tables.overrides import Defaults

_COLUMNS = 6
#: more would be no sheet to look at
_MOST = 120
#: characters of a class name under an image
_LONGEST = 18


@dataclass(frozen=True)
class Settings:
    """Options on the command line; empty is the default that the option's text names."""

    images: int = 24
    split: str = ""
    cache: str = ""
    data: str = ""

    def __post_init__(self) -> None:
        if self.images > _MOST:
            raise UserError(f"images={self.images} is not allowed: it must be at most {_MOST}.")


def check(folder: Path, settings: Settings) -> None:
    """Check that the run in ``folder`` kept predictions of the split, and that it has images."""
    _, config, _ = of_classes(folder, settings.split)
    if text_columns(config.dataset.source, config.dataset.name):
        raise nothing_to_show(config.dataset.name)


def data(
    folders: Sequence[Path], settings: Settings, defaults: Defaults | None = None
) -> FigureData:
    """Return one row for each example that is not right, the surest first.

    Columns: ``row`` (its place in the split), classes by number and name, ``probability`` of the
    predicted class and ``of_target``, of the true one. The first ``images`` of them are drawn.

    Raises:
        UserError: there is no mistake, or see
            :func:`hydra_peft.runs.predictions.read_class_predictions` and
            :func:`hydra_peft.runs.predictions.scored_images`.
    """
    from hydra_peft.runs.predictions import read_class_predictions, scored_images

    (folder,) = folders
    run = read_class_predictions(folder, settings.split)
    table = _mistakes(run)
    if table.empty:
        raise UserError(f"the run in {folder} makes no mistake on {run.split}.")
    cache = Path(settings.cache).expanduser() if settings.cache else CACHE
    images = scored_images(run, cache=cache, data=settings.data or None)
    drawn = table.head(settings.images)
    caption = (
        f"{describe_runs([run.record], defaults)}. {len(drawn)} of {len(table)} mistakes among "
        f"{len(run.targets)} examples of {run.split}, those with the highest probability of "
        "a wrong class. Above each image: true class; below: predicted class, its probability."
    )
    pixels = [images.pixels(row) for row in drawn["row"]]
    return FigureData(
        {"": table}, caption, facts={"pixels": pixels}, warnings=warnings([run.record])
    )


def _mistakes(run: ClassPredictions) -> pd.DataFrame:
    import pandas as pd

    rows = (run.predicted != run.targets).nonzero()[:, 0]
    targets, predicted = run.targets[rows], run.predicted[rows]
    table = pd.DataFrame({
        "row": rows.tolist(),
        "target": targets.tolist(),
        "target_name": [run.names[index] for index in targets.tolist()],
        "prediction": predicted.tolist(),
        "prediction_name": [run.names[index] for index in predicted.tolist()],
        "probability": run.probabilities[rows, predicted].tolist(),
        "of_target": run.probabilities[rows, targets].tolist(),
    })  # fmt: skip
    return table.sort_values(["probability", "row"], ascending=[False, True], ignore_index=True)


def plot(data: FigureData) -> Picture:
    """Draw the images in rows, each with what it is and what it was taken for."""
    pixels = (data.facts or {})["pixels"]
    rows = -(-len(pixels) // _COLUMNS)
    made = picture(PAGE, 1.5 * rows + 0.3 * bool(data.warnings))
    grid = made.subplots(rows, _COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, mistake in zip(grid.flat, pixels, data.table.itertuples(), strict=False):
        axes.set_axis_on()
        axes.set_xticks([])
        axes.set_yticks([])
        axes.imshow(image, interpolation="nearest")
        axes.set_title(shortened(str(mistake.target_name), _LONGEST), fontsize=7, pad=2)
        name = shortened(str(mistake.prediction_name), _LONGEST)
        axes.set_xlabel(f"{name}\n{mistake.probability:.1%}", fontsize=7, labelpad=2)
    if data.warnings:
        made.suptitle(" · ".join(data.warnings), weight="bold")
    return made


FIGURE = RunFigure(
    name="mistakes",
    title="contact sheet of the images that a run is surest of and wrong about",
    settings=Settings,
    options=(
        f"images=24          how many, up to {_MOST}",
        "split=<name>       a further split that was scored (default: the one that counts)",
        "cache=<folder>     where generated images are kept (default: results/cache)",
        "data=<folder>      the folder of prepared data, if it has moved since",
    ),
    check=check,
    data=data,
    plot=plot,
)
