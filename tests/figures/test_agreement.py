"""Agreement of methods from kept predictions, beside that of seeds; gains of ensembles, by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import combinations, combinations_with_replacement
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fabricated_runs import record
from flat_results import flat
from matplotlib.text import Text
from omegaconf import OmegaConf

from hydra_peft.config.check import check_config
from hydra_peft.config.identity import config_id, science
from hydra_peft.errors import UserError
from hydra_peft.figures import _predictions, find_figure, save
from hydra_peft.figures._base import FigureData
from hydra_peft.figures._ensembles import memberships
from hydra_peft.figures._matrix import BESIDE, NUMBERED
from hydra_peft.files import atomic_write
from hydra_peft.runs.collection import Collection, collect
from hydra_peft.runs.record import write_record
from hydra_peft.tables.overrides import Origin
from hydra_peft.tensor_files import write_tensors

FIGURE = find_figure("agreement")
TARGETS = [0, 1, 2, 0]
#: predicted classes of four examples, by method and seed
SAID = {
    "lora": {0: [0, 1, 2, 1], 1: [0, 1, 1, 1]},  # 75 and 50% right
    "hydra": {0: [1, 1, 2, 0], 1: [0, 2, 2, 2]},  # 75 and 50%
}
Run = Callable[..., Path]


@pytest.fixture(scope="module")
def run(compose_train: Callable[..., Any]) -> Run:
    composed: dict[str, Any] = {}

    def put(
        runs: Path,
        method: str,
        seed: int,
        said: list[int],
        *,
        task: str = "a",
        sure: float = 2.0,
        kept: bool = True,
        targets: list[int] = TARGETS,
        metric: str = "accuracy",
        **changes: Any,
    ) -> Path:
        """Write a run that says of each example, with logit ``sure``, that it is of a class."""
        if method not in composed:
            words = ("dataset=mini/digits", "dataset.classes=3", "precision=fp32")
            whole = compose_train(*words, f"method={method}")
            composed[method] = OmegaConf.to_container(whole, resolve=True)
        config = OmegaConf.create(composed[method])
        config.seed, config.dataset.name, config.dataset.metric = seed, task, metric
        checked = check_config(config)
        predicted, wanted = torch.tensor(said), torch.tensor(targets)
        right, count = int((predicted == wanted).sum()), len(targets)
        values: dict[str, Any] = {
            "task": task,
            "group": checked.dataset.group,
            "seed": seed,
            "config_id": config_id(checked),
            "settings": checked.settings,
            "science": science(checked),
            "method": checked.method.identity(),
            "method_label": checked.method.label,
            "metrics": {
                **flat(record()),
                **{"accuracy": 100 * right / count, "correct": right, "count": count},
            },
            "data": {"sha256": f"data of {task}", "splits": {"test": "c" * 64}},
        }
        if method == "linear":
            values["parameters"] = {"adapter": 0, "head": 1290, "trainable": 1290, "total": 10**6}
        folder = runs / f"{task}-{method}-{seed}"
        made = record(**{**values, **changes})
        if metric != "accuracy":
            other = {"scores": {"test": {metric: 50.0}}, "counts": {"scored": count}}
            made = dataclasses.replace(made, primary=metric, **other)
        write_record(made, folder)
        atomic_write(folder / "config.yaml", OmegaConf.to_yaml(config).encode())
        if kept:
            outputs = sure * torch.nn.functional.one_hot(predicted, 3).float()
            tensors = {"outputs": outputs, "targets": wanted}
            write_tensors(folder / "predictions.safetensors", tensors, {"split": "test"})
        return folder

    return put


def sweep(run: Run, runs: Path, task: str = "a", **changes: Any) -> None:
    for method, seeds in SAID.items():
        for seed, said in seeds.items():
            run(runs, method, seed, said, task=task, **changes)


def lines(collection: Collection, **settings: Any) -> dict[tuple[str, str, str], dict[str, Any]]:
    table = FIGURE.data(collection, FIGURE.settings(**settings)).table
    return {(row["method"], row["other"], row["task"]): dict(row) for _, row in table.iterrows()}


def test_pairs_of_methods_and_of_seeds_by_hand(run: Run, tmp_path: Path) -> None:
    sweep(run, tmp_path)
    found = lines(collect(tmp_path))
    assert set(found) == {
        ("lora r=4", "lora r=4", "a"),
        ("hydra r=2+2", "lora r=4", "a"),
        ("hydra r=2+2", "hydra r=2+2", "a"),
    }
    seeds = found["lora r=4", "lora r=4", "a"]
    # Alike at 0, 1 and 3; of mistakes at 3, and at 2 and 3, one in two is shared.
    assert (seeds["agreement"], seeds["shared_mistakes"], seeds["pairs"]) == (75.0, 50.0, 1)
    assert math.isnan(seeds["agreement_low"])
    pair = found["hydra r=2+2", "lora r=4", "a"]
    # Seeds 0 and 1: alike at 0 and 2; wrong at 3, and at 1 and 3. Seeds 1 and 0: alike at 1;
    # wrong at 2 and 3, and at 0.
    assert (pair["agreement"], pair["agreement_low"], pair["agreement_high"]) == (37.5, 25.0, 50.0)
    assert (pair["shared_mistakes"], pair["shared_mistakes_high"]) == (25.0, 50.0)
    assert (pair["seeds"], pair["pairs"]) == ("different", 2)


def test_a_run_whose_predictions_were_edited_is_left_out_and_named(
    run: Run, tmp_path: Path
) -> None:
    sweep(run, tmp_path)
    edited = run(tmp_path, "bitfit", 0, SAID["lora"][0]) / "predictions.safetensors"
    outputs = torch.full((4, 3), math.nan)
    write_tensors(edited, {"outputs": outputs, "targets": torch.tensor(TARGETS)}, {"split": "test"})
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert set(data.table["method"]) == {"lora r=4", "hydra r=2+2"}
    assert "bitfit on a seed 0 [predictions.safetensors has outputs that are not" in data.caption


def test_gains_of_ensembles_by_hand(run: Run, tmp_path: Path) -> None:
    for seed, sure in ((0, 2.0), (1, 3.0)):  # the surer one of two that differ is believed
        for method, seeds in SAID.items():
            run(tmp_path, method, seed, seeds[seed], sure=sure)
    data = FIGURE.data(collect(tmp_path), FIGURE.settings(members=2))
    table = data.tables["ensembles"].set_index("members")
    assert list(table["of"]) == ["seeds of one method"] * 2 + ["methods"]
    lora = table.loc["lora r=4"]
    # Seed 1's [0, 1, 1, 1], as it is surer: 50%, where the members have 75 and 50%.
    assert (lora["score"], lora["gain"], lora["gain_over_mean"]) == (50.0, -25.0, -12.5)
    pair = table.loc["hydra r=2+2 + lora r=4"]
    # lora 0 with hydra 1 says [0, 2, 2, 2], hydra 0 with lora 1 says [0, 1, 1, 1].
    assert (pair["score"], pair["gain"], pair["draws"], pair["ties"]) == (50.0, -25.0, 2, 0)
    assert data.caption.endswith("which share runs.")


def test_ties_are_counted_and_the_first_class_counts(run: Run, tmp_path: Path) -> None:
    run(tmp_path, "lora", 0, [0, 1, 2, 1])
    run(tmp_path, "hydra", 1, [0, 1, 1, 0])
    data = FIGURE.data(collect(tmp_path), FIGURE.settings(members=2))
    # No seed is in common, so no ensemble; in pairs seeds differ.
    assert len(data.tables["ensembles"]) == 0
    assert data.table["pairs"].tolist() == [0, 1, 0]
    assert "Gains:" not in data.caption
    drawn = [axes.get_ylabel() for axes in FIGURE.draw(data).axes]
    assert not any("gain" in label for label in drawn)
    assert len(drawn) == 2  # the matrix and its colours
    run(tmp_path, "hydra", 0, [0, 1, 1, 0])
    data = FIGURE.data(collect(tmp_path), FIGURE.settings(members=2))
    (line,) = [row for _, row in data.tables["ensembles"].iterrows() if row["of"] == "methods"]
    # Examples 2 and 3 are tied between 2 and 1, and 1 and 0: 1 and 0 count; right are 0, 1 and 3.
    assert (line["score"], line["ties"], line["gain"]) == (75.0, 2, 0.0)
    assert "Of equally probable classes (2 times) the first counts." in data.caption


def test_means_over_tasks_are_taken_within_each_pair_of_seeds(run: Run, tmp_path: Path) -> None:
    sweep(run, tmp_path)
    sweep(run, tmp_path, "b")
    run(tmp_path, "lora", 1, [0, 1, 2, 0], task="b")  # in the place of seed 1 of lora
    found = lines(collect(tmp_path))
    pair = found["hydra r=2+2", "lora r=4", "mean over tasks"]
    # a: 50 and 25; b: 50 and, of [0, 1, 2, 0] with [1, 1, 2, 0], 75
    assert (pair["agreement"], pair["agreement_low"], pair["agreement_high"]) == (50.0, 50.0, 50.0)
    assert pair["pairs"] == 2


def test_runs_without_predictions_are_named(run: Run, tmp_path: Path) -> None:
    sweep(run, tmp_path)
    run(tmp_path, "full", 0, [0, 1, 2, 1], kept=False, predictions={"test": "not wanted"})
    run(tmp_path, "linear", 0, [0, 1, 2, 1], kept=False)
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert set(data.table["method"]) == {"lora r=4", "hydra r=2+2"}
    assert "full on a seed 0 [the run had save.predictions=false]" in data.caption
    assert "linear on a seed 0 [it has no predictions.safetensors]" in data.caption
    with pytest.raises(UserError, match=r"none of these runs kept its predictions: Left out: full"):
        lines(collect(tmp_path), methods="full,linear")
    with pytest.raises(UserError, match=r"members=1: an ensemble has 2 to 9 members"):
        lines(collect(tmp_path), members=1)


def test_classifications_are_told_by_their_metric(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of Matthews and F1 no number is correct, and each example has a class all the same."""
    for seed, said in SAID["lora"].items():
        run(tmp_path, "lora", seed, said, metric="matthews")
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert data.table["agreement"].tolist() == [75.0]
    assert "Left out" not in data.caption
    monkeypatch.setattr(_predictions, "has_classes", lambda *_: False)
    monkeypatch.setattr(_predictions, "is_classification", lambda _: False)
    with pytest.raises(UserError, match=r"none of these runs has classes .*lora r=4 on a seed 0, "):
        lines(collect(tmp_path))


