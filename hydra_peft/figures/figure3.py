"""Figure 3: do the updates of a run point where the frozen weights do?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
from hydra_peft.figures._style import (
    GREY,
    HEAT,
    PAGE,
    SMALL,
    formulas,
    in_lines,
    picture,
    text_width,
)
from hydra_peft.plain_text import counted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture
    from matplotlib.figure import SubFigure

    from hydra_peft.tables.overrides import Defaults

#: directions of the update, as in the paper; of a branch of a smaller rank so many as that
COUNT = 2
_SIMILARITY = r"similarity $\phi(i, j)$"
#: inches of a page that its maps have beside labels and colour bar, and of a line of titles
_MAPS, _LINE = 5.8, 0.14
#: inches between titles, and of the number of a block
_GAP, _NUMBER = 0.08, 0.2


@dataclass(frozen=True)
class Settings:
    """Options on the command line."""

    checkpoint: str = ""


def data(
    folders: Sequence[Path], settings: Settings, defaults: Defaults | None = None
) -> FigureData:
    """Return similarities of every adapted layer; one row each layer, branch, i and j.

    The summary has those of the largest i, and of the largest j that all branches have, with mean
    and standard deviation of what random subspaces would give.

    Raises:
        UserError: the run cannot be rebuilt, or has no low-rank branches.
    """
    import pandas as pd

    from hydra_peft.runs.rebuild import rebuild

    (folder,) = folders
    run = rebuild(folder, checkpoint=settings.checkpoint or None)
    layers = adapted_layers(run)
    least, most = directions(layers)
    table = pd.concat([_rows(layer, most) for layer in layers], ignore_index=True)
    last = table.groupby(["layer", "branch"], sort=False)["i"].transform("max") == table["i"]
    summary = table[last & (table["j"] == least)].reset_index(drop=True)
    caption = (
        f"{describe_runs([run.record], defaults)}. Top 10% left singular vectors of W0 against "
        f"the first{f' {most}' * (most > 1)} of A and of B W0 (eq. 14)."
    )
    if least < most:
        caption += f" Not every branch has rank {most}: by block j = {least}."
    tables = {"": table, "summary": summary}
    return FigureData(tables, caption, _notes(table, summary), warnings=warnings([run.record]))


def directions(layers: Sequence[AdaptedLayer]) -> tuple[int, int]:
    """Return how many directions to look at: what all branches have, and what some have."""
    from hydra_peft.analysis.subspace import branch_ranks

    ranks = [rank for layer in layers for rank in branch_ranks(layer.adapter).values()]
    return min(COUNT, *ranks), min(COUNT, max(ranks))


def _rows(layer: AdaptedLayer, count: int) -> pd.DataFrame:
    import pandas as pd

    from hydra_peft.analysis.subspace import branch_similarities, chance_similarity

    width = len(layer.adapter.base.weight)
    rows: list[dict[str, Any]] = []
    for branch, similarity in branch_similarities(layer.adapter, count=count).items():
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
        f"full i and j = {rows['j'].max()} (random subspaces: {rows['chance'].mean():.4f})"
        for branch, rows in summary.groupby("branch", sort=False)
    ]
    for branch, rows in table.groupby("branch", sort=False):
        for j in sorted(set(rows["j"].astype(int))):
            values = rows[rows["j"] == j]
            layers = values.groupby("layer")["similarity"].apply(lambda v: v.isna().any()).sum()
            if layers:
                notes.append(
                    f"undefined in {counted(int(layers), 'layer')}: {branch} has no "
                    f"{counted(j, 'direction')} there (zero, of smaller rank, or tied "
                    "singular values)"
                )
    return tuple(notes)


def plot(data: FigureData) -> Picture:
    """Draw heat maps of every block above a summary over blocks."""
    table, summary = data.table, data.tables["summary"]
    blocks = sorted(set(table["block"]))
    titles, below = _map_titles(table), _summary_titles(summary)
    maps_height = 0.75 + 0.26 * len(blocks) + _further_lines(titles.values())
    summary_height = 2.0 + _further_lines(below.values())
    made = picture(PAGE, maps_height + summary_height + 0.2 * bool(data.warnings))
    parts: Any = made.subfigures(2, 1, height_ratios=[maps_height, summary_height], hspace=0.02)
    upper, lower = parts
    _maps(upper, table, blocks, titles)
    _summary(lower, summary, below)
    if data.warnings:
        made.suptitle(" · ".join(data.warnings), weight="bold")
    return made


def _map_titles(table: pd.DataFrame) -> dict[tuple[str, str], str]:
    """Return the columns of maps, kind and branch, with their titles in lines that fit."""
    kinds = list(dict.fromkeys(table["kind"]))
    columns = sorted(
        dict.fromkeys(zip(table["kind"], table["branch"], strict=True)),
        key=lambda column: kinds.index(column[0]),
    )
    width = _MAPS / len(columns) - _GAP
    narrow = width < text_width("sequential,", SMALL)  # the legend has the words
    return {
        (kind, branch): f"{in_lines(kind, width, SMALL)}\n"
        + (_math(branch).rpartition(" ")[2] if narrow else in_lines(_math(branch), width, SMALL))
        for kind, branch in columns
    }


def _summary_titles(summary: pd.DataFrame) -> dict[str, str]:
    """Return the kinds of layers with their titles in lines that fit."""
    width = _MAPS / summary["kind"].nunique() - _GAP
    titles = {}
    for kind, rows in summary.groupby("kind", sort=False):
        widths = " to ".join(map(str, sorted({rows["i"].min(), rows["i"].max()})))
        sizes = f"i = {widths}, j = {rows['j'].max()}"
        whole = f"{kind}: {sizes}"
        parts = [whole] if text_width(whole) <= width else [str(kind), sizes]
        titles[str(kind)] = "\n".join(in_lines(part, width) for part in parts)
    return titles


def _further_lines(titles: Iterable[str]) -> float:
    """Return the inches of the lines of titles beyond the first."""
    return _LINE * max(title.count("\n") for title in titles)


def _maps(
    part: SubFigure,
    table: pd.DataFrame,
    blocks: list[int],
    titles: Mapping[tuple[str, str], str],
) -> None:
    """Draw one heat map each block, kind of layer and branch."""
    grid = part.subplots(len(blocks), len(titles), squeeze=False)
    top = float(table["similarity"].max())
    top = top if top > 0 else 1.0  # NaN, or zero
    cells = {str(key): rows for key, rows in table.groupby(["block", "kind", "branch"])}
    mappable = None
    for row, block in zip(grid, blocks, strict=True):
        for axes, (kind, branch) in zip(row, titles, strict=True):
            found = cells.get(str((block, kind, branch)))
            mappable = _map(axes, found, top) or mappable
        row[0].set_ylabel(_number(block), rotation=0, ha="right", va="center", labelpad=8)
    for column, (key, title) in zip(grid.T, titles.items(), strict=True):
        column[0].set_title(title, fontsize=SMALL, parse_math=True)
        own = table[(table["kind"] == key[0]) & (table["branch"] == key[1])]
        # Where maps below each other differ in width, one's numbers are not another's.
        if own.groupby("block")["i"].max().nunique() == 1:
            last = blocks.index(own["block"].max())
            column[last].tick_params(bottom=True, labelbottom=True)
    part.supylabel("block")
    heights = ", ".join(str(j) for j in sorted(set(table["j"])))
    rows = f"i: leading directions of $W_0$, to 10%   (rows of each map: j = {heights})"
    part.supxlabel(rows, fontsize=8, parse_math=True)
    if mappable is not None:
        bar = part.colorbar(mappable, ax=grid, shrink=1.0, aspect=30, pad=0.01)
        bar.set_label(_SIMILARITY, parse_math=True)


def _number(block: int) -> str:
    return str(block or "-")


def _map(axes: Axes, found: pd.DataFrame | None, top: float) -> Any:
    """Draw one map, i along x, j downwards; what is undefined stays hatched."""
    axes.tick_params(left=False, labelleft=False, bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(found is not None)
    if found is None:
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


def _summary(part: SubFigure, summary: pd.DataFrame, titles: Mapping[str, str]) -> None:
    """Draw the similarity at the full i and j over blocks, with chance behind it."""
    row = part.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    for axes, (kind, title) in zip(row, titles.items(), strict=True):
        rows = summary[summary["kind"] == kind].sort_values("block")
        _chance(axes, rows.drop_duplicates("block"))
        for branch, values in rows.groupby("branch", sort=True):
            axes.plot(
                values["block"],
                values["similarity"],
                **_look(str(branch)),
                label=_math(str(branch)),
            )
        axes.set_title(title)
        blocks = list(dict.fromkeys(rows["block"]))
        every = math.ceil(len(blocks) * _NUMBER * len(titles) / _MAPS)
        axes.set_xticks(blocks[::every], [_number(block) for block in blocks[::every]])
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

    return "parallel, $A$" if branch == PARALLEL else "sequential, $BW_0$"


FIGURE = RunFigure(
    name="3",
    title="subspace similarity of W0 with A and with B W0, by block",
    settings=Settings,
    options=(CHECKPOINT_OPTION,),
    check=check_branches,
    data=data,
    plot=plot,
)
