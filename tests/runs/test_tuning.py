"""protocol.tune: chosen on val200, then one run on the 1000 and one look at the test set."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flat_results import correct, results

from hydra_peft.config.check import check_config
from hydra_peft.config.grid import choices
from hydra_peft.config.identity import config_id
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import RunFailed, UserError
from hydra_peft.runs import training as training_module
from hydra_peft.runs import tuning as tuning_module
from hydra_peft.runs.coarse_to_fine import coarse_to_fine
from hydra_peft.runs.folder import find_runs
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.record import read_record
from hydra_peft.runs.recorded import read_run_config
from hydra_peft.runs.shared import Shared
from hydra_peft.runs.tuning import run_protocol, tries

Configure = Callable[..., RunConfig]
KEYS = ("optimizer.lr", "method.scale", "method.dropout")
TUNE = (
    "protocol.tune=true",
    "protocol.grid.optimizer.lr=[1e-5,1e-2]",
    "protocol.grid.method.scale=[1,2]",
    "protocol.grid.method.dropout=[0]",
    "train.epochs=1",
)


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_the_best_on_val200_is_run_and_recorded(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[tuple[int, int]] = []
    original = training_module.evaluate

    def spy(model, task, split, **rest):  # type: ignore[no-untyped-def]
        score = original(model, task, split, **rest)
        evaluated.append((len(split), correct(score)))
        return score

    monkeypatch.setattr(training_module, "evaluate", spy)
    config = configure(*TUNE)
    outcome = run_protocol(config)
    # Four looks at val200, one at the test set.
    assert [count for count, _ in evaluated] == [25, 25, 25, 25, 50]
    tuning = outcome.record.tuning
    assert (tuning["search"], tuning["trials"], tuning["split"]) == ("grid", 4, "val200")
    assert [(c["optimizer.lr"], c["method.scale"]) for c in tuning["candidates"]] == [
        (1e-5, 1),
        (1e-5, 2),
        (1e-2, 1),
        (1e-2, 2),
    ]
    assert [c["score"] for c in tuning["candidates"]] == [n * 4 for _, n in evaluated[:4]]
    best = max(range(4), key=lambda i: (evaluated[i][1], -i))
    candidate = tuning["candidates"][best]
    assert tuning["chosen"] == {key: candidate[key] for key in KEYS}
    assert tuning["chosen"]["optimizer.lr"] == 1e-2
    kept = read_run_config(outcome.folder)
    assert kept.optimizer.lr == 1e-2
    assert kept.method.scale == candidate["method.scale"]  # type: ignore[attr-defined]
    assert outcome.record.settings["optimizer.lr"] == "tuned"
    assert outcome.record.counts["scored"] == 50
    assert find_runs(tmp_path / "runs") == [outcome.folder]


@pytest.mark.parametrize(("method", "computed"), [("hydra", 0), ("linear", 4)])
def test_trials_share_data_and_frozen_features_and_score_as_runs_alone(
    method: str, computed: int, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(place: str, name: str) -> None:
        original = getattr(importlib.import_module(place), name)

        def spy(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return original(*args, **options)

        monkeypatch.setattr(f"{place}.{name}", spy)

    counted("hydra_peft.runs.shared", "load_splits")
    counted("hydra_peft.runs.feed", "head_inputs")
    config = configure(f"method={method}", *TUNE, "protocol.grid.method.scale=[1]")
    outcome = run_protocol(config)
    # The trials' data, then the final run's; of each what is trained on and what is scored.
    assert (calls.count("load_splits"), calls.count("head_inputs")) == (2, computed)
    for choice, tried in zip(choices(config), outcome.record.tuning["candidates"], strict=True):
        trial = tuning_module.candidate(config, choice)
        folder = str(Path(config.paths.runs) / "alone")
        alone = tuning_module.run(
            dataclasses.replace(trial, paths=dataclasses.replace(trial.paths, runs=folder))
        )
        assert alone.record.score == tried["score"]
        (shared,) = [
            read_record(one)
            for one in find_runs(Path(trial.paths.runs))
            if read_record(one).config_id == tried["config_id"]
        ]
        assert alone.record.adapter == shared.adapter
        assert alone.record.data == shared.data


def test_what_was_tuned_acts_under_other_names_and_is_what_the_config_says(
    configure: Configure,
) -> None:
    rank = ("protocol.grid.method.rank=[1]", "protocol.grid.method.rank_scale=[alpha_over_r]")
    one = ("protocol.grid.optimizer.lr=[1e-3]", "protocol.grid.method.scale=[3]")
    config = configure(*TUNE, *one, *(f"+{word}" for word in rank), "method=hydra")
    folder = run_protocol(config).folder
    doubts: list[str] = []
    assert read_record(folder, doubts).method["rank_parallel"] == 1
    assert doubts == []
    text = (folder / "config.yaml").read_text()
    for before, after, key in (
        ("lr: 0.001", "lr: 0.002", "optimizer.lr"),
        ("rank: 1", "rank: 2", "method.rank"),
        ("scale: 3.0", "scale: 4.0", "method.scale"),
    ):
        assert before in text
        (folder / "config.yaml").write_text(text.replace(before, after))
        read_record(folder, doubts)
        assert f"is not the config of the run's record, {key} is " in doubts.pop()
        doubts.clear()


def test_typed_again_nothing_is_done_again(configure: Configure, tmp_path: Path) -> None:
    config = configure(*TUNE)
    first = run_protocol(config)
    assert run_protocol(config).skipped
    assert read_record(first.folder) == first.record
    # Without the last run, the search is not done again.
    (first.folder / "result.json").unlink()
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "runs/tuning").rglob("result.json")}
    assert len(stamps) == 4
    again = run_protocol(config)
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert results(again.record) == results(first.record)
    assert again.record.tuning == first.record.tuning


def test_one_search_serves_all_seeds(configure: Configure, tmp_path: Path) -> None:
    words = [*TUNE, "protocol.tune_seed=3"]
    first, second = (run_protocol(configure(*words, f"seed={seed}")) for seed in (0, 3))
    tuning = tmp_path / "runs/tuning/mini"
    tried = [read_record(folder) for folder in find_runs(tuning)]
    assert [record.seed for record in tried] == [3] * 4
    assert first.record.tuning == second.record.tuning
    assert (first.record.tuning["seed"], first.record.seed) == (3, 0)
    # What is tried is what seed 3 would have tried for itself.
    own = run_protocol(configure(*TUNE, "seed=3")).record
    assert own.tuning["candidates"] == second.record.tuning["candidates"]
    assert len(find_runs(tuning)) == 4
    assert first.record.settings["protocol.tune_seed"] == 3
    assert "protocol.tune_seed" not in own.settings


def test_identity_is_the_search(compose_train: Callable[..., object]) -> None:
    def id_of(*overrides: str) -> str:
        return config_id(check_config(compose_train(*overrides)))

    assert id_of("protocol.tune=true") != id_of()
    assert id_of("protocol.tune=true", "optimizer.lr=1") == id_of("protocol.tune=true")
    assert id_of("protocol.tune=true", "protocol.grid.optimizer.lr=[1]") != id_of(
        "protocol.tune=true"
    )
    assert id_of("protocol.grid.optimizer.lr=[1]") == id_of()


def test_methods_without_branches_choose_a_rate_only(configure: Configure) -> None:
    config = configure(*TUNE, "method=linear")
    assert [choice.values for choice in choices(config)] == [
        {"optimizer.lr": 1e-5},
        {"optimizer.lr": 1e-2},
    ]


def test_a_grid_that_diverges_is_one_sentence(configure: Configure, tmp_path: Path) -> None:
    grid = (
        "protocol.grid.optimizer.lr=[1e6]",
        "protocol.grid.method.scale=[100]",
        "protocol.grid.method.dropout=[0]",
    )
    config = configure("protocol.tune=true", *grid, "train.epochs=2")
    with pytest.raises(UserError, match=r"all 1 combinations of protocol\.grid diverged"):
        run_protocol(config)
    (record,) = (tmp_path / "runs").rglob("result.json")
    assert json.loads(record.read_text())["status"] == "diverged"


@pytest.mark.parametrize("search", ["grid", "optuna"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (
            "protocol.grid.optimizer.lr=[1e-3,0]",
            r"protocol\.grid\.optimizer\.lr\[1\]=0\.0 is not allowed",
        ),
        (
            "protocol.grid.method.dropout=[0,1]",
            r"protocol\.grid\.method\.dropout\[1\]=1\.0 is not allowed",
        ),
    ],
)
def test_a_value_that_cannot_be_run_is_found_before_the_search(
    configure: Configure, search: str, value: str, why: str
) -> None:
    with pytest.raises(UserError, match=why):
        configure("protocol.tune=true", f"protocol.search={search}", value)


def test_where_tuning_makes_no_sense(configure: Configure) -> None:
    with pytest.raises(UserError, match=r"protocol\.tune=true chooses on val200 before"):
        configure("protocol=validation", "protocol.tune=true")
    with pytest.raises(UserError, match=r"protocol\.grid\.optimizer\.lr=\[\] is not allowed"):
        configure("protocol.grid.optimizer.lr=[]")
    with pytest.raises(UserError, match=r"protocol\.search=dice .* one of grid, optuna"):
        configure("protocol.search=dice")
    with pytest.raises(UserError, match=r"protocol\.trials=0 .* at least 1"):
        configure("protocol.trials=0")


DECAYS = [1e-4, 1e-2, 1.0]
COARSE_TO_FINE = (
    "protocol.tune=true",
    "protocol.search=elevater",
    f"protocol.grid={{optimizer:{{lr:[1e-2],weight_decay:{DECAYS}}}}}",
    "protocol.trial_epochs=1",
    "protocol.trial_selection=best",
    "optimizer=sgd",
    "optimizer.lr=1e-2",
    "method=linear",
)


def test_elevaters_search_is_replayed_recorded_and_goes_on(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure(*COARSE_TO_FINE)
    assert tries(config) == 1 + 8
    started: list[tuple[float, int]] = []
    original = tuning_module.run

    def counted(given: RunConfig, **rest: Any) -> Outcome:
        started.append((given.optimizer.weight_decay, given.train.epochs))
        if len(started) == 2:
            raise KeyboardInterrupt
        return original(given, **rest)

    monkeypatch.setattr(tuning_module, "run", counted)
    with pytest.raises(KeyboardInterrupt):
        run_protocol(config)
    monkeypatch.setattr(tuning_module, "run", original)
    (done,) = (tmp_path / "runs" / "tuning").rglob("result.json")
    stamp = done.stat().st_mtime_ns
    outcome = run_protocol(config)
    tuning = outcome.record.tuning
    scores = {c["optimizer.weight_decay"]: c["score"] for c in tuning["candidates"]}
    asked: list[float] = []

    def again(_rate: float, decay: float) -> float:
        asked.append(decay)
        return scores[decay]

    found = coarse_to_fine([1e-2], DECAYS, again)
    assert found is not None
    assert tuning["chosen"] == {"optimizer.lr": 1e-2, "optimizer.weight_decay": found.decay}
    assert list(scores) == list(dict.fromkeys(asked))
    assert (tuning["search"], tuning["trials"]) == ("elevater", len(scores))
    assert [decay for decay, _ in started] == list(scores)[:2]
    assert stamp == done.stat().st_mtime_ns  # not again
    assert {epochs for _, epochs in started} == {1}
    assert outcome.record.science["train"]["epochs"] == 2
    trials = [read_record(p) for p in find_runs(tmp_path / "runs" / "tuning")]
    assert len(trials) == len(scores)
    assert {(r.selection["rule"], r.split) for r in trials} == {("best", "val200")}
    assert {trial.trained_on for trial in trials} == {"train800"}
    for trial in trials:  # which tables tell apart by them
        assert trial.settings["optimizer.lr"] == trial.science["optimizer"]["lr"]


@pytest.mark.parametrize(
    "grid",
    [
        "{optimizer:{lr:[1e-2]}}",
        "{optimizer:{lr:[1e-2],weight_decay:[1,0.1]}}",
        "{optimizer:{lr:[1e-2],weight_decay:[1]},train:{batch_size:[8,16]}}",
    ],
)
def test_elevaters_search_needs_two_ascending_lists(configure: Configure, grid: str) -> None:
    with pytest.raises(UserError, match=r"give both in protocol.grid as ascending lists"):
        configure(*(w for w in COARSE_TO_FINE if ".grid" not in w), f"protocol.grid={grid}")


def test_the_released_search_may_select_on_the_test_set_and_others_not(
    configure: Configure,
) -> None:
    words = [*COARSE_TO_FINE, "protocol=official", "protocol.tune=true", "scheduler=constant"]
    with pytest.raises(UserError, match="scores the last epoch on the test set once"):
        configure(*words)
    assert configure(*words, "protocol.search=elevater_released").protocol.selection == "best"


def test_a_trial_shorter_than_its_warm_up_is_told_first(configure: Configure) -> None:
    said = (
        r"cannot be tried with protocol\.trial_epochs=1: scheduler\.warmup_epochs=1 leaves nothing"
    )
    with pytest.raises(UserError, match=said):
        configure(*COARSE_TO_FINE, "scheduler.warmup_epochs=1")


def test_a_released_search_of_zeros_chooses_nothing(
    configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*COARSE_TO_FINE, "protocol=official", "protocol.tune=true", "scheduler=constant"]
    config = configure(*words, "protocol.search=elevater_released")
    record = SimpleNamespace(score=0.0, primary="accuracy", status="completed")
    monkeypatch.setattr(tuning_module, "_try", lambda *_: SimpleNamespace(record=record))
    with pytest.raises(RunFailed, match=r"no trial of .*=elevater_released scored above 0"):
        tuning_module._tuned(config, Shared())