def test_what_is_left_out_is_of_the_table_that_is_drawn(run: Run, tmp_path: Path) -> None:
    sweep(run, tmp_path)
    other = {"sha256": "ab" * 32, "kind": "pretrained"}
    for at, changes in enumerate(({"benchmark": "other"}, {"model": "other"}, {"weights": other})):
        run(tmp_path / str(at), "lora", 7, SAID["lora"][0], kept=False, **changes)
    assert "Left out" not in FIGURE.data(collect(tmp_path), FIGURE.settings()).caption


def test_runs_without_predictions_and_their_rows_are_one_sentence(run: Run, tmp_path: Path) -> None:
    for task in "ab":
        sweep(run, tmp_path, task)
    run(tmp_path, "full", 0, SAID["lora"][0])
    run(tmp_path, "full", 0, SAID["lora"][0], task="b", kept=False)
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    said = (
        "Left out: full on b seed 0 [it has no predictions.safetensors]; full [no run with "
        "predictions on b]."
    )
    assert data.caption.endswith(said)
    assert data.caption.count("Left out") == 1


def test_what_is_left_out_is_called_as_it_is_drawn(run: Run, tmp_path: Path) -> None:
    """Without the settings that all rows share, whether or not its row is drawn."""
    sweep(run, tmp_path)
    for method in ("lora", "full"):
        run(tmp_path, method, 5, SAID["lora"][0], kept=False)
    found = collect(tmp_path)
    records = [each.record for each in found.completed]
    shared = {key: "recipe" for key in records[0].settings if key.startswith("train.")}
    assert shared
    defaults = {Origin.of(one): {**one.settings, **shared} for one in records}
    named = dataclasses.replace(found, defaults=defaults)
    caption = FIGURE.data(named, FIGURE.settings()).caption
    assert "; all with train." in caption
    said = "Left out: full on a seed 5, lora r=4 on a seed 5 [it has no predictions.safetensors]."
    assert said in caption


