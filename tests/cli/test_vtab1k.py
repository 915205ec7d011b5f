"""All of VTAB-1k, small: prepared root, check, cache, experiment=table8, tables in all formats."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig
from prepared_root import write_task

from hydra_peft.cli import check_data, tables, train
from hydra_peft.cli import tasks as tasks_module
from hydra_peft.cli.expanding import expand
from hydra_peft.cli.tasks import benchmark_tasks
from hydra_peft.data import decoding

METHODS = ("lora", "seqlora", "hydra")


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    def run(main: Callable[[], int], *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["script", *arguments])
        code = main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_the_nineteen_tasks(root: Path) -> None:
    tasks = benchmark_tasks("vtab1k")
    columns = pd.read_csv(root / "results/paper/table2_vtab1k.csv").columns[3:]
    assert sorted(tasks) == sorted(columns)
    recipes = pd.read_csv(root / "results/paper/table12_hparams_vtab1k.csv").set_index("dataset")
    sizes = pd.read_csv(root / "results/paper/table15_vtab1k_datasets.csv")
    for name, task in tasks.items():
        recipe, published = task.recipe, recipes.loc[name]
        assert recipe.lr["adapter"] == published["learning_rate"]
        assert recipe.weight_decay == published["weight_decay"]
        assert recipe.batch_size == published["batch_size"]
        assert recipe.dropout == published["dropout"]
        assert (recipe.epochs, recipe.warmup_epochs) == (100, 10)
    groups = pd.Series([task.group for task in tasks.values()]).value_counts()
    assert groups.to_dict() == {"natural": 7, "specialized": 4, "structured": 8}
    # Table 15, but for its two slips (SUN397's test set, the classes of SmallNORB's elevation).
    test = sorted(task.sizes["test"] for task in tasks.values())
    assert test == sorted(sizes["test_size"].replace(36032, 21750))
    assert sum(task.classes for task in tasks.values()) == sizes["labels"].sum() - 9
    others = {path.stem for path in (root / "conf/dataset").glob("*.yaml")} - set(tasks)
    for name in ("table2", "table8"):
        text = (root / "conf/experiment" / f"{name}.yaml").read_text()
        assert f"dataset: glob(*,exclude=[{','.join(sorted(others))}])" in text


@pytest.mark.parametrize("every", [12, pytest.param(1, marks=pytest.mark.long)])
def test_from_prepared_root_to_tables(
    every: int,
    tmp_path: Path,
    call: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tmp_path / "data"
    tasks = benchmark_tasks("vtab1k")
    for number, task in enumerate(tasks.values()):
        assert task.folder is not None
        name = task.aliases[-1] if task.aliases and number % 2 else task.folder
        write_task(data / "vtab1k" / name, classes=task.classes, seed=number)

    out = tmp_path / "check.json"
    arguments = (f"data={data}", f"cache={tmp_path}/cache", f"out={out}")
    assert call(check_data.main, *arguments)[0] == 1  # the counts are wrong, and said to be
    code, text, _ = call(check_data.main, *arguments, "partial=true")
    assert code == 0
    checked = json.loads(out.read_text())["tasks"]
    assert {name: found["status"] for name, found in checked.items()} == dict.fromkeys(tasks, "ok")
    assert "12 of 1,000" in text

    sweep = (
        "-m",
        "+experiment=table8",
        "model=vit_mini",
        "data.allow_partial=true",
        "data.cache=all",
        "train.epochs=1",
        "scheduler.warmup_epochs=0",
        "device=cpu",
        f"paths.data={data}",
        f"paths.cache={tmp_path}/cache",
        f"paths.runs={tmp_path}/runs",
    )
    decoded: list[Path] = []
    chosen: list[list[str]] = []
    original = decoding.read_image
    monkeypatch.setattr(
        "hydra_peft.data.images.read_image",
        lambda path: decoded.append(path) or original(path),
    )

    def some(config: DictConfig, loader: ConfigLoader) -> list[list[str]]:
        """One job for every so many tasks, the methods in turn; of one task all three."""
        jobs = expand(config, loader)
        assert len(jobs) == 57
        turn = [job for i, job in enumerate(jobs) if (i % 19 + i // 19) % 3 == 0][::every]
        chosen[:] = turn + [job for job in jobs if "dataset=dtd" in job and job not in turn]
        return chosen

    monkeypatch.setattr("hydra_peft.cli.expanding.expand", some)
    code, text, err = call(train.main, *sweep)
    assert code == 0, err
    assert text.count("test (last epoch)") == len(chosen) >= 2 + 19 / every
    ran = {word for job in chosen for word in job if word.startswith("dataset=")}
    assert len(ran) >= 19 / every
    assert len(decoded) == len(set(decoded)) == len(ran) * (12 + 10)  # once, whatever the method

    folder = (f"runs={tmp_path}/runs", f"out={tmp_path}/tables", "table=8")
    for form in ("markdown", "csv", "latex"):
        code, text, _ = call(tables.main, *folder, f"format={form}")
        assert code == 0
        assert "PARTIAL DATA" in text
    assert "Hydra (paper)" in (tmp_path / "tables/table8.md").read_text()
    assert r"\bottomrule" in (tmp_path / "tables/table8.tex").read_text()
    code, text, _ = call(tables.main, *folder[:2], "format=csv")
    frame = pd.read_csv(tmp_path / "tables/accuracy.csv")
    assert set(frame["task"]) >= {word.removeprefix("dataset=") for word in ran}
    record = json.loads(next((tmp_path / "runs/vtab1k/dtd").rglob("result.json")).read_text())
    assert record["data"]["partial"] is True
    assert record["data"]["lineage"] == "archive"
    assert record["data"]["counts"] == {"test": 10, "train": 12}
    assert record["benchmark"] == "vtab1k"


def test_missing_weights_stop_table_8_with_one_sentence(
    tmp_path: Path, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in benchmark_tasks("vtab1k").values():
        write_task(tmp_path / "vtab1k" / str(task.folder), classes=task.classes)
    asked: list[str] = []

    def no_network(architecture: str, *_: object) -> None:
        asked.append(architecture)
        raise ConnectionError

    def some(config: DictConfig, loader: ConfigLoader) -> list[list[str]]:
        jobs = expand(config, loader)
        assert len(jobs) == 57
        return jobs[::30]

    monkeypatch.setattr("hydra_peft.cli.expanding.expand", some)
    monkeypatch.setattr("hydra_peft.backbones.backbones.ask_hub", no_network)
    places = (f"paths.data={tmp_path}", f"paths.runs={tmp_path}/runs", "device=cpu")
    places += ("data.allow_partial=true",)
    code, out, err = call(train.main, "-m", "+experiment=table8", *places)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "no weights for 'vit_base_patch16_224.orig_in21k'" in err
    assert "model.checkpoint=<file>" in err
    assert asked == ["vit_base_patch16_224.orig_in21k"]
    assert not (tmp_path / "runs").exists()


def test_missing_data_stops_a_sweep_before_its_first_job(
    tmp_path: Path, call: Callable[..., tuple[int, str, str]]
) -> None:
    tasks = benchmark_tasks("vtab1k")
    for name in ("dtd", "svhn"):
        task = tasks[name]
        write_task(tmp_path / "vtab1k" / str(task.folder), classes=task.classes)
    common = ("model=vit_mini", f"paths.data={tmp_path}", f"paths.runs={tmp_path}/runs")
    code, _, err = call(
        train.main, "-m", "dataset=dtd,svhn,kitti_dist", "data.allow_partial=true", *common
    )
    assert code == 2
    assert err.startswith("error: job 'dataset=kitti_dist")
    assert "there is no folder 'kitti'" in err
    assert not (tmp_path / "runs").exists()
    code, _, err = call(train.main, "dataset=dtd", *common, f"paths.cache={tmp_path}/cache")
    assert code == 2
    assert "has 12 images in train where its yaml says 1000" in err


def test_only_the_tasks_that_are_named_are_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[str] = []
    monkeypatch.setattr(tasks_module, "_composed", composed.append)
    assert list(benchmark_tasks("vtab1k", ["svhn", "dtd"])) == ["dtd", "svhn"]
    assert composed == ["dtd", "svhn"]


def test_tasks_that_are_not_read_from_files_have_nothing_to_check(
    call: Callable[..., tuple[int, str, str]],
) -> None:
    code, _, said = call(check_data.main, "benchmark=mini", "task=digits")
    assert (code, said.count("\n")) == (2, 1)
    assert "task 'digits' of benchmark 'mini' comes with the package" in said
