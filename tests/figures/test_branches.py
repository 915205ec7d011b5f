"""The claims over many runs: what is averaged, what is kept apart, what is left out."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_models import put_model
from fabricated_runs import put
from made_up import with_tuned_ranks
from text_runs import put_text_model

from hydra_peft.analysis.intervals import bounded_interval
from hydra_peft.errors import UserError
from hydra_peft.figures import FigureData, find_figure, render
from hydra_peft.runs.collection import collect
from hydra_peft.runs.record import read_record, write_record
from hydra_peft.tables.overrides import Origin

Compose = Callable[..., Any]
FIGURE = find_figure("branches")


def data(runs: Path, cache: Path) -> FigureData:
    return FIGURE.data(collect(runs), FIGURE.settings(cache=str(cache), images=16))


@pytest.fixture(scope="module")
def made(compose_train: Compose, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks with two and one seeds, a run on random weights, a lora run, a failed one."""
    folder = tmp_path_factory.mktemp("made")
    cache = folder / "cache"
    for name, words in {
        "a": ["dataset=mini/digits", "seed=0"],
        "b": ["dataset=mini/digits", "seed=1"],
        "c": ["dataset=mini/texture", "seed=0"],
        "d": ["dataset=mini/digits", "seed=0", "model.pretrained=false"],
        "e": ["dataset=mini/digits", "seed=0", "method=lora"],
    }.items():
        words += ["method.targets=[mlp.fc2]"]  # half of the layers
        put_model(compose_train, folder / "runs" / name, *words, cache=cache)
    unknown = read_record(folder / "runs" / "d")
    changed = dataclasses.replace(unknown, data={"sha256": "a" * 64, "splits": {"test": "c" * 64}})
    write_record(changed, folder / "runs" / "d")
    put(folder / "runs", "failed", seed=9)
    return folder


@pytest.fixture
def runs(made: Path) -> Path:
    return made / "runs"


@pytest.fixture
def cache(made: Path) -> Path:
    return made / "cache"


def test_numbers_by_hand(runs: Path, cache: Path) -> None:
    found = data(runs, cache)
    table, summary = found.table, found.tables["summary"]
    assert sorted(table["folder"]) == ["a", "b", "c", "d"]
    # Each run's similarities are the means of its own Figure 3.
    three, four = find_figure("3"), find_figure("4")
    for row in table.itertuples():
        own = three.data([runs / row.folder], three.settings()).tables["summary"]
        means = own.groupby("branch")["similarity"].mean()
        assert row.similarity_parallel == pytest.approx(means["A"], abs=1e-9)
        assert row.similarity_sequential == pytest.approx(means["B W0"], abs=1e-9)
        assert row.similarity_chance == pytest.approx(13 / 128)
    # And its alignments those of its Figure 4.
    settings = four.settings(cache=str(cache), images=16)
    aligned = four.data([runs / "a"], settings).tables["alignment"]
    a = table[table["folder"] == "a"].iloc[0]
    assert a["cka_parallel"] == pytest.approx(aligned["cka_debiased"][0])
    assert a["cka_sequential"] == pytest.approx(aligned["cka_debiased"][1])
    assert a["biased_cka_sequential"] == pytest.approx(aligned["cka"][1])
    pretrained = summary[
        ~summary["setting"].str.contains("RANDOM") & (summary["measure"] == "similarity")
    ].set_index("task")
    assert list(pretrained.index) == ["digits", "texture", "(mean over tasks)"]
    own = table.set_index("folder")["similarity_sequential"]
    digits = (own["a"] + own["b"]) / 2
    assert pretrained["sequential"]["digits"] == pytest.approx(digits)
    # sample standard deviation of two values; a similarity is between 0 and 1
    between = bounded_interval(digits, abs(own["a"] - own["b"]) / 2**0.5, 2, 0.0, 1.0)
    assert pretrained["sequential_high"]["digits"] == pytest.approx(between[1])
    ends = summary[["parallel_low", "parallel_high", "sequential_low", "sequential_high"]]
    assert ends.stack().dropna().between(-1, 1).all()
    # Tasks count alike, whatever their number of seeds.
    over = pretrained.loc["(mean over tasks)"]
    assert over["sequential"] == pytest.approx((digits + own["c"]) / 2)
    assert (over["of"], over["runs"]) == (2, 3)
    differences = table.set_index("folder").eval("similarity_sequential - similarity_parallel")
    assert over["runs_higher"] == (differences[["a", "b", "c"]] > 0).sum()


def test_random_weights_stand_apart_and_missing_images_are_named(runs: Path, cache: Path) -> None:
    found = data(runs, cache)
    settings = set(found.table["setting"])
    assert len(settings) == 2
    assert sum("RANDOM WEIGHTS" in setting for setting in settings) == 1
    alone = found.table[found.table["folder"] == "d"].iloc[0]
    assert alone["cka_parallel"] != alone["cka_parallel"]  # NaN
    assert any(note.startswith("no CKA: the test images") for note in found.notes)
    assert any("cka is undefined for all runs" in note for note in found.notes)
    pretrained = [note for note in found.notes if "pretrained" in note]
    assert [note.rpartition(": ")[2].split()[0] for note in pretrained] == ["similarity", "cka"]
    assert all(
        re.search(r"higher in \d of 2 tasks \(sign.*\), \d of 3 runs", n) for n in pretrained
    )
    drawn = FIGURE.draw(found)
    assert len(drawn.axes) == 4
    assert render(drawn, "pdf").startswith(b"%PDF")


