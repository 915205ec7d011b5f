"""Figure 3: do the updates of a run point where the frozen weights do?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.figures._base import FigureData, RunFigure
from hydra_peft.figures._branches import (
    CHECKPOINT_OPTION,
    AdaptedLayer,
    adapted_layers,
    check_branches,
)
from hydra_peft.figures._captions import describe_runs, warnings
from hydra_peft.figures._looks import BRANCHES
from hydra_peft.figures._style import GREY, HEAT, PAGE, formulas, picture

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture
    from matplotlib.figure import SubFigure

    from hydra_peft.tables.overrides import Defaults

#: directions of the update, as in the paper
COUNT = 2
_SIMILARITY = r"similarity $\phi(i, j)$"


@dataclass(frozen=True)
class Settings:
    """Options on the command line."""

    checkpoint: str = ""


def data(
    folders: Sequence[Path], settings: Settings, defaults: Defaults | None = None
) -> FigureData:
    """Return similarities of every adapted layer; one row each layer, branch, i and j.

    The summary has those of the largest i and j, with mean and standard deviation of what random
    subspaces would give.

    Raises:
        UserError: the run cannot be rebuilt, or has no low-rank branches.
    """
    import pandas as pd

    from hydra_peft.runs.rebuild import rebuild

    (folder,) = folders
    run = rebuild(folder, checkpoint=settings.checkpoint or None)
    layers = adapted_layers(run)
    table = pd.concat([_rows(layer) for layer in layers], ignore_index=True)
    last = table.groupby(["layer", "branch"], sort=False)["i"].transform("max") == table["i"]
    summary = table[last & (table["j"] == COUNT)].reset_index(drop=True)
    caption = (
        f"{describe_runs([run.record], defaults)}. Top 10% left singular vectors of W0 against "
        f"the first {COUNT} of A and of B W0 (eq. 14)."
    )
    tables = {"": table, "summary": summary}
    return FigureData(tables, caption, _notes(table, summary), warnings=warnings([run.record]))


def _rows(layer: AdaptedLayer) -> pd.DataFrame:
    import pandas as pd

    from hydra_peft.analysis.subspace import branch_similarities, chance_similarity

    width = len(layer.adapter.base.weight)
    rows: list[dict[str, Any]] = []
    for branch, similarity in branch_similarities(layer.adapter, count=COUNT).items():
        for i, values in enumerate(similarity.tolist(), 1):
            for j, value in enumerate(values, 1):
                mean, std = chance_similarity(i, j, width)
                rows.append(
                    {
                        "layer": layer.name,
                        "block": layer.block,
                        "kind": layer.kind,
                        "branch": branch,
                        "i": i,
                        "j": j,
                        "similarity": value,
                        "chance": mean,
                        "chance_std": std,
                    }
                )
    return pd.DataFrame(rows)


def _notes(table: pd.DataFrame, summary: pd.DataFrame) -> tuple[str, ...]:
    notes = [
        f"{branch} and W0: mean {rows['similarity'].mean():.4f} over {len(rows)} layers at the "
        f"full i and j = {COUNT} (random subspaces: {rows['chance'].mean():.4f})"
        for branch, rows in summary.groupby("branch", sort=False)
    ]
    for branch, rows in table.groupby("branch", sort=False):
        for j, values in rows.groupby("j"):
            layers = values.groupby("layer")["similarity"].apply(lambda v: v.isna().any()).sum()
            if layers:
                notes.append(
                    f"undefined in {layers} layers: {branch} has no {j} directions there (zero, of "
                    "smaller rank, or tied singular values)"
                )
    return tuple(notes)


def plot(data: FigureData) -> Picture:
    """Draw heat maps of every block above a summary over blocks."""
    table, summary = data.table, data.tables["summary"]
    blocks = sorted(set(table["block"]))
    maps_height, summary_height = 0.75 + 0.26 * len(blocks), 2.0
    made = picture(PAGE, maps_height + summary_height + 0.2 * bool(data.warnings))
    parts: Any = made.subfigures(2, 1, height_ratios=[maps_height, summary_height], hspace=0.02)
    upper, lower = parts
    _maps(upper, table, blocks)
    _summary(lower, summary)
    if data.warnings:
        made.suptitle(" · ".join(data.warnings), weight="bold")
    return made


def _maps(part: SubFigure, table: pd.DataFrame, blocks: list[int]) -> None:
    """Draw one heat map each block, kind of layer and branch."""
    columns = list(dict.fromkeys(zip(table["kind"], table["branch"], strict=True)))
    columns.sort(key=lambda column: list(dict.fromkeys(table["kind"])).index(column[0]))
    grid = part.subplots(len(blocks), len(columns), squeeze=False)
    top = float(table["similarity"].max())
    top = top if top > 0 else 1.0  # NaN, or zero
    cells = {str(key): rows for key, rows in table.groupby(["block", "kind", "branch"])}
    mappable = None
    for row, block in zip(grid, blocks, strict=True):
        for axes, (kind, branch) in zip(row, columns, strict=True):
            found = cells.get(str((block, kind, branch)))
            mappable = _map(axes, found, top) or mappable
        row[0].set_ylabel(str(block or "-"), rotation=0, ha="right", va="center", labelpad=8)
    for axes, (kind, branch) in zip(grid[0], columns, strict=True):
        axes.set_title(f"{kind}: {_math(branch)}", parse_math=True)
    for axes in grid[-1]:
        axes.tick_params(bottom=True, labelbottom=True)
    part.supylabel("block")
    rows = "i: leading directions of $W_0$   (rows of each map: j = 1, 2)"
    part.supxlabel(rows, fontsize=8, parse_math=True)
    if mappable is not None:
        bar = part.colorbar(mappable, ax=grid, shrink=1.0, aspect=30, pad=0.01)
        bar.set_label(_SIMILARITY, parse_math=True)


def _map(axes: Axes, found: pd.DataFrame | None, top: float) -> Any:
    """Draw one map, i along x, j downwards; what is undefined stays hatched."""
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
    if found is None:
        axes.set_axis_off()
        return None
    values = found.pivot(index="j", columns="i", values="similarity").to_numpy()
    axes.set_facecolor("white")
    axes.patch.set(hatch="/////", edgecolor="#BBBBBB")
    width = values.shape[1]
    axes.set_xticks(sorted({1, (width + 1) // 2, width}))
    extent = (0.5, width + 0.5, len(values) + 0.5, 0.5)
    return axes.imshow(
        values, cmap=HEAT, vmin=0, vmax=top, aspect="auto", extent=extent, interpolation="nearest"
    )


def _summary(part: SubFigure, summary: pd.DataFrame) -> None:
    """Draw the similarity at the full i and j over blocks, with chance behind it."""
    kinds = list(dict.fromkeys(summary["kind"]))
    row = part.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(row, kinds, strict=True):
        rows = summary[summary["kind"] == kind].sort_values("block")
        _chance(axes, rows.drop_duplicates("block"))
        for branch, values in rows.groupby("branch", sort=True):
            axes.plot(
                values["block"],
                values["similarity"],
                **_look(str(branch)),
                label=_math(str(branch)),
            )
        axes.set_title(f"{kind}: i = {rows['i'].max()}, j = {COUNT}")
        axes.set_xticks(list(dict.fromkeys(rows["block"])))
        axes.set_xlabel("block")
    row[0].set_ylim(0, row[0].get_ylim()[1])  # of all of them, once all are drawn
    row[0].set_ylabel(_SIMILARITY, parse_math=True)
    handles, labels = row[0].get_legend_handles_labels()
    part.legend(handles, labels, loc="outside upper center", ncols=len(handles))
    formulas(part)


def _chance(axes: Axes, rows: pd.DataFrame) -> None:
    low, high = (rows["chance"] + sign * 2 * rows["chance_std"] for sign in (-1, 1))
    blocks, chance = rows["block"].to_numpy(float), rows["chance"].to_numpy()
    if len(rows) == 1:  # a band needs a width
        blocks = blocks[[0, 0]] + (-0.4, 0.4)
        chance, low, high = chance[[0, 0]], low.iloc[[0, 0]], high.iloc[[0, 0]]
    axes.fill_between(blocks, low.clip(lower=0), high, color="#E4E4E4", linewidth=0)
    axes.plot(blocks, chance, color=GREY, linestyle=":", label="random subspaces (mean ± 2 std)")


def _look(branch: str) -> dict[str, Any]:
    from hydra_peft.analysis.subspace import PARALLEL

    return BRANCHES["parallel" if branch == PARALLEL else "sequential"]


def _math(branch: str) -> str:
    from hydra_peft.analysis.subspace import PARALLEL

    return "parallel, $A$" if branch == PARALLEL else "sequential, $B W_0$"


FIGURE = RunFigure(
    name="3",
    title="subspace similarity of W0 with A and with B W0, by block",
    settings=Settings,
    options=(CHECKPOINT_OPTION,),
    check=check_branches,
    data=data,
    plot=plot,
)
