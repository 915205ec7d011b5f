"""protocol.search=optuna: what is drawn, and that a search that was cut off goes on as one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flat_results import fields, results

from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs import tuning
from hydra_peft.runs.record import read_record
from hydra_peft.runs.search import (
    BLIND,
    Dimension,
    check_search,
    first_draws,
    search,
    search_space,
    trials_of,
)
from hydra_peft.runs.shared import Shared
from hydra_peft.runs.tuning import run_protocol, tries

optuna = pytest.importorskip("optuna")

Configure = Callable[..., RunConfig]
Trials = list[tuple[dict[str, float], float | None]]
GRID = {"optimizer.lr": [1e-5, 1e-1], "method.scale": [0.1, 4.5], "method.dropout": [0.0, 0.5]}
LOGARITHMIC = {"optimizer.lr", "method.scale"}


DRAWN = (
    *("method=lora", "train.epochs=1"),
    *("protocol.tune=true", "protocol.search=optuna", "protocol.trials=4"),
    "protocol.grid.optimizer.lr=[1e-4,1e-2]",
)


def known(values: dict[str, float]) -> float:
    """An objective with its best, 100, at lr=3e-3, scale=1 and dropout=0."""
    lr, scale = math.log10(values["optimizer.lr"] / 3e-3), math.log10(values["method.scale"])
    return 100 - 10 * lr**2 - 5 * scale**2 - 20 * values["method.dropout"]


def searched(
    trials: int = 20,
    seed: int = 0,
    objective: Callable[[dict[str, float]], float | None] = known,
    grid: dict[str, list[float]] = GRID,
) -> Trials:
    found: Trials = []

    def score(values: dict[str, float]) -> float | None:
        found.append((values, objective(values)))
        return found[-1][1]

    search(search_space(grid, logarithmic=LOGARITHMIC), trials=trials, seed=seed, score=score)
    return found


@pytest.fixture
def model(shallow: list[str]) -> list[str]:
    return shallow


def test_a_grid_is_read_as_ranges() -> None:
    values = {"lr": [1e-2, 1e-4, 1e-3], "scale": [2.0, 2.0], "dropout": [0.2, 0.0]}
    space = search_space(
        values | {"rank": [8, 2, 4], "init": ["xavier", "gaussian", "xavier"]},
        logarithmic={"lr", "scale", "rank"},
    )
    assert space == {
        "lr": Dimension("log_uniform", (1e-4, 1e-2)),
        "scale": Dimension("fixed", (2.0,)),
        "dropout": Dimension("uniform", (0.0, 0.2)),
        "rank": Dimension("log_uniform", (2, 8)),
        "init": Dimension("values", ("xavier", "gaussian")),
    }
    signed = search_space({"scale": [1.0, 0.0, 4.0]}, logarithmic={"scale"})
    assert signed["scale"] == Dimension("values", (0.0, 1.0, 4.0))


def test_what_is_drawn_is_within_the_ranges_and_short() -> None:
    lr, scale, dropout = GRID
    grid = {lr: [1.2344e-3, 1.2354e-3], scale: [-1.0, 0.0, 2.0], dropout: [0.0, 0.5]}
    drawn = [values for values, _ in searched(40, objective=lambda v: v[dropout], grid=grid)]
    assert len(drawn) == 40
    # Of four digits there is one rate between these; 0.001234 is below the lower end.
    assert {values[lr] for values in drawn} == {1.2344e-3, 1.235e-3}
    assert {values[scale] for values in drawn} == {-1.0, 0.0, 2.0}
    assert all(0 <= values[dropout] <= 0.5 for values in drawn)
    assert all(float(f"{v[dropout]:.4g}") == v[dropout] for v in drawn)
    assert len({values[dropout] for values in drawn}) > 30


def test_rates_are_drawn_by_their_logarithm() -> None:
    drawn = [values["optimizer.lr"] for values, _ in searched(200, objective=lambda _: None)]
    # Uniformly, 99% of them would be above a hundredth of the range.
    assert 60 < sum(lr < 1e-3 for lr in drawn) < 140


@pytest.mark.parametrize("seed", range(4))
def test_the_best_of_a_known_objective_is_found(seed: int) -> None:
    found = [score for _, score in searched(60, seed)]
    assert max(found) > 98  # type: ignore[type-var]
    # By scores, not by luck: what is drawn late is better than what is drawn first.
    assert sorted(found[40:])[10] > sorted(found[:10])[5] + 5  # type: ignore[operator, type-var]


def test_the_search_stays_away_from_where_runs_diverge() -> None:
    def diverging(values: dict[str, float]) -> float | None:
        return None if values["optimizer.lr"] > 1e-3 else known(values)

    for seed in range(3):
        found = [score for _, score in searched(60, seed, diverging)]
        assert len(found) == 60
        # Where they are told as failed, which the sampler passes over, all of the last 20 diverge.
        assert found[:10].count(None) >= 1
        assert found[-20:].count(None) <= 10
        assert max(score for score in found if score is not None) > 95


def test_the_same_seed_and_scores_draw_the_same() -> None:
    assert searched(15, 3) == searched(15, 3)
    assert searched(15, 3)[0] != searched(15, 4)[0]
    other = searched(15, 3, lambda values: -known(values))
    assert [v for v, _ in other[:10]] == [v for v, _ in searched(15, 3)[:10]]
    assert [v for v, _ in other[10:]] != [v for v, _ in searched(15, 3)[10:]]


def test_the_first_draws_are_known_before_any_score() -> None:
    space = search_space(GRID, logarithmic=LOGARITHMIC)
    for objective in (known, lambda _: None):
        tried = [values for values, _ in searched(BLIND + 3, seed=5, objective=objective)]
        assert tried[:BLIND] == first_draws(space, trials=BLIND + 3, seed=5)
    assert first_draws(space, trials=2, seed=5) == tried[:2]


@pytest.mark.parametrize("cut", [1, 10, 11, 14])
def test_a_search_is_told_again_what_is_known_and_goes_on(cut: int) -> None:
    known_scores: dict[str, float] = {}
    trained = []

    def resumable(values: dict[str, float]) -> float:
        if repr(values) not in known_scores:
            if len(trained) == cut and not resumed:
                raise KeyboardInterrupt
            trained.append(values)
            known_scores[repr(values)] = known(values)
        return known_scores[repr(values)]

    resumed = False
    with pytest.raises(KeyboardInterrupt):
        searched(15, 3, resumable)
    resumed = True
    assert searched(15, 3, resumable) == searched(15, 3)
    assert trained == [values for values, _ in searched(15, 3)]


def test_another_process_draws_the_same_and_importing_loads_no_optuna() -> None:
    probe = (
        "import json, sys\n"
        "from hydra_peft.runs.search import search, search_space\n"
        "assert 'optuna' not in sys.modules\n"
        "found = []\n"
        f"space = search_space({GRID!r}, logarithmic={LOGARITHMIC!r})\n"
        "score = lambda v: found.append(v) or v['optimizer.lr'] - v['method.dropout']\n"
        "search(space, trials=14, seed=5, score=score)\n"
        "print(json.dumps(found))\n"
    )
    here = [v for v, _ in searched(14, 5, lambda v: v["optimizer.lr"] - v["method.dropout"])]
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == here


def test_where_nothing_is_left_to_choose_there_is_one_trial() -> None:
    fixed = {"optimizer.lr": [1e-3], "method.dropout": [0.1]}
    assert trials_of(search_space(fixed, logarithmic=LOGARITHMIC), 20) == 1
    found = searched(20, objective=lambda _: 1.0, grid=fixed)
    assert found == [({"optimizer.lr": 1e-3, "method.dropout": 0.1}, 1.0)]


def test_without_optuna_it_is_one_sentence(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(*DRAWN)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'hydra-peft\[search\]'"):
        check_search(config.protocol)
    with pytest.raises(UserError, match=r"pip install 'hydra-peft\[search\]'"):
        run_protocol(config)
    for override in ("protocol.tune=false", "protocol.search=grid"):
        check_search(configure(*DRAWN, override).protocol)


class Interrupting:
    """Does runs, but is interrupted at the start of one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: int | None = None
        self.done: list[float] = []
        self._run = tuning.run
        monkeypatch.setattr(tuning, "run", self)

    def __call__(self, config: RunConfig, *rest: Any, **more: Any) -> Any:
        if len(self.done) == self.at:
            raise KeyboardInterrupt
        outcome = self._run(config, *rest, **more)
        if not outcome.skipped:
            self.done.append(config.optimizer.lr)
        return outcome


