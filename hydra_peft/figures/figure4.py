"""Figure 4: where the branches' features lie, by t-SNE, and by a number that needs none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._base import FigureData, RunFigure
from hydra_peft.figures._branches import (
    IMAGE_OPTIONS,
    ImageSettings,
    Sample,
    adapted_layers,
    check_features,
    choose_layer,
    cls_outputs,
    sample_images,
)
from hydra_peft.figures._captions import describe_runs, warnings
from hydra_peft.figures._looks import BRANCHES
from hydra_peft.figures._style import PAGE, SMALL, formulas, in_lines, legend, picture
from hydra_peft.plain_text import rounded
from hydra_peft.tables.grouping import run_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture
    from torch import Tensor

    from hydra_peft.runs.record import Record
    from hydra_peft.tables.overrides import Defaults

#: t-SNE seeds of a single run, one panel each
SEEDS = (0, 1, 2)
#: panels side by side
_COLUMNS = 3
_MOST = 12
_PERPLEXITY = 30.0


@dataclass(frozen=True)
class Settings(ImageSettings):
    """Settings of this figure."""

    layer: str = ""


def data(
    folders: Sequence[Path], settings: Settings, defaults: Defaults | None = None
) -> FigureData:
    """Return t-SNE points, one row each panel, image and branch, and alignments beside them.

    Raises:
        UserError: a run cannot be rebuilt, has no low-rank branches, reads texts, or its images are
            not there.
    """
    import pandas as pd

    if len(folders) > _MOST:
        raise UserError(f"figure=4 shows up to {_MOST} runs side by side, not {len(folders)}.")
    found = [_outputs(folder, settings) for folder in folders]
    records = [each.record for each in found]
    runs = _run_labels(records, defaults)
    points, alignments = [], []
    for run, each in zip(runs, found, strict=True):
        alignments.append(_alignments(run, each.layer, each.outputs))
        for seed in SEEDS if len(folders) == 1 else SEEDS[:1]:
            panel = f"t-SNE seed {seed}" if len(folders) == 1 else run
            points.append(_points(panel, run, seed, each))
    aligned = pd.concat(alignments, ignore_index=True)
    layers = ", ".join(dict.fromkeys(each.layer for each in found))
    images = dict.fromkeys(f"{len(f.sample.labels)} evenly spaced {f.sample.split}" for f in found)
    alone = f" CKA (debiased) of {'; '.join(_pairs(aligned))}." if len(folders) == 1 else ""
    caption = (
        f"{describe_runs(records, defaults)}. [CLS] in layer {layers}, {', '.join(images)} "
        "images; terms of the layer's output, biases and the factor s included. "
        "t-SNE of all branches together: distances between clouds and their sizes mean little; "
        f"CKA (debiased) does not depend on it.{alone}"
    )
    tables = {"": pd.concat(points, ignore_index=True), "alignment": aligned}
    return FigureData(tables, caption, _notes(aligned), warnings=warnings(records))


@dataclass(frozen=True)
class _Outputs:
    """Outputs of the branches of one layer on ``sample``, ``[n, d]`` each."""

    record: Record
    layer: str
    sample: Sample
    outputs: dict[str, Tensor]


def _outputs(folder: Path, settings: Settings) -> _Outputs:
    from hydra_peft.runs.rebuild import rebuild

    run = rebuild(folder, checkpoint=settings.checkpoint or None)
    layer = choose_layer(run, adapted_layers(run), settings.layer)
    sample = sample_images(run, settings)
    outputs = cls_outputs(run, layer, sample)
    return _Outputs(run.record, layer.name, sample, outputs)


def _run_labels(records: list[Record], defaults: Defaults | None) -> list[str]:
    """Return labels that tell runs apart: the seed, or more where seeds repeat."""
    seeds = [f"seed {record.seed}" for record in records]
    labels = [run_label(record, defaults) for record in records]
    kinds = {
        (r.benchmark, r.task, label, r.model, r.protocol)
        for r, label in zip(records, labels, strict=True)
    }
    if len(kinds) == 1 and len(set(seeds)) == len(seeds):
        return seeds
    return [
        f"{record.task}, {label}, {seed} #{number}"
        for number, (record, label, seed) in enumerate(zip(records, labels, seeds, strict=True), 1)
    ]


def _points(panel: str, run: str, seed: int, found: _Outputs) -> pd.DataFrame:
    import pandas as pd

    places = _tsne(list(found.outputs.values()), seed)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "panel": panel,
                    "run": run,
                    "tsne_seed": seed,
                    "image": found.sample.positions.numpy(),
                    "label": found.sample.labels.numpy(),
                    "branch": branch,
                    "x": place[:, 0],
                    "y": place[:, 1],
                }
            )
            for branch, place in zip(found.outputs, places, strict=True)
        ],
        ignore_index=True,
    )


def _tsne(features: list[Tensor], seed: int) -> list[Any]:
    """Embed all ``features``, ``[n, d]`` each, in one plane; return float ``[n, 2]`` for each.

    From a random start: from principal components every seed ends in the same picture.
    """
    import numpy as np
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    stacked = np.concatenate([f.double().numpy() for f in features])
    perplexity = min(_PERPLEXITY, (len(stacked) - 1) / 3)
    method = TSNE(perplexity=perplexity, init="random", random_state=seed)
    # Some hundred points are not worth threads, and one gives the same bits on every machine.
    with threadpool_limits(1):
        embedded = method.fit_transform(stacked)
    return np.split(embedded, len(features))


def _alignments(run: str, layer: str, outputs: dict[str, Tensor]) -> pd.DataFrame:
    import pandas as pd

    from hydra_peft.analysis.alignment import debiased_cka, linear_cka

    return pd.DataFrame(
        [
            {
                "run": run,
                "layer": layer,
                "first": first,
                "second": second,
                "cka_debiased": debiased_cka(outputs[first], outputs[second]),
                "cka": linear_cka(outputs[first], outputs[second]),
                "images": len(outputs[first]),
            }
            for first, second in combinations(outputs, 2)
        ]
    )


def _notes(aligned: pd.DataFrame) -> tuple[str, ...]:
    return tuple(
        f"{row['run']}: CKA of {row['first']} and {row['second']} "
        f"{rounded(row['cka_debiased'], 3)} (without correcting the bias of {row['images']} images "
        f"{rounded(row['cka'], 3)})"
        for row in aligned.to_dict("records")
    )


def plot(data: FigureData) -> Picture:
    """Draw a panel each run or t-SNE seed, with the run's alignments below it."""
    table, aligned = data.table, data.tables["alignment"]
    panels = list(dict.fromkeys(table["panel"]))
    rows, columns = -(-len(panels) // _COLUMNS), min(len(panels), _COLUMNS)
    several = table["run"].nunique() > 1
    side = (PAGE - 0.2) / _COLUMNS
    made = picture(side * columns + 0.2, rows * (side + (0.58 if several else 0.05)) + 0.4)
    grid = made.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    for letter, axes, panel in zip("abcdefghijkl", grid, panels, strict=False):
        points = table[table["panel"] == panel]
        _panel(axes, points, f"({letter}) {panel}")
        if several:
            own = aligned[aligned["run"] == points["run"].iloc[0]]
            axes.set_xlabel("CKA (debiased)\n" + "\n".join(_pairs(own)), fontsize=SMALL)
    handles, labels = grid[0].get_legend_handles_labels()
    legend(made, dict(zip(labels, handles, strict=True)), data.warnings, markerscale=1.5)
    formulas(made)
    return made


def _pairs(aligned: pd.DataFrame) -> list[str]:
    return [
        f"{row['first']}, {row['second']}: {rounded(row['cka_debiased'], 2)}"
        for row in aligned.to_dict("records")
    ]


def _panel(axes: Axes, points: pd.DataFrame, title: str) -> None:
    for branch, rows in points.groupby("branch", sort=False):
        look = BRANCHES[str(branch)]
        axes.scatter(
            rows["x"],
            rows["y"],
            s=9,
            color=look["color"],
            marker=look["marker"],
            alpha=0.75,
            linewidths=0,
            label=_LABELS[str(branch)],
        )
    axes.set_title(in_lines(title, PAGE / _COLUMNS))
    axes.set(xticks=[], yticks=[], box_aspect=1)
    for spine in axes.spines.values():
        spine.set_visible(True)


_LABELS = {
    "pretrained": "pretrained, $f(x; W_0, b_0)$",
    "parallel": "parallel, $g(x; A)$",
    "sequential": "sequential, $g(f; B)$",
}

FIGURE = RunFigure(
    name="4",
    title="t-SNE of the branches' [CLS] features, with centred kernel alignment",
    settings=Settings,
    options=(
        "run=<folder>,...   a panel each run; of one run three panels, t-SNE seeds 0, 1, 2",
        "layer=<name>       an adapted layer (default: mlp.fc2 of the last block, or the last one)",
        *IMAGE_OPTIONS,
    ),
    check=check_features,
    data=data,
    plot=plot,
    several=True,
)
