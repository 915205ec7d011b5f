"""Phases of a method before its run (NOAH's search): chosen on val200, recorded, resumed."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from flat_results import results
from safetensors.torch import load_file

from hydra_peft.config.identity import config_id
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import RunFailed, UserError
from hydra_peft.methods._base import Method
from hydra_peft.runs import preparing
from hydra_peft.runs.folder import find_runs
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.preparing import SCORES
from hydra_peft.runs.rebuild import load_scored_split, rebuild
from hydra_peft.runs.record import read_record
from hydra_peft.runs.run import run
from hydra_peft.runs.trials import preparation_run, trials_begun
from hydra_peft.runs.tuning import run_protocol, tries
from hydra_peft.runs.writer import RunWriter

Configure = Callable[..., RunConfig]
PARTS = ("adapter_widths", "lora_ranks", "prompts")
SEARCH = (
    "method=noah",
    "method.search=evolution",
    "method.space=[1,3]",
    "method.population=4",
    "method.generations=2",
    "method.supernet_epochs=2",
    "method.limit=20_000",
    "train.checkpoint_every=null",
)


@pytest.fixture
def model(shallow: list[str]) -> list[str]:
    return shallow


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Interrupt at a step, counted over all runs, or before a candidate is scored."""

    def at(*, step: int = 0, candidate: int = 0) -> None:
        seen = {"step": 0, "candidate": 0}
        stepping, evaluating = RunWriter.step, preparing.evaluate

        def count(what: str, wanted: int) -> None:
            seen[what] += 1
            if seen[what] == wanted:
                signal.raise_signal(signal.SIGINT)

        def step_of(self: RunWriter) -> None:
            stepping(self)
            count("step", step)

        def evaluate(*arguments: Any, **rest: Any) -> Any:
            count("candidate", candidate)
            return evaluating(*arguments, **rest)

        monkeypatch.setattr(RunWriter, "step", step_of)
        monkeypatch.setattr(preparing, "evaluate", evaluate)

    return at


@pytest.fixture(scope="module")
def whole() -> dict[str, tuple[bytes, dict[str, Any], dict[str, Any]]]:
    """What a search that was never stopped came to."""
    return {}


def came_to(outcome: Outcome) -> tuple[bytes, dict[str, Any], dict[str, Any]]:
    adapter = (outcome.folder / "adapter.safetensors").read_bytes()
    return adapter, results(outcome.record), outcome.record.tuning


