"""ELEVATER's protocols and the rows of the paper's Tables 1, 7 and 10, as conf has them."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import record

from hydra_peft.checkout import PUBLISHED
from hydra_peft.cli.defaults import default_hyperparameters, default_settings
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.check import check_config
from hydra_peft.config.resolvers import usual_head
from hydra_peft.config.schema import RunConfig
from hydra_peft.runs.collection import Collection, FoundRun
from hydra_peft.runs.record import Record
from hydra_peft.runs.selection import select
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.overrides import Origin, marks, usual_search
from hydra_peft.tables.paper_tables import score_tables
from hydra_peft.tables.pe_score import pe_score
from hydra_peft.tables.published import read_published
from hydra_peft.tables.side_by_side import compare

ELEVATER = find_benchmark("elevater")
MODEL = "clip_vit_base_patch32"
#: adapters' parameters by option of the method: elevater.md, methods.md section 1.2
ROWS = {
    "Full tuning": ("full", 87_849_216),
    "Linear-probing": ("linear", 0),
    "Adapter": ("adapter_elevater", 1_208_064),
    "LoRA": ("lora_elevater", 147_456),
    "Compacter": ("compacter_elevater", 48_384),
    "Kadaptation": ("kadaptation", 50_176),
    "Hydra": ("hydra_mlp", 147_504),
}
Compose = Callable[..., RunConfig]


@pytest.fixture
def compose(compose_train: Callable[..., Any]) -> Compose:
    return lambda *words: check_config(compose_train(f"model={MODEL}", *words))


def run_of(config: RunConfig, task: str, score: float, adapter: int, head: int) -> Record:
    """Return a completed run of ``config`` on a task of ELEVATER, as if measured."""
    metric = ELEVATER.paper.metric(task)
    done = record(
        settings=config.settings,
        benchmark="elevater",
        group="few-shot",
        task=task,
        model=MODEL,
        method=config.method.identity(),
        method_label=config.method.label,
        protocol=config.protocol.name,
        weights={"kind": "pretrained", "sha256": "ab" * 32, "source": "timm hub"},
        data={"sha256": f"data of {task}"},
        parameters={"adapter": adapter, "head": head},
    )
    split = config.protocol.evaluate_split
    selection = {**done.selection, "split": split, "rule": config.protocol.selection}
    return dataclasses.replace(
        done, primary=metric, scores={split: {metric: score}}, selection=selection
    )


def test_clean_searches_on_the_held_out_shots_and_scores_the_last_epoch(compose: Compose) -> None:
    config = compose("dataset=elevater/dtd", "method=hydra_mlp")
    protocol = config.protocol
    assert (protocol.name, protocol.tune, protocol.search) == ("clean", True, "elevater")
    assert (protocol.trial_epochs, protocol.trial_selection) == (10, "last")
    assert (protocol.selection, protocol.evaluate_every) == ("last", None)
    assert list(protocol.grid) == ["optimizer.lr", "optimizer.weight_decay"]
    assert protocol.grid["optimizer.lr"] == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    decays = protocol.grid["optimizer.weight_decay"]
    assert (len(decays), decays[0], decays[20], decays[96]) == (97, 1e-6, 3.16228e-4, 1e6)
    optimizer = config.optimizer
    assert optimizer.name == "sgd"
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, False)  # type: ignore[attr-defined]
    assert (config.scheduler.name, config.scheduler.warmup_epochs) == ("constant", 0)
    assert (config.train.epochs, config.train.batch_size, config.train.drop_last) == (50, 64, False)
    assert config.train.eval_after is None
    assert (config.head.name, config.head.norm) == ("text_prompts", "batch")  # type: ignore[attr-defined]


def test_official_has_the_releases_habits(compose: Compose) -> None:
    config = compose("dataset=elevater/dtd", "method=hydra_mlp", "protocol=official")
    protocol = config.protocol
    assert (protocol.search, protocol.trial_selection) == ("elevater_released", "best")
    assert (protocol.selection, protocol.evaluate_every) == ("best", 1)
    assert protocol.evaluate_split == "test"
    assert (config.train.eval_after, config.train.drop_last) == (1, False)
    assert (config.data.normalization, config.model.drop_path) == ("backbone", 0.0)
    assert (config.precision, config.method.init) == ("fp32", "gaussian")  # type: ignore[attr-defined]


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.long)])
def test_paper_has_table_11_and_no_search(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with (PUBLISHED / "table11_hparams_elevater.csv").open() as file:
        printed = {row["dataset"]: row for row in csv.DictReader(file)}
    assert printed.keys() == ELEVATER.tasks.keys()
    some = list(printed)[::every]
    monkeypatch.setattr("hydra_peft.cli.defaults._tasks", lambda _: [f"elevater/{t}" for t in some])
    found = default_hyperparameters("elevater", protocol="paper", method="hydra")
    assert list(found) == some
    for task in some:
        row = printed[task]
        for key in ("learning_rate", "weight_decay", "epochs", "batch_size"):
            assert found[task][key] == pytest.approx(float(row[key]))


def test_which_protocols_are_tuned_by_default_is_known_without_composing() -> None:
    found = {protocol: usual_search("elevater", protocol) for protocol in ELEVATER.protocols}
    searches = {"clean": "elevater", "official": "elevater_released"}
    assert found == {**dict.fromkeys(ELEVATER.protocols), **searches}
    assert usual_search("vtab1k", "clean") is None


def test_the_head_of_texts_is_usual_on_a_clip_alone() -> None:
    assert usual_head("elevater/dtd", MODEL) == "text_prompts"
    assert usual_head("elevater/dtd", "vit_mini") == usual_head("mini/digits", MODEL) == "linear"


def test_settings_of_the_table_are_the_defaults_and_other_tuning_is_marked(
    compose: Compose,
) -> None:
    usual = compose("dataset=elevater/cifar10", "method=hydra_mlp")
    untuned = compose("dataset=elevater/cifar10", "method=hydra_mlp", "protocol.tune=false")
    grid = compose(
        *("dataset=elevater/cifar10", "method=hydra_mlp", "protocol.search=grid"),
        "protocol.grid.optimizer.weight_decay=[0]",
    )
    zero = compose(
        *("dataset=elevater/cifar10", "method=linear", "head=zero_shot", "train.epochs=0"),
        "protocol.tune=false",
    )
    runs = [run_of(config, "cifar10", 90.0, 1, 1) for config in (usual, untuned, grid, zero)]
    defaults = default_settings({Origin.of(run) for run in runs})
    said = [marks(run, defaults) for run in runs]
    assert said[0] == ("method.targets=[mlp.fc2]",)
    assert said[1] == ("not tuned", "method.targets=[mlp.fc2]")
    assert said[2][:2] == ("tuned", "method.targets=[mlp.fc2]")
    assert said[3] == ()


def test_what_is_untrained_has_a_name_of_its_own_and_counts_as_no_method(compose: Compose) -> None:
    words = ("dataset=elevater/cifar10", "method=linear", "train.epochs=0", "protocol.tune=false")
    heads = (["head=zero_shot"], ["head=prototypes"], ["head=text_prompts"], ["head=linear"])
    runs = [run_of(compose(*words, *head), "cifar10", 90.0, 0, 1) for head in heads]
    defaults = default_settings({Origin.of(run) for run in runs})
    assert runs[0].method_label == "linear"  # as records have it, also those of earlier code
    tables, _ = build_tables(runs, defaults=defaults)
    assert {row.label for table in tables for row in table.rows} == {
        "zero-shot, auto",
        "prototypes, auto",
        "zero-shot, auto (head.norm=batch, head.scale=1.0)",
        "linear, auto (not tuned, head.name=linear, train.epochs=0)",
    }
    everything = Collection([FoundRun(Path(run.label), run) for run in runs], [], [])
    chosen = select(everything, {"methods": "zero-shot"})
    assert [run.record for run in chosen.completed] == [runs[0], runs[2]]
    table = score_tables()[1]
    published = read_published(table.published)
    (side,), warnings = compare(table, published, runs[:1], defaults=defaults)
    assert side.measured == []
    assert warnings == ["protocol clean: no row of Table 1 is like 'zero-shot, auto': left out."]
    adapted = compose(*words[:1], "method=lora", "head=zero_shot", *words[2:])
    assert run_of(adapted, "cifar10", 90.0, 1, 1).label == "lora r=4"


@pytest.mark.parametrize("number", [pytest.param(1, marks=pytest.mark.long), 10])
def test_published_cells_fed_back_as_runs_of_the_experiment_count_with_their_pe(
    compose: Compose, number: int
) -> None:
    table = score_tables()[number]
    numbers = read_published(table.published)
    positions = {"MSA": ("hydra_msa", 92_208), "MLP": ("hydra_mlp", 147_504)}
    options = ROWS if number == 1 else positions
    assert table.trained == list(options)
    runs = []
    for row in numbers.rows:
        option, adapter = options[row.label]
        words = ("dataset=elevater/cifar10", f"method={option}")
        config = compose(f"+experiment=table{number}", *words, "precision=fp32")
        for task in ELEVATER.tasks:
            cell = row.numbers[task]
            assert cell is not None
            # heads of 57.55 classes on average, as ELEVATER's twenty tasks have
            runs.append(run_of(config, task, cell.value, adapter, 29_523))
    defaults = default_settings({Origin.of(run) for run in runs})
    (side,), warnings = compare(table, numbers, runs, defaults=defaults)
    assert warnings == []
    wanted = len(options) * 20
    assert side.notes[0].startswith(f"runs: {wanted} of {wanted}")
    for block in side.blocks:
        (measured,) = block.measured
        assert measured.like_paper
        assert measured.label == f"{block.key} (measured)"
        mean = f"average ({ELEVATER.main_mean[0]})"
        value = measured.values[mean]
        assert value is not None
        cells = [block.published.numbers[task].value for task in ELEVATER.tasks]  # type: ignore[union-attr]
        assert value.value == pytest.approx(sum(cells) / 20)
        if number == 1:
            score = measured.values["PE"]
            assert score is not None
            adapter = options[block.key][1]
            assert score.value == pytest.approx(pe_score(value.value, adapter + 29_523))