def test_what_cannot_be_rebuilt_is_left_out(
    compose_train: Compose, made: Path, cache: Path, tmp_path: Path
) -> None:
    runs = Path(shutil.copytree(made / "runs", tmp_path / "runs"))
    (runs / "b" / "adapter.safetensors").write_bytes(b"cut")
    found = data(runs, cache)
    assert sorted(found.table["folder"]) == ["a", "c", "d"]
    assert any(n.startswith("left out: cannot read") and "/b/" in n for n in found.notes)
    put_model(compose_train, tmp_path / "lora" / "x", "method=lora")
    with pytest.raises(UserError, match="none of these runs has both branches"):
        data(tmp_path / "lora", tmp_path / "cache")


def test_two_settings_of_one_method_are_told_apart(compose_train: Compose, tmp_path: Path) -> None:
    for rate in ("0.1", "0.2"):
        words = (f"optimizer.lr={rate}", "method.targets=[blocks.4.mlp.fc2]")
        put_model(compose_train, tmp_path / "runs" / rate, *words)
    found = data(tmp_path / "runs", tmp_path / "cache")
    settings = set(found.table["setting"])
    assert [rate in " ".join(settings) for rate in ("lr=0.1)", "lr=0.2)")] == [True, True]
    made = FIGURE.draw(found)
    made.canvas.draw()
    title = made.axes[0].get_title(loc="left")
    assert re.sub(r"[\n\xa0]", " ", title) in settings
    # No line ends between the weights and their hash.
    assert re.search(r"\(pretrained\xa0\w{8}\)", title)
    boxes = [axes._left_title.get_window_extent() for axes in made.axes]
    assert max(box.x1 for box in boxes) <= made.bbox.x1


def test_a_row_that_was_tuned_over_ranks_is_one_setting(
    compose_train: Compose, tmp_path: Path
) -> None:
    for task, rank in {"digits": 1, "texture": 2}.items():
        words = (f"dataset=mini/{task}", f"method.rank={rank}", "method.targets=[mlp.fc2]")
        put_model(compose_train, tmp_path / "runs" / task, *words)
    collection = with_tuned_ranks(collect(tmp_path / "runs"), "hydra")
    found = FIGURE.data(collection, FIGURE.settings(cache=str(tmp_path / "cache"), images=16))
    (setting,) = set(found.table["setting"])
    assert setting.startswith("mini, hydra r=1+1 or hydra r=2+2, ")
    assert "; hydra r=1+1 or hydra r=2+2, auto; " in found.caption
    # Of rank 1 there is one direction to compare, for which a similarity is known.
    assert list(found.table["directions"]) == [1, 2]
    assert found.table["similarity_sequential"].notna().all()
    assert "j = 2 (of a branch of rank 1: 1)" in found.caption


def test_texts_have_similarities_and_one_note(compose_train: Compose, tmp_path: Path) -> None:
    for seed in (0, 1):
        put_text_model(compose_train, tmp_path / "runs" / f"t{seed}", f"seed={seed}")
    put_model(compose_train, tmp_path / "runs" / "image", cache=tmp_path / "cache")
    found = data(tmp_path / "runs", tmp_path / "cache")
    assert sorted(found.table["of"]) == ["images", "texts", "texts"]
    assert found.table["similarity_parallel"].notna().all()
    notes = [note for note in found.notes if "CKA" in note]
    assert notes == ["no CKA of 2 runs on texts: it is of images."]
    assert "CKA: debiased, [CLS], layer blocks.4.mlp.fc2." in found.caption
    words = [axes.get_xlabel().rpartition("\n")[2] for axes in FIGURE.draw(found).axes]
    assert "of images alone" in words
    assert not any("undefined" in note for note in found.notes)
    assert not any("0 of 0" in said for said in words)


def test_a_caption_says_the_shared_settings_of_each_backbone(
    compose_train: Compose, tmp_path: Path
) -> None:
    """Panels are called without them, and alike but for the backbone."""
    for kind, words in {
        "pretrained": ["train.epochs=5"],
        "random": ["train.epochs=9", "model.pretrained=false"],
    }.items():
        words += ["method.targets=[blocks.4.mlp.fc2]"]
        put_model(compose_train, tmp_path / "runs" / kind, *words)
    collection = collect(tmp_path / "runs")
    usual = {**collection.records[0].settings, "train.epochs": 1}
    defaults = {Origin.of(record): usual for record in collection.records}
    named = dataclasses.replace(collection, defaults=defaults)
    found = FIGURE.data(named, FIGURE.settings(cache=str(tmp_path / "cache"), images=16))
    assert not any("epochs" in setting for setting in found.table["setting"])
    assert re.search(
        r"On vit_mini \(pretrained \w{8}\): all with [^.]*train.epochs=5", found.caption
    )
    assert re.search(r"On vit_mini \(RANDOM WEIGHTS\): all with [^.]*train.epochs=9", found.caption)
    assert found.caption.count("train.epochs") == 2
    one = dataclasses.replace(named, completed=named.completed[:1])
    assert re.search(
        r"\. All with [^.]*train.epochs=[59]",
        FIGURE.data(one, FIGURE.settings(cache=str(tmp_path / "cache"), images=16)).caption,
    )
