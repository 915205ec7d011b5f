"""What is missing is named; its command trains exactly that, and nothing a record smuggles in."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from study import run_record

from hydra_peft.cli.defaults import default_settings
from hydra_peft.cli.report import _options
from hydra_peft.config.check import check_config
from hydra_peft.plain_text import counted
from hydra_peft.report.findings import findings
from hydra_peft.report.missing import Options, beside, gaps
from hydra_peft.report.run_lines import RunLine
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.overrides import Origin


def record(settings: Any, task: str, seed: int) -> Record:
    """Return the record of a run with the identity of ``settings``, a checked config."""
    method = settings.method.identity()
    return dataclasses.replace(
        run_record("lora", task, seed),
        settings=settings.settings,
        method=method,
        method_label=settings.method.label,
        protocol=settings.protocol.name,
        model=settings.model.name,
        weights={
            "kind": "pretrained" if settings.model.pretrained else "random",
            "sha256": "0" * 64,
        },
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=lora",),
        ("method=lora", "method.rank=8", "optimizer.lr=0.002", "train.epochs=7"),
        ("method=hydra", "method.rank_parallel=1", "method.rank_sequential=3"),
        ("method=seqlora", "method.targets=[attn.qkv]", "model.pretrained=false"),
        ("method=adapter_houlsby", "method.rank=4"),
        ("method=linear", "protocol=paper", "protocol.tune=true"),
        ("method=lora", "scheduler=constant"),
        ("method=lora", "method.targets=['*[0-4].mlp.fc2', 'blocks.*.attn.qkv']"),
        ("method=lora", "+model.antialias=false", "model.drop_path=0.1"),
        ("method=lora", "+model.arguments.mlp_ratio=2"),
        ("method=lora", "optimizer=sgd", "optimizer.lr=0.1", "dataset.train_size=200"),
        ("method=lora", "protocol.tune=true", "++protocol.grid.method.rank=[2,4]"),
        ("method=hydra", "protocol.tune=true", "++protocol.grid.method.rank_parallel=[1,2]"),
        (
            "method=hydra",
            "protocol.tune=true",
            "++protocol.grid.method.rank_parallel=[1,2]",
            "++protocol.grid.method.rank_sequential=[1,2]",
            "++protocol.grid.method.scale=null",
        ),
        (
            "method=lora",
            "protocol.tune=true",
            "++protocol.grid.optimizer.weight_decay=[1e-4,1e-2]",
            "++protocol.grid.train.label_smoothing=[0,0.1]",
        ),
        ("method=full", "protocol=official", "optimizer.betas=[0.8,0.9]", "precision=bf16"),
    ],
)
def test_the_command_has_the_same_settings(
    compose_train: Callable[..., Any], overrides: tuple[str, ...]
) -> None:
    checked = check_config(compose_train(*overrides, "dataset=mini/digits"))
    present = [("digits", 0), ("digits", 1), ("cells", 0)]
    records = [record(checked, task, seed) for task, seed in present]
    defaults = default_settings({Origin.of(records[0])})
    tables, _ = build_tables(records, defaults=defaults)
    (gap,) = gaps(tables, _options(), None)
    assert (gap.cells, gap.listed) == (1, "cells (seed 1)")
    assert gap.command is not None
    start, words = gap.command[:28], shlex.split(gap.command[28:])
    assert start == "python scripts/train.py -m m"
    again = check_config(compose_train(f"m{words[0]}", *words[1:]))
    assert words
    assert again.settings == checked.settings
    assert (again.dataset.name, again.seed) == ("cells", 1)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("dataset.shots=null", "dataset.shots=null"),
        ("dataset.sampling_seed=null", "dataset.sampling_seed=null"),
        ("dataset.sampling_seed=7", "dataset.sampling_seed=7"),
        (
            "dataset.shots=null dataset.sampling_seed=null dataset.train_size=50",
            "dataset.sampling_seed=null, dataset.shots=null, dataset.train_size=50",
        ),
        (
            "dataset.shots=3 dataset.sampling_seed=null dataset.split_seed=7",
            "dataset.sampling_seed=null, dataset.shots=3, dataset.split_seed=7",
        ),
        ("model=clip_mini head=linear model.projection=null", "head.name=linear, model.projection"),
    ],
)
def test_what_was_taken_away_of_a_task_or_model_is_said_and_typed(
    compose_train: Callable[..., Any], overrides: str, said: str
) -> None:
    """Records leave out what has the value of before: null, where a benchmark of shots has 5."""
    task = "dataset=mini_fewshot/digits"
    chosen = [word for word in overrides.split() if word.startswith("model=")]
    checked, plain = (
        check_config(compose_train("method=linear", *words))
        for words in ([task, *overrides.split()], [task, *chosen])
    )
    assert checked.settings != plain.settings
    present = [("digits", 0), ("digits", 1), ("cells", 0)]
    records = [
        dataclasses.replace(record(checked, name, seed), benchmark="mini_fewshot")
        for name, seed in present
    ]
    tables, _ = build_tables(records, defaults=default_settings({Origin.of(records[0])}))
    assert f"({said}" in tables[0].rows[0].label
    (gap,) = gaps(tables, _options(), None)
    assert gap.command is not None
    again = check_config(compose_train(*shlex.split(gap.command.split(" -m ")[1])))
    assert again.settings == checked.settings


@pytest.mark.parametrize("model", ["roberta_mini", "roberta_large"])
@pytest.mark.parametrize("method", ["method=lora_glue", "method=adapterdrop_glue"])
def test_arguments_that_a_models_yaml_has_take_no_plus(
    compose_train: Callable[..., Any], model: str, method: str
) -> None:
    words = [method, "dataset=mini_glue/similar", f"model={model}"]
    checked = check_config(compose_train(*words, "model.arguments.hidden_dropout_prob=0.2"))
    records = [
        dataclasses.replace(record(checked, *run), benchmark="mini_glue")
        for run in [("similar", 0), ("similar", 1), ("acceptable", 0)]
    ]
    tables, _ = build_tables(records, defaults=default_settings({Origin.of(records[0])}))
    (gap,) = gaps(tables, _options(), None)
    assert gap.command is not None
    assert " model.arguments.hidden_dropout_prob=0.2 " in gap.command
    again = check_config(compose_train(*shlex.split(gap.command.split(" -m ")[1])))
    assert again.settings == checked.settings


def test_shots_that_each_seed_draws_are_typed_as_such(compose_train: Callable[..., Any]) -> None:
    words = ("method=lora", "dataset=mini/digits", "dataset.shots=2")
    checked = check_config(compose_train(*words, "dataset.sampling_seed=${seed}"))
    records = [record(checked, *run) for run in [("digits", 0), ("digits", 1), ("cells", 0)]]
    tables, _ = build_tables(records, defaults=default_settings({Origin.of(records[0])}))
    (gap,) = gaps(tables, _options(), None)
    assert gap.command is not None
    assert "'dataset.sampling_seed=${seed}'" in gap.command
    again = check_config(compose_train(*shlex.split(gap.command.split(" -m ")[1])))
    assert again.settings == checked.settings


HOSTILE = (
    "digits; touch /tmp/x $(id) `id`\n--experimental-rerun=x hydra.launcher._target_=os.system"
)


@pytest.mark.parametrize(
    "changes",
    [
        {"protocol": HOSTILE},
        {"model": HOSTILE},
        {"settings": {"method.name": "lora", "hydra.launcher._target_": "os.system"}},
        {"settings": {"method.name": "lora", "train.epochs": HOSTILE}},
        {"settings": {"method.name": "lora", "precision": HOSTILE}},
        {"method": {"name": HOSTILE}},
        {"weights": {"kind": "pretrained", "source": f"/{HOSTILE}", "sha256": "0"}},
    ],
)
def test_nothing_smuggled_into_a_command(changes: dict[str, Any]) -> None:
    present = [("digits", 0), ("digits", 1), ("cells", 0)]
    records = [run_record("lora", task, seed, **changes) for task, seed in present]
    origin = Origin.of(records[0])
    tables, _ = build_tables(records, defaults={origin: {}})
    (gap,) = gaps(tables, _options(), None)
    assert gap.cells == 1
    assert gap.command is None


def test_tasks_are_named_only_as_conf_has_them() -> None:
    tasks = ("digits", HOSTILE)
    records = [run_record("lora", task, seed) for task, seed in ((tasks[0], 0), (tasks[1], 1))]
    tables, _ = build_tables(records)
    (gap,) = gaps(tables, _options(), None)
    assert gap.cells == 2
    assert gap.command is None


def test_the_folder_is_quoted() -> None:
    records = [run_record("linear", "digits", 0), run_record("linear", "cells", 1)]
    tables, _ = build_tables(records)
    options = Options(
        {("mini", "digits"): "mini/digits", ("mini", "cells"): "mini/cells"}, frozenset()
    )
    (gap,) = gaps(tables, options, Path("/my runs/x"))
    assert gap.command is not None
    assert shlex.split(gap.command)[-1] == 'paths.runs="/my runs/x"'
    assert "dataset=mini/digits,mini/cells seed=0,1" in gap.command


def test_nothing_missing() -> None:
    tables, _ = build_tables(
        [run_record("lora", t, s) for t in ("digits", "cells") for s in (0, 1)]
    )
    assert gaps(tables, _options(), None) == []


def sweep() -> list[Record]:
    return [
        run_record(method, task, seed)
        for method in ("lora", "hydra", "seqlora")
        for task in ("digits", "cells", "texture")
        for seed in (0, 1)
    ]


STRAYS = {
    "row": (
        run_record("moe", "cells", 0),
        "moe is only on cells",
        "dataset=mini/digits,mini/texture seed=0",
    ),
    "task": (
        run_record("lora", "shapes_count", 0),
        "task shapes_count has only runs of lora r=4",
        "",
    ),
    "seed": (run_record("lora", "cells", 7), "seed 7 of lora r=4 is only on cells", "seed=7"),
}


@pytest.mark.parametrize(
    ("lacking", "meaning"),
    [
        (1, "every row has its means; these would add seeds or tasks to them."),
        (2, "a row without one seed on all the tasks of the means has no mean."),
    ],
    ids=["a seed", "a task"],
)
def test_whether_what_is_missing_costs_a_mean_is_said(lacking: int, meaning: str) -> None:
    tables, _ = build_tables(sweep()[lacking:])
    found = gaps(tables, _options(), None)
    (warning,) = findings([], found, [], [], [], [])
    assert (warning.title, warning.meaning) == (
        f"{counted(lacking, 'run')} missing in the tables",
        meaning,
    )


@pytest.mark.parametrize("kind", STRAYS)
def test_a_stray_run_is_named_and_nothing_is_missing_for_it(kind: str) -> None:
    stray, text, words = STRAYS[kind]
    tables, _ = build_tables([*sweep(), stray])
    assert gaps(tables, _options(), None) == []
    (found,) = beside(tables, _options(), None)
    assert found.text == text
    assert words in (found.command or "")
    # A run that the sweep lacks is missing as before.
    tables, _ = build_tables([*sweep()[1:], stray])
    (gap,) = gaps(tables, _options(), None)
    assert (gap.label, gap.listed) == ("lora r=4", "digits (seed 0)")
    lines: list[RunLine] = []
    titles = [one.title for one in findings(lines, [gap], [found], [], ["a note"], ["no picture"])]
    assert titles == [
        "1 run missing in the tables",
        "1 stray row, task or seed",
        "1 note on the tables",
        "1 figure not drawn",
    ]