def test_a_search_that_was_cut_off_goes_on_as_one_that_was_not(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Interrupting(monkeypatch)
    drawn = (*DRAWN, "method=linear", "protocol.grid.optimizer.lr=[1e-3,1e-1]")
    whole = run_protocol(configure(*drawn))
    trained = runs.done
    assert len(trained) == 5

    runs.done, runs.at = [], 2
    cut = configure(*drawn, f"paths.runs={tmp_path}/cut")
    with pytest.raises(KeyboardInterrupt):
        run_protocol(cut)
    runs.at = None
    resumed = run_protocol(cut)
    # No trial was trained twice, and none was added.
    assert runs.done == trained
    assert len(list((tmp_path / "cut/tuning").rglob("result.json"))) == 4
    assert resumed.record.tuning == whole.record.tuning
    assert results(resumed.record) == results(whole.record)
    assert resumed.folder.name == whole.folder.name
    assert run_protocol(cut).skipped
    assert read_record(resumed.folder).settings["protocol.search"] == "optuna"
    # Tensors, json, yaml and logs: no study, nothing that is unpickled.
    kept = {path.suffix for path in (tmp_path / "cut").rglob("*") if path.is_file()}
    assert kept.isdisjoint({".pkl", ".pickle", ".pt", ".db", ".journal"})


ON_VAL = {"count": 200, "split": "val200", "selection": "last epoch"}


def fabricated(
    monkeypatch: pytest.MonkeyPatch, accuracies: list[float | None]
) -> list[tuple[RunConfig, dict[str, Any]]]:
    """Let runs be done without training: the given accuracies one after the other, then 50."""
    done: list[tuple[RunConfig, dict[str, Any]]] = []
    left = itertools.chain(accuracies, itertools.repeat(50.0))
    template: list[Any] = []
    original = tuning.run

    def fake(config: RunConfig, **more: Any) -> Any:
        if not template:
            template.append(original(config, **more))
        accuracy = next(left)
        scored = {"accuracy": accuracy, **ON_VAL}
        metrics = {} if accuracy is None else {**scored, "correct": int(2 * accuracy)}
        status = "diverged" if accuracy is None else "completed"
        done.append((config, more.get("tuning", {})))
        record = dataclasses.replace(template[0].record, status=status, **fields(metrics))
        return dataclasses.replace(template[0], record=record)

    monkeypatch.setattr(tuning, "run", fake)
    return done


def test_the_record_says_how_it_was_chosen(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = fabricated(monkeypatch, [55.0, 65.5, 60.0])
    config = configure(*DRAWN)
    assert tries(config) == 4
    run_protocol(config)
    said = done[-1][1]
    trials = said.pop("candidates")
    assert said == {
        "search": "optuna",
        "sampler": "TPESampler",
        "optuna": optuna.__version__,
        "space": {
            "optimizer.lr": {"log_uniform": [1e-4, 1e-2]},
            "method.scale": {"log_uniform": [0.5, 1.0]},
            "method.dropout": {"uniform": [0.0, 0.1]},
        },
        "trials": 4,
        "split": "val200",
        "seed": 0,
        "chosen": {key: trials[1][key] for key in GRID},
    }
    assert [one["score"] for one in trials] == [55.0, 65.5, 60.0, 50.0]
    assert [one["optimizer.lr"] for one in trials] == [
        config.optimizer.lr for config, _ in done[:4]
    ]


def test_trials_that_diverge_count_and_are_never_chosen(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = fabricated(monkeypatch, [None, 60.0, 60.0, None])
    run_protocol(configure(*DRAWN))
    assert len(done) == 5
    chosen, said = done[-1]
    assert [one["status"] for one in said["candidates"]] == [
        *("diverged", "completed", "completed", "diverged")
    ]
    # Of equals the earlier.
    assert chosen.optimizer.lr == done[1][0].optimizer.lr == said["chosen"]["optimizer.lr"]
    assert len({config.optimizer.lr for config, _ in done[:4]}) == 4


def test_a_trial_that_diverged_is_a_result_and_not_done_again(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rates that no training survives, and one that it does.
    rates = (
        *DRAWN,
        "protocol.grid.optimizer.lr=[1e-3,1e6]",
        "protocol.grid.method.scale=[100]",
        "train.epochs=2",
    )
    config = configure(*rates, "protocol.grid.method.dropout=[0]")
    runs = Interrupting(monkeypatch)
    first = run_protocol(config)
    assert {one["status"] for one in first.record.tuning["candidates"]} == {"completed", "diverged"}
    (first.folder / "result.json").unlink()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs/tuning").rglob("*")}
    runs.done = []
    again = run_protocol(config)
    assert runs.done == [again.record.tuning["chosen"]["optimizer.lr"]]  # the last run alone
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "runs/tuning").rglob("*")} == before
    assert again.record.tuning == first.record.tuning
    # Asked for, it is.
    (first.folder / "result.json").unlink()
    runs.done = []
    anew = dataclasses.replace(config, sweep=dataclasses.replace(config.sweep, retry="all"))
    run_protocol(anew)
    statuses = [one["status"] for one in first.record.tuning["candidates"]]
    assert len(runs.done) == statuses.count("diverged") + 1


def test_what_is_drawn_twice_is_run_once(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = fabricated(monkeypatch, [])
    values = (
        "protocol.grid.optimizer.lr=[1e-3]",
        "protocol.grid.method.scale=[-1,1]",
        "protocol.grid.method.dropout=[0]",
    )
    run_protocol(configure(*DRAWN, *values, "protocol.trials=9"))
    *trials, (_, said) = done
    assert len(trials) == 2
    assert len(said["candidates"]) == 9
    assert {one["method.scale"] for one in said["candidates"]} == {-1.0, 1.0}


def test_a_search_for_the_lowest_error_is_told_the_opposite(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float | None] = []

    def one_trial(*_: Any, score: Callable[[dict[str, float]], float | None], **__: Any) -> None:
        told.append(score({"optimizer.lr": 0.01}))

    done = SimpleNamespace(record=SimpleNamespace(score=0.25, primary="mse", status="completed"))
    monkeypatch.setattr(tuning, "search", one_trial)
    monkeypatch.setattr(tuning, "_try", lambda *_: done)
    config = configure(*DRAWN)
    for metric in ("mse", "pearson"):
        dataset = dataclasses.replace(config.dataset, kind="regression", classes=1, metric=metric)
        tuning._search(dataclasses.replace(config, dataset=dataset), [], Shared())
    # It looks for the highest.
    assert told == [-0.25, 0.25]
