"""ELEVATER's data as a user has it: prepared, checked, sampled, trained on, in a table."""

from __future__ import annotations

import csv
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fabricated_elevater import WRITERS, write_originals
from tiny_clip import MODEL, WIDTH, tiny_clip

from hydra_peft.cli import check_data, prepare_data, tables, train
from hydra_peft.tables.pe_score import pe_score

Call = Callable[..., tuple[int, str, str]]
Measured = tuple[dict[str, float], set[str]]

#: one with a metric of its own, one with several labels, one with classes in another order
SOME = ("hateful_memes", "voc2007", "fer2013")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    write_originals(folder, *SOME)
    return folder


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Call an entry point with words: exit code, stdout, stderr."""
    from hydra.core.global_hydra import GlobalHydra

    def act(main: Callable[[], int], *words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["script", *map(str, words)])
        before = signal.getsignal(signal.SIGTERM)
        GlobalHydra.instance().clear()
        try:
            code = main()
        finally:
            signal.signal(signal.SIGTERM, before)
            GlobalHydra.instance().clear()
        return (code, *capfd.readouterr())

    return act


def test_from_originals_to_a_table(source: Path, tmp_path: Path, call: Call) -> None:
    data, tasks = tmp_path / "data", ",".join(SOME)
    order = ("elevater", f"task={tasks}", f"source={source}", f"out={data}/elevater")
    code, out, err = call(prepare_data.main, *order, "partial=true")
    assert code == 0, err
    assert out.count("PARTIAL DATA") >= len(SOME)
    report = tmp_path / "check.json"
    places = (f"data={data}", f"cache={tmp_path}/cache", f"out={report}")
    words = ("benchmark=elevater", f"task={tasks}", *places)
    assert call(check_data.main, *words, "partial=true")[0] == 0
    checked = json.loads(report.read_text())["tasks"]
    assert {task: checked[task]["status"] for task in SOME} == dict.fromkeys(SOME, "ok")
    code, out, _ = call(check_data.main, *words)
    assert code == 1
    assert "hateful_memes: train lists 8 images, expected 8500." in out

    short = (
        "protocol.tune=false",
        "train.epochs=1",
        "device=cpu",
        "data.allow_partial=true",
        "dataset.shots=1",
    )
    short += (f"paths.data={data}", f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache")
    runs = ",".join(f"elevater/{task}" for task in SOME)
    code, _, err = call(train.main, "-m", "method=linear", f"dataset={runs}", *short)
    assert code == 0, err
    records = {
        record["task"]: record
        for record in (json.loads(p.read_text()) for p in tmp_path.rglob("runs/**/result.json"))
    }
    assert {task: record["primary"] for task, record in records.items()} == {
        "hateful_memes": "roc_auc",
        "voc2007": "map_11point",
        "fer2013": "accuracy",
    }
    assert records["hateful_memes"]["data"]["counts"] == {"train": 2, "test": 6}
    assert records["fer2013"]["data"]["counts"] == {"train": 7, "test": 7}
    assert records["voc2007"]["data"]["counts"]["train"] >= 18
    assert records["hateful_memes"]["data"]["classes"] == ["meme", "hatespeech meme"]
    said = " ".join(records["voc2007"]["data"]["notes"])
    assert "order of its own" in said
    assert "difficult" in said
    code, out, _ = call(tables.main, f"runs={tmp_path}/runs", f"out={tmp_path}/tables")
    assert code == 0
    assert "ELEVATER" in out
    assert "PARTIAL DATA" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["protocol.tune=false", "dataset.shots=6"],
            "dataset.shots=6 is more than the 4 training examples of class 0",
        ),
        (["dataset.shots=1"], "dataset.shots=1 leaves nothing"),
        (["dataset.shots=3", "dataset.train_size=4"], "both set"),
    ],
)
def test_mistakes_are_one_sentence(
    source: Path, tmp_path: Path, call: Call, words: list[str], sentence: str
) -> None:
    data = tmp_path / "data" / "elevater"
    order = ("elevater", "task=hateful_memes", f"source={source}", f"out={data}", "partial=true")
    assert call(prepare_data.main, *order)[0] == 0
    places = (f"paths.data={data.parent}", f"paths.runs={tmp_path}/runs")
    places += (f"paths.cache={tmp_path}/cache", "data.allow_partial=true", "device=cpu")
    code, _, err = call(train.main, "dataset=elevater/hateful_memes", *places, *words)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert not list(tmp_path.rglob("result.json"))


def test_a_task_that_is_not_prepared_says_how(tmp_path: Path, call: Call) -> None:
    places = (f"paths.data={tmp_path}", f"paths.runs={tmp_path}/runs", "device=cpu")
    code, _, err = call(train.main, "dataset=elevater/dtd", *places)
    assert code == 2
    assert "python scripts/prepare_data.py elevater task=dtd source=<original files>" in err


def test_an_archive_is_of_vtab1k(call: Call) -> None:
    code, _, err = call(prepare_data.main, "elevater", "archive=some.tar.gz")
    assert code == 2
    assert "archive= is for VTAB-1k" in err


def searched_to_table_1(tasks: tuple[str, ...], tmp_path: Path, call: Call) -> Measured:
    """Go the whole way with a tiny CLIP, from originals to Hydra's row of Table 1; return its
    values by column, and what it says of the head's parameters."""
    _, checkpoint = tiny_clip(tmp_path)
    write_originals(tmp_path / "originals", *tasks, each=2)
    data, listed = tmp_path / "data", ",".join(tasks)
    order = ("elevater", f"task={listed}", f"source={tmp_path}/originals", f"out={data}/elevater")
    code, _, err = call(prepare_data.main, *order, "partial=true")
    assert code == 0, err
    check = ("benchmark=elevater", f"task={listed}", f"data={data}", f"out={tmp_path}/check.json")
    assert call(check_data.main, *check, f"cache={tmp_path}/cache", "partial=true")[0] == 0
    assert json.loads((tmp_path / "check.json").read_text())["tasks"].keys() == set(tasks)
    usual = [*MODEL, f"model.checkpoint={checkpoint}", "device=cpu", "data.allow_partial=true"]
    usual += [f"paths.{name}={tmp_path}/{name}" for name in ("data", "runs", "cache")]
    usual += ["dataset=" + ",".join(f"elevater/{task}" for task in tasks), "dataset.shots=2"]
    code, _, err = call(train.main, "-m", "+experiment=zero_shot", *usual)
    assert code == 0, err
    short = ["train.epochs=2", "protocol.trial_epochs=1"]
    short += ["protocol.grid.optimizer={lr:[1e-3],weight_decay:[1e-4,1e-2]}"]
    code, _, err = call(train.main, "-m", "+experiment=table1", "method=hydra_mlp", *short, *usual)
    assert code == 0, err
    places = (f"runs={tmp_path}/runs", f"out={tmp_path}/tables")
    code, out, _ = call(tables.main, *places)
    assert code == 0
    assert "\n| zero-shot  " in out
    assert call(tables.main, *places, "table=1", "format=csv")[0] == 0
    with (tmp_path / "tables" / "table1.csv").open() as file:
        lines = [line for line in csv.DictReader(file) if line["measured_method"]]
    assert {line["row"] for line in lines} == {"Hydra"}
    sizes = {line["measured_mean_head_parameters"] for line in lines}
    means = {line["task"]: line["measured_mean"] for line in lines}
    return {task: float(mean) for task, mean in means.items() if mean}, sizes


