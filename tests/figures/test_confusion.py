"""Confusion matrix and worst mistakes from a run's predictions, against scikit-learn's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fabricated_models import put_model
from fabricated_runs import edited, record
from flat_results import flat
from sklearn.metrics import confusion_matrix, recall_score
from torch import Tensor

from hydra_peft.errors import UserError
from hydra_peft.figures import find_figure, render
from hydra_peft.tensor_files import write_tensors

Compose = Callable[..., Any]
CONFUSION, MISTAKES = find_figure("confusion"), find_figure("mistakes")


def made_up(classes: int, count: int, seed: int = 0) -> dict[str, Tensor]:
    """Return outputs and targets: two in three are right, the last class has no example."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes - 1, (count,), generator=generator)
    outputs = torch.randn(count, classes, generator=generator)
    outputs[torch.arange(count), targets] += 2.5 * (torch.rand(count, generator=generator) < 0.7)
    return {"outputs": outputs, "targets": targets}


def put(
    compose: Compose,
    folder: Path,
    tensors: dict[str, Tensor],
    *overrides: str,
    names: list[str] | None = None,
    benchmark: str = "mini",
    **data: Any,
) -> Path:
    """Write a completed run that kept ``tensors`` as its predictions; return its folder."""
    correct = int((tensors["outputs"].argmax(1) == tensors["targets"]).sum())
    count = len(tensors["targets"])
    scored = {"accuracy": 100 * correct / count, "correct": correct, "count": count}
    put_model(
        compose,
        folder,
        *overrides,
        metrics={**flat(record()), **scored},
        benchmark=benchmark,
        data={"sha256": "a" * 64, "splits": {"test": "c" * 64}, "classes": names, **data},
    )
    write_tensors(folder / "predictions.safetensors", tensors, {"split": "test"})
    return folder


@pytest.fixture(scope="module")
def folder(compose_train: Compose, tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [f"class {index}" for index in range(10)]
    return put(compose_train, tmp_path_factory.mktemp("run"), made_up(10, 300), names=names)


def test_counts_and_accuracies_are_scikit_learns(folder: Path) -> None:
    found = CONFUSION.data([folder], CONFUSION.settings())
    tensors = made_up(10, 300)
    targets, predicted = tensors["targets"].numpy(), tensors["outputs"].argmax(1).numpy()
    counts = np.zeros((10, 10), int)
    counts[found.table["target"], found.table["prediction"]] = found.table["count"]
    assert np.array_equal(counts, confusion_matrix(targets, predicted, labels=range(10)))
    classes = found.tables["classes"]
    recalls = 100 * recall_score(targets, predicted, labels=range(9), average=None)
    assert classes["accuracy"][:9].tolist() == pytest.approx(recalls.tolist())
    assert np.isnan(classes["accuracy"][9])
    assert classes["examples"].tolist() == np.bincount(targets, minlength=10).tolist()
    assert classes["name"].tolist() == [f"class {index}" for index in range(10)]
    np.fill_diagonal(counts, 0)
    target, prediction = np.unravel_index(counts.argmax(), counts.shape)
    assert found.notes[0].startswith(f"class {target} was taken for class {prediction} in ")
    assert found.notes[-1] == "1 of 10 classes has no example in this split"
    assert "300 examples of test, 10 classes" in found.caption


def test_a_further_split_that_was_scored_is_drawn_too(
    compose_train: Compose, tmp_path: Path
) -> None:
    words = ("+dataset.splits.further=[more]", "+dataset.sizes.more=40", "dataset.sizes.test=300")
    tensors, more = made_up(10, 300), made_up(10, 40, seed=1)
    correct = int((more["outputs"].argmax(1) == more["targets"]).sum())
    counts = {"test": 300, "more": 40}
    folder = put(compose_train, tmp_path, tensors, *words, counts=counts)
    values = json.loads((folder / "result.json").read_text())
    edited(folder, scores={**values["scores"], "more": {"accuracy": 100 * correct / 40}})
    write_tensors(folder / "predictions-more.safetensors", more, {"split": "more"})

    assert CONFUSION.data([folder], CONFUSION.settings()).table["count"].sum() == 300
    found = CONFUSION.data([folder], CONFUSION.settings(split="more"))
    right = found.table[found.table["target"] == found.table["prediction"]]
    assert (right["count"].sum(), found.table["count"].sum()) == (correct, 40)
    assert found.facts["accuracy"] == pytest.approx(100 * correct / 40)
    assert "40 examples of more" in found.caption
    with pytest.raises(UserError, match=r"on split=mor \(did you mean 'more'\?\)"):
        MISTAKES.data([folder], MISTAKES.settings(split="mor"))
    write_tensors(folder / "predictions-more.safetensors", made_up(10, 40, seed=3), {})
    with pytest.raises(UserError, match=f"correct predictions, its record {correct}"):
        MISTAKES.data([folder], MISTAKES.settings(split="more"))


@pytest.mark.parametrize(
    ("dataset", "classes"),
    [("mini/digits", 10), pytest.param("dtd", 47, marks=pytest.mark.long), ("flowers102", 102)],
)
def test_it_is_drawn_for_few_and_many_classes(
    compose_train: Compose, tmp_path: Path, dataset: str, classes: int
) -> None:
    tensors = made_up(classes, 20 * classes)
    benchmark = "mini" if dataset.startswith("mini") else "vtab1k"
    folder = put(compose_train, tmp_path, tensors, f"dataset={dataset}", benchmark=benchmark)
    found = CONFUSION.data([folder], CONFUSION.settings())
    picture = CONFUSION.draw(found)
    matrix, bars = picture.axes[:2]
    shares = matrix.images[0].get_array()
    assert shares.shape == (classes, classes)
    named = [label.get_text() for label in (matrix if classes < 50 else bars).get_yticklabels()]
    if classes < 50:
        assert named == [str(index) for index in range(classes)]
    else:
        least = found.tables["classes"].dropna().nsmallest(30, "accuracy")
        assert set(named) == set(map(str, least["class"]))
    assert bool(matrix.texts) == (classes == 10)
    assert render(picture, "png").startswith(b"\x89PNG")


def test_a_matrix_is_of_no_more_classes_than_can_be_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_peft.figures.confusion._MOST", 9)
    monkeypatch.setattr("hydra_peft.figures.confusion._pairs", None)
    with pytest.raises(UserError, match="has 10 classes, and a confusion matrix is drawn of at mo"):
        CONFUSION.data([folder], CONFUSION.settings())


def test_the_surest_mistakes_come_first(
    compose_train: Compose, tmp_path: Path, shared_images: tuple[Path, dict[str, Any], Any]
) -> None:
    cache, description, images = shared_images
    tensors = made_up(10, len(images))
    folder = put(compose_train, tmp_path, tensors, splits=description["splits"])
    found = MISTAKES.data([folder], MISTAKES.settings(images=5, cache=str(cache)))
    table = found.table
    probabilities = tensors["outputs"].double().softmax(1).numpy()
    wrong = probabilities.argmax(1) != tensors["targets"].numpy()
    order = [row for row in np.argsort(-probabilities.max(1), kind="stable") if wrong[row]]
    assert table["row"].tolist() == order
    assert table["probability"].tolist() == pytest.approx(probabilities.max(1)[order].tolist())
    targets = tensors["targets"].numpy()[order]
    assert table["of_target"].tolist() == pytest.approx(probabilities[order, targets].tolist())
    assert len(found.facts["pixels"]) == 5
    for row, pixels in zip(order, found.facts["pixels"], strict=False):
        assert np.array_equal(pixels, images.pixels(row))
    drawn = [axes for axes in MISTAKES.draw(found).axes if axes.images]
    assert len(drawn) == 5
    assert "5 of " in found.caption


@pytest.fixture(scope="module")
def shared_images(
    compose_train: Compose, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], Any]:
    """The test images of mini/digits: their cache, what a record says of them, and they."""
    from hydra_peft.config.check import check_config
    from hydra_peft.data.sources import load_task
    from hydra_peft.runs.first_look import data_request

    cache = tmp_path_factory.mktemp("cache")
    config = check_config(compose_train(f"paths.cache={cache}"))
    loaded = load_task("mini", data_request(config.dataset, config.paths, ["test"]))
    return cache, loaded.describe(), loaded.splits["test"].inputs["image"]


