"""Sweeps in which some jobs start from the runs that others do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., tuple[int, str, str]]
PRESET = """\
# @package _global_
hydra:
  mode: MULTIRUN
  sweeper:
    params: {dataset: mini/cells, init_from: "'task:digits'"}
    beside: [{dataset: mini/digits, init_from: null}]
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    preset = tmp_path / "conf/experiment/chained.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text(PRESET)
    return [f"--config-dir={tmp_path}/conf", "+experiment=chained", "method=lora"]


def rates(tmp_path: Path) -> dict[float, float]:
    """Return by the rate of each run of cells that of the run which it started from."""
    records = [json.loads(file.read_text()) for file in tmp_path.glob("runs/mini/*/*/result.json")]
    by_id = {record["config_id"]: record["science"]["optimizer"]["lr"] for record in records}
    return {
        by_id[record["config_id"]]: by_id[record["init_from"]["config_id"]]
        for record in records
        if record["init_from"]
    }


def test_each_job_starts_from_the_run_of_its_own_settings(
    cli: Cli, words: list[str], tmp_path: Path
) -> None:
    """Also where one with other settings, which has completed before, would fit."""
    assert cli("dataset=mini/digits", "method=lora", "optimizer.lr=0.02")[0] == 0
    both = [*words, "optimizer.lr=0.01,0.005"]
    _, out, _ = cli(*both, "sweep.dry_run=true")
    assert out.count("waits for mini/digits, which it starts from") == 2
    code, out, err = cli(*both)
    assert code == 0, err
    assert "2 more jobs start from runs that these do, and will come after them" in out
    assert rates(tmp_path) == {0.01: 0.01, 0.005: 0.005}
    _, out, err = cli(*both)
    assert out.splitlines()[0] == "4 jobs, 4 done, 0 to run", err
    # Where its own is not among the jobs, the nearest there is.
    code, _, err = cli(
        "dataset=mini/cells", "init_from='task:digits'", *words[2:], "optimizer.lr=1"
    )
    assert code == 0
    assert "optimizer.lr=0.005 (here 1.0): say so beside this one's score" in err


def test_a_job_whose_own_start_fails_is_told_and_takes_no_other(
    cli: Cli, words: list[str], tmp_path: Path
) -> None:
    assert cli("dataset=mini/digits", "method=lora", "optimizer.lr=0.02")[0] == 0
    code, _, err = cli(*words, "optimizer=sgd", "optimizer.lr=0.01,1e6", "train.batch_size=8")
    assert code == 1
    told = "it starts from the run of mini/digits with its own settings, which is not complete"
    assert err.count(told) == 1
    assert rates(tmp_path).keys() <= {0.01}


def test_what_is_done_anew_is_done_once_and_before_what_starts_from_it(
    cli: Cli, words: list[str], tmp_path: Path
) -> None:
    anew = [*words, "optimizer.lr=0.01", "sweep.on_existing=rerun"]
    for times in (1, 2):
        code, out, err = cli(*anew)
        assert code == 0, err
        lines = [line.split()[0] for line in out.splitlines() if line.startswith("mini/")]
        assert lines == ["mini/digits", "mini/cells"]
        assert len(list(tmp_path.glob("runs/mini/*/*/result.json"))) == 2 * times
    again = cli(*words, "optimizer.lr=0.01")[1]
    assert again.splitlines()[0] == "2 jobs, 2 done, 0 to run"


def test_a_start_that_fails_is_tried_once_again_where_that_is_asked_for(
    cli: Cli, words: list[str]
) -> None:
    slow = ["optimizer=sgd", "optimizer.lr=0.01,1e6", "train.batch_size=8", "sweep.retry=all"]
    for _ in range(2):
        code, _, err = cli(*words, *slow)
        assert code == 1
        assert err.count("mini/digits lora r=4 seed 0: diverged") == 1
        assert "2 of the runs did not complete" in err


def test_batches_in_parts_beside_statistics_over_them_are_told_at_once(cli: Cli) -> None:
    code, out, err = cli("-m", "method=lora", "head.norm=batch", "train.accumulate=2")
    assert (code, out) == (2, "")
    assert "head.norm=batch takes statistics over a batch, of which train.accumulate=2" in err


def test_tuning_the_shape_of_what_a_run_starts_with_is_told_at_once(
    cli: Cli, words: list[str]
) -> None:
    code, out, err = cli(*words, "protocol.tune=true", "protocol.grid={method.rank:[2,4]}")
    assert (code, out) == (2, "")
    assert "protocol.grid.method.rank has adapters of several shapes, and the one that" in err
