"""Times of jobs from those of runs like them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fabricated_sweeps import fabricate
from few_images import SIZES

from hydra_peft.backbones.backbones import Weights
from hydra_peft.config.schema import RunConfig
from hydra_peft.runs.assembly import load_backbone
from hydra_peft.runs.existing import folder_of
from hydra_peft.runs.folder import find_runs
from hydra_peft.runs.record import Record, read_record
from hydra_peft.sweeps.durations import duration, in_slots
from hydra_peft.sweeps.estimate import PastTimes
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.one_job import do_job


@pytest.fixture
def config(make_job: Callable[..., Job]) -> Callable[..., RunConfig]:
    return lambda *words: make_job(*words).run_config()


@pytest.fixture
def real(make_job: Callable[..., Job], tmp_path: Path) -> Record:
    do_job(make_job("seed=99"))
    (folder,) = find_runs(tmp_path / "runs")
    record = read_record(folder)
    (folder / "result.json").unlink()
    return record


def test_medians_and_what_stands_in_for_them(
    config: Callable[..., RunConfig], real: Record, tmp_path: Path
) -> None:
    for seed, seconds in enumerate((10.0, 30.0, 1000.0)):
        fabricate(real, [config(f"seed={seed}")], times={"total": seconds})
    fabricate(real, [config("seed=7")], times={"total": 1.0}, status="failed", error="x")
    fabricate(real, [config("seed=8")], times={"total": 2.0}, tuning={"chosen": {}})
    other = {**real.hardware, "cpu": "another"}
    fabricate(real, [config("seed=9")], times={"total": 3.0}, hardware=other)
    past = PastTimes([tmp_path / "runs"])
    assert past.seconds(config("seed=5")) == 30.0
    # Another task, twice the epochs: by training images and epochs.
    more = config("dataset=mini/cells", "train.epochs=2", "seed=5")
    assert past.seconds(more) == pytest.approx(60.0)
    assert past.seconds(config("method=lora")) is None
    # Another architecture, image size or depth is another model.
    for word in ("architecture=deit_tiny_patch16_224", "image_size=64", "arguments.depth=24"):
        added = "+" * word.startswith("arguments")
        other_model = config(f"{added}model.{word}", "model.pretrained=false", "seed=5")
        assert past.seconds(other_model) is None
    # The same task with fewer training images.
    for words in (["shots=1"], ["shots=1", "dataset.sampling_seed=0"], ["train_size=10"]):
        fewer = config(*(f"dataset.{word.removeprefix('dataset.')}" for word in words))
        assert past.seconds(fewer) == pytest.approx(30.0 * 10 / SIZES["train"])


def test_what_a_run_takes_beside_its_training_is_counted_once(
    config: Callable[..., RunConfig], real: Record, tmp_path: Path
) -> None:
    """A trial of one epoch says what more of them take, and that all take as long to start."""
    fabricate(real, [config()], times={"total": 6.0, "train": 1.0}, images_per_second=None)
    past = PastTimes([tmp_path / "runs"])
    assert past.seconds(config()) == 6.0
    assert past.seconds(config("train.epochs=50")) == pytest.approx(5.0 + 50 * 1.0)
    tuned = config("protocol.tune=true", "protocol.grid.optimizer.lr=[0.1,0.01]")
    each = 1.0 * SIZES["train800"] / SIZES["train"]
    assert past.seconds(tuned) == pytest.approx(3 * 5.0 + 1.0 + 2 * each)


def test_runs_that_are_much_shorter_than_others_tell_no_rate(
    config: Callable[..., RunConfig], real: Record, tmp_path: Path
) -> None:
    for seed in range(3):
        fabricate(real, [config(f"seed={seed}")], times={"total": 9.0})
    long = {"times": {"total": 20.0}, "selection": {**real.selection, "epoch": 20}}
    fabricate(real, [config("train.epochs=20")], **long)
    past = PastTimes([tmp_path / "runs"])
    assert past.seconds(config("train.epochs=40")) == pytest.approx(40.0)
    assert past.seconds(config("seed=5")) == 9.0


def test_a_search_before_the_run_counts(
    config: Callable[..., RunConfig], real: Record, tmp_path: Path
) -> None:
    fabricate(real, [config()], times={"total": 10.0})
    tuned = config("protocol.tune=true", "protocol.grid.optimizer.lr=[0.1,0.01]")
    # Two more runs on fewer images each.
    each = 10.0 * SIZES["train800"] / SIZES["train"]
    assert PastTimes([tmp_path / "runs"]).seconds(tuned) == pytest.approx(10.0 + 2 * each)
    # Of epochs that are chosen too, as long as their mean on average: eight tries of 1 or 3.
    chosen = config(
        "protocol.tune=true",
        "protocol.grid.optimizer.lr=[1,0.1,0.01,0.001]",
        "+protocol.grid.train.epochs=[1,3]",
    )
    expected = 2 * (10.0 + 8 * each)
    assert PastTimes([tmp_path / "runs"]).seconds(chosen) == pytest.approx(expected)
    # ELEVATER's search: at most one coarse and eight fine trials a rate, each of one epoch of four.
    searched = config(
        *("protocol.tune=true", "protocol.search=elevater", "protocol.trial_epochs=1"),
        "protocol.grid={optimizer:{lr:[0.1],weight_decay:[0,1]},method:null}",
        "train.epochs=4",
    )
    expected = 4 * 10.0 + 9 * each
    assert PastTimes([tmp_path / "runs"]).seconds(searched) == pytest.approx(expected)


def _weights(config: RunConfig) -> Weights:
    return load_backbone(config.model, config.seed)[1]


def test_damaged_records_tell_nothing(
    config: Callable[..., RunConfig], real: Record, tmp_path: Path
) -> None:
    odd = ("x", -1.0, True, 10**400, 1e308)
    for seed, times in enumerate(({}, [], *({"total": seconds} for seconds in odd))):
        fabricate(real, [config(f"seed={seed}")], times=times)
    fabricate(dataclasses.replace(real), [config("seed=9")], hardware={})
    fabricate(real, [config("seed=10")], hardware=[])
    for seed, epochs in enumerate((0, -1, "1", 1.5, 10**400, None), start=20):
        fabricate(real, [config(f"seed={seed}")])
        path = folder_of(config(f"seed={seed}"), _weights(config())) / "result.json"
        content = json.loads(path.read_text())
        content["science"]["train"]["epochs"] = epochs
        path.write_text(json.dumps(content))
    (tmp_path / "runs/mini/broken").mkdir()
    (tmp_path / "runs/mini/broken/result.json").write_text("{")
    assert PastTimes([tmp_path / "runs"]).seconds(config()) is None
    assert PastTimes([tmp_path / "nowhere"]).seconds(config()) is None


def test_jobs_in_slots_take_as_long_as_the_busiest_slot() -> None:
    assert in_slots([], 3) == 0
    assert in_slots([3, 1, 1, 4], 1) == 9
    assert in_slots([3, 1, 1, 4], 2) == 6  # 3 beside 1 and 1, then 4 beside what is left
    assert in_slots([3, 1, 1, 4], 4) == 4


def test_durations_in_words() -> None:
    words = [duration(x) for x in (None, 0.1, 59.6, 600, 7500)]
    assert words == ["unknown", "1 s", "60 s", "10 min", "2 h 05 min"]