def test_what_cannot_be_drawn_is_a_sentence(
    folder: Path, compose_train: Compose, tmp_path: Path
) -> None:
    def refused(figure: Any = CONFUSION, **settings: Any) -> str:
        with pytest.raises(UserError) as caught:
            figure.data([folder], figure.settings(**settings))
        return str(caught.value)

    assert "test images (sha256 " in refused(MISTAKES, cache=str(tmp_path / "cache"))
    assert "images=121 is not allowed" in refused(MISTAKES, images=121)
    said = (folder / "result.json").read_text()
    try:
        edited(folder, data={"sha256": "a" * 64})
        said_of_it = refused(MISTAKES, cache=str(tmp_path / "cache"))
        assert "has no sha256 of its test images" in said_of_it
    finally:
        (folder / "result.json").write_text(said)
    file = folder / "predictions.safetensors"
    content = file.read_bytes()
    tensors = made_up(10, 300)
    try:
        for changed, message in [
            ({"outputs": tensors["outputs"]}, "lacks targets, which runs of older"),
            (made_up(10, 299), "shape (299, 10), and its run scored 300 examples with 10 outputs"),
            (made_up(10, 300, seed=1), "correct predictions, its record"),
            ({**tensors, "targets": tensors["targets"] + 5}, "labels from"),
            ({**tensors, "outputs": tensors["outputs"] / 0}, "outputs that are not finite"),
        ]:
            write_tensors(file, changed, {})
            assert message in refused()
        file.unlink()
        assert "has no predictions.safetensors" in refused()
        right = {**tensors, "outputs": 9.0 * torch.eye(10)[tensors["targets"]]}
        perfect = put(compose_train, tmp_path / "perfect", right)
        with pytest.raises(UserError, match="makes no mistake on test"):
            MISTAKES.data([perfect], MISTAKES.settings())
    finally:
        file.write_bytes(content)