def test_of_too_many_methods_larger_ensembles_are_not_made() -> None:
    methods = [f"m{n}" for n in range(12)]  # 66 pairs, 220 triples
    groups, untold = memberships(methods, 3)
    assert untold == [3]
    assert [len(group) for group in groups] == [2] * (12 + 66) + [3] * 12
    assert memberships(methods[:3], 3)[1] == []


def test_one_run_has_nothing_to_agree_with(run: Run, tmp_path: Path) -> None:
    run(tmp_path, "lora", 0, [0, 1, 2, 1])
    with pytest.raises(UserError, match="only one run that kept its predictions is left, lora r=4"):
        lines(collect(tmp_path))


def test_a_second_method_that_has_begun_is_compared_where_it_has_runs(
    run: Run, tmp_path: Path
) -> None:
    for task in "abc":
        run(tmp_path, "lora", 0, SAID["lora"][0], task=task)
    run(tmp_path, "hydra", 0, SAID["hydra"][0])
    found = lines(collect(tmp_path))
    assert found["hydra r=2+2", "lora r=4", "a"]["pairs"] == 1
    gone = r"lora r=4 on a, b, and .* Left out: hydra r=2\+2 \[no run on b\]\."
    with pytest.raises(UserError, match=gone):
        lines(collect(tmp_path), tasks="a,b")