def test_two_tasks_from_originals_over_zero_shot_and_search_to_table_1(
    tmp_path: Path, call: Call
) -> None:
    tasks = ("fer2013", "voc2007")
    measured, _ = searched_to_table_1(tasks, tmp_path, call)
    assert measured.keys() == set(tasks)  # no mean without the others
    records = [json.loads(p.read_text()) for p in (tmp_path / "runs").rglob("result.json")]
    final = {r["task"]: r for r in records if r["tuning"]}
    assert final.keys() == set(tasks)
    for record in final.values():
        assert (record["tuning"]["search"], record["tuning"]["trials"]) == ("elevater", 2)
        assert (record["tuning"]["split"], record["selection"]["split"]) == (
            "val_shots",
            "test",
        )
    assert final["voc2007"]["primary"] == "map_11point"


@pytest.mark.long
def test_all_twenty_tasks_from_originals_over_zero_shot_and_search_to_table_1(
    tmp_path: Path, call: Call
) -> None:
    measured, sizes = searched_to_table_1(tuple(WRITERS), tmp_path, call)
    assert len(WRITERS) == 20
    tasks = {task: measured[task] for task in WRITERS}
    (mean,) = (measured[name] for name in measured.keys() - WRITERS.keys() if "average" in name)
    assert mean == pytest.approx(sum(tasks.values()) / 20)
    head = 1151 * (WIDTH + 1) / 20  # of 1,151 classes in all
    assert [float(size) for size in sizes] == [head]
    # of each of two layers from 256 to 64: branches of rank 2 with biases, beside it and behind it
    adapter = 2 * ((2 * 256 + 2 + 2 * 64 + 64) + (2 * 64 + 2 + 2 * 64 + 64))
    assert measured["PE"] == pytest.approx(pe_score(mean, adapter + head))


