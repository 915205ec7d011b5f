"""Learning curves: means and bands by hand, and files that cannot be read."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from made_up import put, scores
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from scored_records import scored

from hydra_peft.errors import UserError
from hydra_peft.figures import find_figure
from hydra_peft.figures._base import MOST_NOTES
from hydra_peft.runs import history
from hydra_peft.runs.collection import Collection, collect

FIGURE = find_figure("curves")
Settings = FIGURE.settings


def line(collection: Collection, quantity: str, epoch: int, **settings: object):
    table = FIGURE.data(collection, Settings(**settings)).table
    (found,) = [
        found
        for _, found in table.iterrows()
        if (found["quantity"], found["epoch"]) == (quantity, epoch)
    ]
    return found


def test_means_and_bands_by_hand(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0, 54.0, 61.0]}))
    loss = line(collection, "loss", 2)  # (seed + 1) / epoch
    assert (loss["mean"], loss["low"], loss["high"], loss["seeds"]) == (1.0, 0.5, 1.5, 3)
    trained = line(collection, "train_accuracy", 1)  # the score less two
    assert (trained["mean"], trained["low"], trained["high"]) == (53.0, 48.0, 59.0)
    score = line(collection, "test_accuracy", 3)
    assert (score["mean"], score["low"], score["high"]) == (55.0, 50.0, 61.0)
    loss = line(collection, "loss", 2, band="sd")
    assert (loss["low"], loss["high"]) == (0.5, 1.5)


def test_only_epochs_that_all_seeds_have(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0, 54.0]}))
    path = collection.completed[0].folder / "metrics.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    table = FIGURE.data(collection, Settings()).table
    assert list(table[table["quantity"] == "loss"]["epoch"]) == [1, 2]


@pytest.mark.parametrize(
    "content", [None, "", "epoch,loss\n1,2\n", "epoch,loss,train_accuracy\n1,x,2\n", "\x00\xff"]
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0, 54.0]}))
    path = collection.completed[0].folder / "metrics.csv"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("latin-1"))
    data = FIGURE.data(collection, Settings())
    (note,) = [note for note in data.notes if "left out of the curves" in note]
    assert str(path) in note
    lines = data.table[data.table["quantity"] == "loss"]
    assert list(lines["seeds"]) == [1, 1, 1]
    # The record still has the score.
    assert list(data.table[data.table["quantity"] == "test_accuracy"]["seeds"]) == [2]


def test_the_first_reason_is_told_where_nothing_can_be_read(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0, 54.0]}))
    first, second = (run.folder / "metrics.csv" for run in collection.completed)
    first.unlink()
    os.mkfifo(first)
    second.write_bytes(b"\0\xff")
    with pytest.raises(UserError, match=f"{first} is no ordinary file but a pipe"):
        FIGURE.data(collection, Settings())


def test_half_a_file_is_drawn_with_a_note(tmp_path: Path) -> None:
    # The record says that there are three.
    changes = {"science": {"train": {"epochs": 3}}}
    collection = put(tmp_path, *scores("lora", {"a": [50.0, 54.0]}, **changes))
    path = collection.completed[0].folder / "metrics.csv"
    path.write_text(path.read_text()[:-20])
    data = FIGURE.data(collection, Settings())
    (note,) = [note for note in data.notes if note.startswith("drawn in part")]
    torn = "it ends within a line; 1 of 3 epochs is missing, the first is 3"
    assert f"{path} is not whole: {torn}." in note
    assert "The metrics.csv of 1 run is not whole" in data.caption


def test_many_halves_of_files_are_not_all_listed(tmp_path: Path) -> None:
    changes = {"science": {"train": {"epochs": 3}}}
    collection = put(tmp_path, *scores("lora", {"a": [50.0] * (MOST_NOTES + 2)}, **changes))
    for run in collection.completed:
        path = run.folder / "metrics.csv"
        path.write_text(path.read_text()[:-20])
    data = FIGURE.data(collection, Settings())
    notes = [note for note in data.notes if note.startswith("drawn in part")]
    assert notes[MOST_NOTES:] == ["drawn in part: 2 more."]
    assert f"The metrics.csv of {MOST_NOTES + 2} runs is not whole" in data.caption


def test_nothing_to_draw_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0]}))
    monkeypatch.setattr(history, "MAX_BYTES", 10)
    with pytest.raises(UserError, match=r"none of these runs has a metrics\.csv"):
        FIGURE.data(collection, Settings())


def test_nineteen_tasks_have_a_panel_each(tmp_path: Path) -> None:
    tasks = {f"task{number}": [50.0, 60.0] for number in range(19)}
    data = FIGURE.data(put(tmp_path, *scores("lora", tasks)), Settings())
    made = FIGURE.draw(data)
    shown = [axes for axes in made.axes if axes.get_visible()]
    assert len(shown) == 38
    assert [axes.get_title() for axes in shown if axes.get_title()] == sorted(tasks)


def test_scales_are_named(tmp_path: Path) -> None:
    data = FIGURE.data(put(tmp_path, *scores("lora", {"a": [50.0], "b": [60.0]})), Settings())
    made = FIGURE.draw(data)
    labels = {axes.get_ylabel(): axes.get_yscale() for axes in made.axes if axes.get_ylabel()}
    assert labels == {"training loss\n(log scale)": "log", "accuracy (%)": "linear"}
    assert "Each panel has scales of its own." in data.caption


def test_losses_of_nothing_need_no_logarithm(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0]}))
    path = collection.completed[0].folder / "metrics.csv"
    path.write_text("epoch,loss,train_accuracy\n1,0,50\n2,0,50\n")
    made = FIGURE.draw(FIGURE.data(collection, Settings()))
    assert made.axes[0].get_yscale() == "linear"


def test_losses_that_no_logarithm_shows_have_a_note(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0], "b": [60.0]}))
    path = next(run.folder for run in collection.completed if run.record.task == "a")
    lines = ["epoch,loss,train_accuracy", "1,2,50", "2,0,50", "3,0,50", "4,1,50", ""]
    (path / "metrics.csv").write_text("\n".join(lines))
    data = FIGURE.data(collection, Settings())
    (note,) = [note for note in data.notes if note.startswith("not drawn")]
    assert "of 2 epochs of lora r=4 on a is 0 or below" in note
    assert "no place on the logarithmic axis" in data.caption
    drawn = FIGURE.draw(data).axes[0].get_lines()[0].get_ydata()
    assert [str(y) for y in drawn] == ["2.0", "nan", "nan", "1.0"]


def test_what_cannot_be_is_passed_over(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0]}))
    path = collection.completed[0].folder / "metrics.csv"
    path.write_text("epoch,loss,train_accuracy\n1,2,50\n2,-5,50\n3,nan,50\n4,1,50\n")
    data = FIGURE.data(collection, Settings())
    assert list(data.table[data.table["quantity"] == "loss"]["epoch"]) == [1, 4]
    (note,) = [note for note in data.notes if note.startswith("drawn in part")]
    assert "2 lines are passed over, the first is line 3 (a loss of -5)" in note


def test_what_trains_nothing_has_no_curves(tmp_path: Path) -> None:
    settings = {"train.epochs": 0, "head.name": "text_prompts"}
    bare = scores("linear", {"a": [50.0, 51.0]}, settings=settings)
    collection = put(tmp_path, *bare, *scores("lora", {"a": [50.0]}))
    data = FIGURE.data(collection, Settings())
    assert set(data.table["method"]) == {"lora r=4"}
    assert "; seed 0. " in data.caption
    (note,) = [note for note in data.notes if note.startswith("left out of the curves")]
    assert note.endswith("zero-shot trains nothing, its runs have no epochs.")
    with pytest.raises(UserError, match="none of these runs trains anything"):
        FIGURE.data(put(tmp_path / "bare", *bare), Settings())
    (legend,) = FIGURE.draw(data).legends
    assert [text.get_text() for text in legend.get_texts()] == ["lora r=4"]


def test_many_rows_have_no_bands_and_marks_of_their_own(tmp_path: Path) -> None:
    runs = [r for k in range(1, 9) for r in scores("hydra", {"a": [50.0, 60.0]}, rank=k)]
    data = FIGURE.data(put(tmp_path, *runs), Settings())
    assert "Lines: means; bars: least to greatest seed (2 seeds)." in data.caption
    axes = FIGURE.draw(data).axes[1]
    assert not [part for part in axes.collections if isinstance(part, PolyCollection)]
    marks = [mark for mark in axes.lines if mark.get_marker() == "o" and len(mark.get_xdata())]
    looks = {(mark.get_fillstyle(), mark.get_markeredgecolor()) for mark in marks}
    assert len(looks) == 8


def drawn(root: Path, epochs: int, loss: float = 1.0) -> list[Axes]:
    """Panels of three rows of one colour that have the same curves, and their legend's length."""
    put(root, *(r for rank in (2, 4, 8) for r in scores("hydra", {"a": [50.0]}, rank=rank)))
    rows = [f"{e},{loss if e == 1 else 0.5},{40 + e},0.001,1.0,100.0" for e in range(1, epochs + 1)]
    for path in root.rglob("metrics.csv"):
        path.write_text("\n".join([path.read_text().splitlines()[0], *rows, ""]))
    made = FIGURE.draw(FIGURE.data(collect(root), Settings()))
    assert made.legends[0].handlelength >= 4.0  # two periods of a dash
    return made.axes