def test_other_examples_are_refused(run: Run, tmp_path: Path) -> None:
    run(tmp_path, "lora", 0, [0, 1, 2, 1])
    run(tmp_path, "hydra", 0, [0, 1, 2, 1], targets=[0, 1, 2, 2])
    with pytest.raises(UserError, match="were scored on different examples of a: give methods="):
        lines(collect(tmp_path))


def test_it_is_drawn(run: Run, tmp_path: Path) -> None:
    sweep(run, tmp_path / "runs")
    sweep(run, tmp_path / "runs", "b")
    data = FIGURE.data(collect(tmp_path / "runs"), FIGURE.settings())
    assert data.notes[0] == (
        "two methods: the same class for 37.5% of examples; two seeds of one: the same "
        "class for 25.0 to 75.0% of examples"
    )
    made = FIGURE.draw(data)
    made.canvas.draw()
    matrix, gains = made.axes[:2]
    assert [text.get_text() for text in matrix.texts] == ["25", "25", "38", "75"]
    names = [tick.get_text() for tick in gains.get_xticklabels()]
    assert names == ["2 seeds", "2 methods"]  # two methods have no ensemble of three
    assert {f.suffix for f in save(made, data, tmp_path / "x")} == {".pdf", ".png", ".txt", ".csv"}


def test_long_names_are_whole_and_cover_nothing(run: Run, tmp_path: Path) -> None:
    sweep(run, tmp_path / "runs")
    data = FIGURE.data(collect(tmp_path / "runs"), FIGURE.settings())
    said = " (scheduler.warmup_epochs=0, train.epochs=2, optimizer.weight_decay=0.0001)"
    names = {name: name + said for name in data.facts["methods"]}
    facts = {**data.facts, "methods": list(names.values())}
    tables = {key: table.replace(names) for key, table in data.tables.items()}
    made = FIGURE.draw(dataclasses.replace(data, tables=tables, facts=facts))
    made.canvas.draw()
    matrix = made.axes[0]
    shown = [" ".join(tick.get_text().split()) for tick in matrix.get_yticklabels()]
    assert shown == [f"{at}: {name}" for at, name in enumerate(names.values(), 1)]
    bars = [text for text in made.findobj(Text) if "shared mistakes" in text.get_text()]
    gain = made.axes[1].yaxis.label
    labels = [*matrix.get_yticklabels(), *bars, gain, *made.axes[1].get_xticklabels()]
    boxes = [label.get_window_extent() for label in labels]
    for number, box in enumerate(boxes):
        assert made.bbox.x0 <= box.x0
        assert box.x1 <= made.bbox.x1
        assert made.bbox.y0 <= box.y0
        assert box.y1 <= made.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:number])


def test_a_long_name_makes_its_own_row_high(run: Run, tmp_path: Path) -> None:
    sweep(run, tmp_path / "runs")
    run(tmp_path / "runs", "bitfit", 0, SAID["lora"][0])
    data = FIGURE.data(collect(tmp_path / "runs"), FIGURE.settings())
    named = [*data.facts["methods"][:-1], data.facts["methods"][-1] + " and more of it" * 12]
    names = dict(zip(data.facts["methods"], named, strict=True))
    tables = {key: table.replace(names) for key, table in data.tables.items()}
    long = dataclasses.replace(data, tables=tables, facts={**data.facts, "methods": named})
    first, second, third = FIGURE.draw(long).axes[0].get_yticks()
    assert third - second > 2 * (second - first)