@pytest.mark.long
def test_the_official_protocol_of_a_clip_beside_clean_in_table_1(
    source: Path, tmp_path: Path, call: Call
) -> None:
    _, checkpoint = tiny_clip(tmp_path)
    data = tmp_path / "data"
    order = ("elevater", "task=fer2013", f"source={source}", f"out={data}/elevater")
    assert call(prepare_data.main, *order, "partial=true")[0] == 0
    places = (f"paths.data={data}", f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache")
    usual = (*MODEL, f"model.checkpoint={checkpoint}", *places, "device=cpu", "dataset.shots=2")
    usual += ("data.allow_partial=true", "dataset=elevater/fer2013")
    zero = ("head=zero_shot", "method=linear", "train.epochs=0", "protocol.tune=false")
    code, _, err = call(train.main, *zero, *usual)
    assert code == 0, err
    grid = "protocol.grid={optimizer:{lr:[1e-3],weight_decay:[1e-4,1e-2]}}"
    short = ("head=text_prompts", "train.epochs=2", "protocol.trial_epochs=1", grid)
    for protocol in ("clean", "official"):
        words = ("method=hydra_mlp", f"protocol={protocol}", *short, *usual)
        code, _, err = call(train.main, *words)
        assert code == 0, err
    records = [json.loads(p.read_text()) for p in (tmp_path / "runs").rglob("result.json")]
    clean, official, untrained = sorted(
        (r for r in records if "tuning" not in r["protocol"]),
        key=lambda r: (r["selection"]["epoch"] == 0, r["protocol"]),
    )
    assert len({r["inputs"]["text_features"] for r in records}) == 1
    assert len(list((tmp_path / "cache" / "text").iterdir())) == 1
    assert untrained["selection"]["epoch"] == 0
    searched = clean["tuning"]
    assert (searched["search"], searched["split"]) == ("elevater", "val_shots")
    assert searched["trials"] == 2
    assert (official["tuning"]["search"], official["tuning"]["trials"]) == ("elevater_released", 1)
    assert official["selection"]["rule"] == "best"
    code, out, _ = call(tables.main, f"runs={tmp_path}/runs", f"out={tmp_path}/tables", "table=1")
    assert code == 0
    assert "Hydra (paper)" in out
    assert out.count("Hydra (measured") >= 2