@pytest.mark.parametrize("epochs", [3, 40])
def test_lines_on_each_other_have_marks_at_other_epochs(tmp_path: Path, epochs: int) -> None:
    for axes in drawn(tmp_path, epochs):
        lines = [line for line in axes.lines if len(line.get_xdata()) == epochs]
        marked = [
            {*range(epochs)[first::every]}
            for first, every in (one.get_markevery() for one in lines)
        ]
        assert len(lines) == 3
        assert {line.get_marker() for line in lines} == {"o"}
        assert sum(map(len, marked)) == len(set.union(*marked)) >= 3


def test_marks_of_one_epoch_stand_side_by_side(tmp_path: Path) -> None:
    for axes in drawn(tmp_path, 1):
        marks = [at for line in axes.lines if line.get_marker() == "o" for at in line.get_xdata()]
        assert len(marks) == len(set(marks)) >= 3


def test_a_line_beside_marks_of_one_epoch_has_its_marks(tmp_path: Path) -> None:
    first = {2: 3, 4: 1, 8: 1}
    records = [r for rank in first for r in scores("hydra", {"a": [50.0]}, rank=rank)]
    collection = put(tmp_path, *records)
    for run, epochs in zip(collection.completed, first.values(), strict=True):
        path = run.folder / "metrics.csv"
        path.write_text("\n".join(path.read_text().splitlines()[: 1 + epochs]) + "\n")
    for axes in FIGURE.draw(FIGURE.data(collection, Settings())).axes:
        (long,) = [line for line in axes.lines if len(line.get_xdata()) == 3]
        assert long.get_markevery() == (0, 1)