def of_methods(data: FigureData, names: list[str]) -> FigureData:
    """Return ``data`` with pairs of ``names`` in the place of its own."""
    few = {"task": "a", "seeds": "same", "pairs": 1, "agreement": 100.0, "shared_mistakes": 44.4}
    pairs = combinations_with_replacement(names, 2)
    table = pd.DataFrame([{"method": one, "other": other, **few} for one, other in pairs])
    table.loc[table["method"] == names[0], "agreement"] = 88.8
    facts = {**data.facts, "methods": names}
    return dataclasses.replace(data, tables={**data.tables, "": table}, facts=facts)


@pytest.mark.parametrize("count", [12, BESIDE, "conf"])
def test_numbers_of_many_methods_fit_into_their_cells(
    run: Run, root: Path, tmp_path: Path, count: int | str
) -> None:
    methods = sorted(file.stem for file in (root / "conf/method").glob("*.yaml"))
    assert BESIDE < len(methods) <= NUMBERED
    sweep(run, tmp_path)
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    made = FIGURE.draw(of_methods(data, methods[: None if count == "conf" else int(count)]))
    made.canvas.draw()
    matrix, gains = made.axes[:2]
    names = matrix.get_yticklabels()
    assert len(matrix.texts) == len(names) ** 2
    assert {text.get_text() for text in matrix.texts} == {"44", "89", "100"}
    cell = matrix.get_window_extent().width / len(names)
    for text in matrix.texts:
        assert text.get_window_extent().width <= 1.05 * cell
        assert text.get_fontsize() >= (4.5 if text.get_text() == "100" else 6.5)
    boxes = [label.get_window_extent() for label in (*names, *matrix.get_xticklabels())]
    boxes += [gains.get_tightbbox()]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_where_cells_have_no_room_for_numbers_the_caption_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(run, tmp_path)
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert "no numbers" not in data.caption
    made = FIGURE.draw(of_methods(data, [f"m{n}" for n in range(NUMBERED + 1)]))
    assert not made.axes[0].texts
    monkeypatch.setattr("hydra_peft.figures.agreement.NUMBERED", 1)
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert "Cells of more than 1 rows have no numbers: the CSV has them." in data.caption


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"lora": [0], "hydra": [0]}, "of the same seed."),
        ({"lora": [0, 1], "hydra": [0, 1]}, "of different seeds."),
        ({"lora": [0, 1], "hydra": [0], "bitfit": [0]}, "of different seeds, some of the same"),
        ({"lora": [0, 1]}, None),
    ],
    ids=["same", "different", "some", "none"],
)
def test_a_caption_says_which_seeds_pairs_of_methods_are_of(
    run: Run, tmp_path: Path, seeds: dict[str, list[int]], said: str | None
) -> None:
    for method, own in seeds.items():
        for seed in own:
            run(tmp_path, method, seed, SAID["lora"][seed])
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert ("Pairs of methods are " in data.caption) == bool(said)
    assert f"Pairs of methods are {said}" in data.caption or not said


def test_a_caption_names_the_seeds_that_a_row_has_on_all_tasks(run: Run, tmp_path: Path) -> None:
    sweep(run, tmp_path)
    sweep(run, tmp_path, task="b")
    run(tmp_path, "lora", 7, SAID["lora"][0])
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert set(data.table["task"]) == {"a", "b", "mean over tasks"}
    assert "; seeds 0, 1. Matrix: " in data.caption
    assert "White" not in data.caption
    for task in "ab":
        run(tmp_path, "ia3", 0, SAID["lora"][0], task=task)
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert "White: no two runs to compare that have all of these tasks." in data.caption


def test_one_seed_has_no_diagonal_and_no_spread(run: Run, tmp_path: Path) -> None:
    for method in SAID:
        run(tmp_path, method, 0, SAID[method][0])
    data = FIGURE.data(collect(tmp_path), FIGURE.settings())
    assert "diagonal" not in data.caption
    assert "Spreads" not in data.caption
    assert data.notes[0] == "two methods: the same class for 50.0% of examples"
    texts = [text.get_text().replace("\n", " ") for text in FIGURE.draw(data).findobj(Text)]
    assert "below: same class; above: shared mistakes (%)" in texts