def test_what_scores_best_on_val200_is_retrained(
    configure: Configure, tmp_path: Path, whole: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="hydra_peft")
    config = configure(*SEARCH)
    outcome = run_protocol(config)
    whole["search"] = came_to(outcome)
    record, tuning = outcome.record, outcome.record.tuning
    assert tuning["search"] == "method.search=evolution"
    assert (tuning["split"], tuning["scored"]) == ("val200", 8)
    found = {key: tuning["chosen"][f"method.{key}"] for key in PARTS}
    assert {key: record.method[key] for key in PARTS} == found
    assert find_runs(tmp_path / "runs") == [outcome.folder]
    # The first phase is a run on the part that is not held out.
    (folder,) = (tmp_path / "runs/tuning").rglob("result.json")
    first = read_record(folder.parent)
    assert first.method_label == "noah supernet"
    assert (first.trained_on, first.split, first.protocol) == (
        "train800",
        "val200",
        "clean-preparation",
    )
    assert first.science["train"]["epochs"] == 2
    assert first.settings["optimizer.lr"] == first.science["optimizer"]["lr"] == 5e-4
    assert {first.config_id} == {one["config_id"] for one in tuning["candidates"]}
    # A candidate's score is the supernet's with its slices, and the best one was chosen.
    rebuilt = rebuild(folder.parent)
    rebuilt.model.eval()
    split = load_scored_split(rebuilt, cache=Path(config.paths.cache))
    prepared = config.method.preparation()
    assert prepared is not None
    scores = [one["score"] for one in tuning["candidates"]]
    assert scores == sorted(scores, reverse=True)
    for candidate in tuning["candidates"]:
        sizes = {key: candidate[f"method.{key}"] for key in PARTS}
        depth = 2
        prepared.show(rebuilt.model, {k: v * (depth // len(v)) for k, v in sizes.items()})
        right = sum(
            int((rebuilt.model(inputs(rebuilt, batch)).argmax(1) == batch.targets).sum())
            for batch in [split.take(slice(0, 25))]
        )
        assert candidate["score"] == 100 * right / 25
    # The run that counts is the one of these sizes, from its own start.
    (said,) = [line for line in caplog.messages if " found " in line]
    given = re.findall(r"'(method\.\w+=[^']+)'", said)
    assert len(given) == 3
    plain = run(configure("method=noah", *given))
    tensors = [load_file(o.folder / "adapter.safetensors") for o in (plain, outcome)]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert plain.record.scores == record.scores
    assert plain.record.config_id != record.config_id
    # Typed again nothing is done again.
    assert run_protocol(config).skipped
    (kept,) = (tmp_path / "runs/tuning").rglob(SCORES)
    assert len(json.loads(kept.read_text())["scores"]) == 8
    ((begun, _),) = trials_begun(config)
    assert (begun, tries(config)) == (kept.parent, 1)


def test_found_sizes_are_in_no_id_and_in_no_row(configure: Configure) -> None:
    config = configure(*SEARCH)
    found = dataclasses.replace(config.method, prompts=[3, 1])
    assert config_id(dataclasses.replace(config, method=found)) == config_id(config)
    assert config.settings["method.prompts"] == "tuned"
    assert config_id(configure(*SEARCH, "method.limit=9_000")) != config_id(config)


def inputs(rebuilt: Any, batch: Any) -> Any:
    from hydra_peft.backbones.inputs import preparation

    return preparation(rebuilt.model, rebuilt.config.data.normalization, "cpu")(batch)


@pytest.mark.parametrize(
    ("at", "scored"),
    [
        ({"step": 6}, 8),  # of 8 of the supernet, on 64 images in batches of 16
        ({"candidate": 6}, 3),
        ({"step": 8 + 8}, 0),  # of 12 of the subnet, on 89
    ],
    ids=["supernet", "evolution", "retraining"],
)
def test_stopped_in_any_phase_it_ends_with_the_same_bits(
    configure: Configure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: Callable[..., None],
    whole: dict[str, Any],
    at: dict[str, int],
    scored: int,
) -> None:
    config = configure(*SEARCH)
    if "search" not in whole:
        whole["search"] = came_to(run_protocol(configure(*SEARCH, f"paths.runs={tmp_path}/x")))
    with monkeypatch.context():
        stop(**at)
        with pytest.raises(KeyboardInterrupt):
            run_protocol(config)
        monkeypatch.undo()
    seen: list[int] = []
    evaluating = preparing.evaluate
    monkeypatch.setattr(
        preparing, "evaluate", lambda *a, **k: seen.append(1) or evaluating(*a, **k)
    )
    outcome = run_protocol(config)
    assert came_to(outcome) == whole["search"]
    assert len(seen) == scored
    (first,) = (tmp_path / "runs/tuning").rglob("result.json")
    resumed = [len(read_record(folder).resumed) for folder in (first.parent, outcome.folder)]
    assert resumed == [at.get("step") == 6, at.get("step") == 16]


@pytest.mark.parametrize("text", ["no json", '{"scores": []}', '{"adapter": "b", "scores": {}}'])
def test_scores_of_another_model_are_forgotten(tmp_path: Path, text: str) -> None:
    path, options = tmp_path / SCORES, {"prompts": [1, 3]}
    assert preparing._Memory(path, "a").get(options, lambda _: 5.0) == 5.0
    assert preparing._Memory(path, "a").get(options, lambda _: 6.0) == 5.0
    assert preparing._Memory(path, "b").get(options, lambda _: 6.0) == 6.0
    path.write_text(text)
    assert preparing._Memory(path, "a").get(options, lambda _: 7.0) == 7.0


def test_a_supernet_that_diverges_is_one_sentence(configure: Configure) -> None:
    with pytest.raises(RunFailed, match=r"digits: the run that method\.search=evolution trains"):
        run_protocol(configure(*SEARCH, "method.supernet_lr=1e6", "train.clip_grad=null"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["protocol=validation"],
            r"method\.search=evolution chooses on val200 before a run on all",
        ),
        (["protocol.tune=true"], r"method\.search=evolution and protocol\.tune=true both choose"),
        (["method.supernet_epochs=1", "scheduler.warmup_epochs=1"], r"prepares a run that cannot"),
    ],
)
def test_what_cannot_be_is_refused_before_anything(
    configure: Configure, words: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        configure(*SEARCH, *words)


def test_without_held_out_data_it_is_refused(configure: Configure) -> None:
    config = configure(*SEARCH)
    splits = dataclasses.replace(config.dataset.splits, fit=None, val=None)
    dataset = dataclasses.replace(config.dataset, splits=splits, sizes={"train": 89, "test": 50})
    with pytest.raises(UserError, match=r"evolution needs data that is held out, and dataset dig"):
        dataclasses.replace(config, dataset=dataset)


def test_only_noah_has_a_preparation(configure: Configure) -> None:
    config = configure("method=lora")
    assert config.method.preparation() is None
    assert preparation_run(config) is None
    assert not config.chooses
    assert list(trials_begun(config)) == []
    assert Method.preparation(config.method) is None


def test_one_search_of_a_method_serves_all_seeds(configure: Configure, tmp_path: Path) -> None:
    words = (*SEARCH, "protocol.tune_seed=5")
    configs = [configure(*words, f"seed={seed}") for seed in (0, 1)]
    assert preparation_run(configs[0]) == preparation_run(configs[1])
    outcomes = [run_protocol(config) for config in configs]
    chosen = [outcome.record.method for outcome in outcomes]
    assert chosen[0] == chosen[1]
    (prepared,) = find_runs(tmp_path / "runs" / "tuning")
    assert read_record(prepared).seed == 5
    assert [outcome.record.seed for outcome in outcomes] == [0, 1]
    assert config_id(configs[0]) != config_id(configure(*SEARCH))
    assert config_id(configure("protocol.tune_seed=5")) == config_id(configure())