def with_epochs(collection: Collection, epochs: dict[str, int]) -> Collection:
    """Keep so many epochs of each method's rows in their files."""
    for run in collection.completed:
        path = run.folder / "metrics.csv"
        kept = path.read_text().splitlines()[: 1 + epochs[run.record.label]]
        path.write_text("\n".join(kept) + "\n")
    return collection


def marks(axes: Axes) -> list[tuple[float, float]]:
    """Return where marks are seen, in points of the page, from left to right."""
    found = []
    for line in axes.lines:
        if line.get_marker() in ("", "None"):
            continue
        first, every = line.get_markevery() or (0, 1)
        seen = list(zip(line.get_xdata(), line.get_ydata(), strict=True))[first::every]
        found += [tuple(axes.transData.transform(place) * 72 / axes.figure.dpi) for place in seen]
    return sorted(found)


def gap(one: tuple[float, float], other: tuple[float, float]) -> float:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1]))


@pytest.mark.parametrize(("rows", "long"), [(1, 0), (2, 1), (6, 1), (9, 0), (9, 2), (19, 0)])
def test_no_mark_hides_another_and_the_edge_is_clear(tmp_path: Path, rows: int, long: int) -> None:
    names = [f"hydra r={rank}+{rank}" for rank in range(1, rows + 1)]
    tasks = {task: [50.0] for task in "abc"}
    runs = [run for rank in range(1, rows + 1) for run in scores("hydra", tasks, rank=rank)]
    collection = with_epochs(
        put(tmp_path, *runs), {name: 2 if at < long else 1 for at, name in enumerate(names)}
    )
    data = FIGURE.data(collection, Settings())
    beside = ", left of it where there are lines" * bool(long)
    assert f"Marks of a single epoch stand side by side{beside}." in data.caption
    made = FIGURE.draw(data)
    made.canvas.draw()
    shown = [axes for axes in made.axes if axes.get_visible()]
    assert len({axes.get_xlim() for axes in shown}) == 1
    for axes in shown:
        places = marks(axes)
        assert min((gap(*pair) for pair in itertools.combinations(places, 2)), default=9) > 4
        # None stands at the frame.
        left, right = (x * 72 / made.dpi for x in axes.get_window_extent().intervalx)
        assert all(left + 4 < x < right - 4 for x, _ in places)
        edges = [line for line in axes.lines if list(line.get_ydata()) == [0, 1]]
        for edge in edges:
            x = axes.transData.transform((edge.get_xdata()[0], 50))[0] * 72 / made.dpi
            assert sum(place[0] > x for place in places) == rows
            assert all(abs(place[0] - x) > 4 for place in places)


