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


CHAIN = """\
# @package _global_
hydra:
  mode: MULTIRUN
  sweeper:
    params: {dataset: mini/texture, init_from: "'task:cells'"}
    beside:
      - {dataset: mini/cells, init_from: "'task:digits'"}
      - {dataset: mini/digits, init_from: null}
"""


def test_a_chain_of_three_is_done_link_by_link(cli: Cli, words: list[str], tmp_path: Path) -> None:
    """Also where a run of the middle one lies there that has no start."""
    (tmp_path / "conf/experiment/chained.yaml").write_text(CHAIN)
    for before in (0, 1):
        where = f"paths.runs={tmp_path}/runs{before}"
        if before:
            assert cli("dataset=mini/cells", "method=lora", where)[0] == 0
        _, out, _ = cli(*words, where, "sweep.dry_run=true")
        assert out.count(": waits for ") == 2
        code, out, err = cli(*words, where)
        assert code == 0, err
        lines = [line.split()[0] for line in out.splitlines() if line.startswith("mini/")]
        assert lines == ["mini/digits", "mini/cells", "mini/texture"]
        runs = {
            record["config_id"]: record
            for file in (tmp_path / f"runs{before}").glob("mini/*/*/result.json")
            for record in [json.loads(file.read_text())]
        }
        (last,) = (one for one in runs.values() if one["task"] == "texture")
        middle = runs[last["init_from"]["config_id"]]
        assert (middle["task"], middle["init_from"]["task"]) == ("cells", "mini/digits")
        assert cli(*words, where)[1].splitlines()[0] == "3 jobs, 3 done, 0 to run"


def test_no_stage_follows_the_first_failure_where_that_is_asked_for(
    cli: Cli, words: list[str], tmp_path: Path
) -> None:
    slow = ["optimizer=sgd", "optimizer.lr=1e6,0.01", "train.batch_size=8", "sweep.fail_fast=true"]
    code, out, err = cli(*words, *slow)
    assert code == 1
    assert "stopped at the first failure (sweep.fail_fast=true), 3 jobs are left." in err
    assert out.count(" to run, ") == 1
    assert len(list(tmp_path.glob("runs/mini/*/*/result.json"))) == 1


def test_jobs_that_start_from_each_other_are_told(
    cli: Cli, words: list[str], tmp_path: Path
) -> None:
    circle = CHAIN.replace("null", "\"'task:texture'\"")
    (tmp_path / "conf/experiment/chained.yaml").write_text(circle)
    code, _, err = cli(*words)
    assert code == 1
    assert err.count("with its own settings, which is not complete") == 3


def test_of_equal_starts_the_one_without_its_own_is_taken_in_any_order(
    cli: Cli, words: list[str], tmp_path: Path
) -> None:
    for place, starts in enumerate(("null,'task:digits'", "'task:digits',null")):
        twice = CHAIN.replace("\"'task:digits'\"", f'"{starts}"')
        (tmp_path / "conf/experiment/chained.yaml").write_text(twice)
        code, out, err = cli(*words)
        assert code == 0, err
        assert ("4 jobs, 4 done" in out) == bool(place)
    runs = [json.loads(file.read_text()) for file in tmp_path.glob("runs/mini/*/*/result.json")]
    by_id = {record["config_id"]: record for record in runs}
    (last,) = (record for record in runs if record["task"] == "texture")
    assert by_id[last["init_from"]["config_id"]]["init_from"] == {}


def test_a_sweep_keeps_its_own_start_where_a_nearer_run_is_done_later(
    cli: Cli, words: list[str], tmp_path: Path
) -> None:
    preset = tmp_path / "conf/experiment/chained.yaml"
    other = PRESET.replace("null}", "null, optimizer.lr: 0.01}")
    preset.write_text(other.replace("digits'\"}", "digits'\", optimizer.lr: 0.02}"))
    assert cli(*words)[0] == 0
    assert cli("dataset=mini/digits", "method=lora", "optimizer.lr=0.02")[0] == 0
    assert cli(*words)[1].splitlines()[0] == "2 jobs, 2 done, 0 to run"
    assert rates(tmp_path) == {0.02: 0.01}


def test_one_search_for_all_seeds_starts_from_one_run(cli: Cli, words: list[str]) -> None:
    tuned = ["protocol.tune=true", "protocol.grid={optimizer.lr:[0.01,0.02]}", "seed=0,1"]
    code, out, err = cli(*words, *tuned, "protocol.tune_seed=0")
    assert (code, out) == (2, "")
    assert "protocol.tune_seed=0 shares one search between seeds, and init_from=task:digits" in err


def test_a_link_that_cannot_work_is_told_before_what_starts_from_it(
    cli: Cli, words: list[str], tmp_path: Path
) -> None:
    bad = CHAIN.replace("\"'task:digits'\"}", "\"'task:digits'\", optimizer.lr: 1e30}")
    (tmp_path / "conf/experiment/chained.yaml").write_text(bad)
    code, out, err = cli(*words)
    assert (code, out) == (2, "")
    assert "optimizer.lr=1e+30 is not allowed" in err