def test_a_mark_alone_stands_within_its_half(tmp_path: Path) -> None:
    collection = put(tmp_path, *scores("lora", {"a": [50.0]}))
    with_epochs(collection, {"lora r=4": 1})
    axes = FIGURE.draw(FIGURE.data(collection, Settings())).axes[1]
    low, high = axes.get_xlim()
    shares = sorted((x - low) / (high - low) for line in axes.lines for x in line.get_xdata()[:1])
    # Training, the edge, the score.
    assert shares == pytest.approx([0.25, 0.5, 0.75])


def test_panels_below_each_other_have_epochs_of_their_own(tmp_path: Path) -> None:
    tasks = {f"t{n}": [50.0] for n in range(8)}  # two rows of four
    collection = put(tmp_path, *scores("lora", tasks))
    for run in collection.completed:
        if run.record.task == "t0":
            path = run.folder / "metrics.csv"
            path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    made = FIGURE.draw(FIGURE.data(collection, Settings()))
    ends = {axes.get_title(): axes.get_xlim() for axes in made.axes if axes.get_title()}
    assert ends["t0"] != ends["t4"]
    assert ends["t1"] == ends["t4"] == ends["t5"]


def test_a_panel_has_room_for_its_own_rows_alone(tmp_path: Path) -> None:
    many = [r for rank in range(1, 10) for r in scores("hydra", {"a": [50.0]}, rank=rank)]
    data = FIGURE.data(put(tmp_path, *many, *scores("lora", {"b": [50.0]})), Settings())
    made = FIGURE.draw(data)
    made.canvas.draw()
    first, second = (axes for axes in made.axes if axes.texts)
    for axes in (first, second):
        (split,) = [text for text in axes.texts if text.get_text() == "test"]
        assert axes.get_xlim()[0] < split.get_position()[0] < axes.get_xlim()[1]
    assert first.get_window_extent().width == pytest.approx(second.get_window_extent().width)
    marks = [x for line in first.lines if line.get_marker() == "o" for x in line.get_xdata()]
    places = sorted(first.transData.transform([(x, 50.0) for x in marks])[:, 0])[-9:]
    # Of a mark of four points more is seen than the next one hides.
    apart = [right - left for left, right in itertools.pairwise(places)]
    assert min(apart) > 2 / 72 * made.dpi


@pytest.mark.parametrize(
    ("loss", "shown"), [(2e4, {"1", "100", "10000"}), (2e6, {"1e0", "1e3", "1e6"})]
)
def test_losses_are_written_in_one_form(tmp_path: Path, loss: float, shown: set[str]) -> None:
    axes = drawn(tmp_path, 3, loss)[0]
    low, high = axes.get_ylim()
    labels = {text.get_text() for text in axes.get_yticklabels()}
    assert {label for label in labels if low <= float(label) <= high} == shown


def test_a_task_without_training_accuracy_has_its_loss_and_its_own_metric(tmp_path: Path) -> None:
    records = [scored(r, "pearson", -5.0) for r in scores("lora", {"a": [50.0]})]
    put(tmp_path, *records)
    (path,) = tmp_path.rglob("metrics.csv")
    lines = [line.split(",") for line in path.read_text().splitlines()]
    emptied = [line if at == 0 else [*line[:2], "", *line[3:]] for at, line in enumerate(lines)]
    path.write_text("".join(",".join(line) + "\n" for line in emptied))
    data = FIGURE.data(collect(tmp_path), Settings())
    assert set(data.table["quantity"]) == {"loss", "test_Pearson"}
    assert "accuracy" not in data.caption
    assert [axes.get_ylabel() for axes in FIGURE.draw(data).axes][1] == "Pearson (%)"


def test_bands_are_over_more_than_one_seed(tmp_path: Path) -> None:
    runs = [*scores("lora", {"a": [60.0, 61.0]}), *scores("hydra", {"a": [62.0]})]
    caption = FIGURE.data(put(tmp_path, *runs), Settings()).caption
    assert "bars: least to greatest seed (2 seeds). Without a bar: one seed." in caption
    equal = put(tmp_path / "equal", *scores("lora", {"a": [60.0, 60.0]}))
    assert "Without a bar: seeds of equal scores." in FIGURE.data(equal, Settings()).caption
