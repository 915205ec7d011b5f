"""The preset of Table 9 on a tiny RoBERTa: MNLI first, then what starts from it, then tables."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from glue_files import write_parquet
from tiny_texts import ROBERTA, save_folder

from hydra_peft.cli import tables

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def short() -> list[str]:
    return ["train.epochs=1", "data.allow_partial=true", "protocol=paper", "device=cpu"]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    write_parquet(tmp_path / "data", "mnli", "rte", "stsb", "sst2")
    folder = save_folder(tmp_path / "tiny")
    config = json.loads((folder / "config.json").read_text())
    shape = {
        k: config.get(k) for k in (*ROBERTA, "hidden_act", "initializer_range", "pad_token_id")
    }
    arguments = ",".join(f"{key}:{value}" for key, value in shape.items())
    model = [f"model.checkpoint={folder}", f"model.arguments={{{arguments}}}"]
    data = f"paths.data={tmp_path}/data"
    return ["-m", "+experiment=table9", "method=hydra_glue", data, *model]


def test_mnli_is_done_first_and_the_table_has_one_row(
    cli: Cli,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    code, out, err = cli(*words, "dataset=glue/rte,glue/mnli,glue/stsb")
    assert code == 0, err
    starts = [line for line in out.splitlines() if line.startswith("glue/")]
    assert [line.split()[0] for line in starts] == ["glue/mnli", "glue/rte", "glue/stsb"]
    assert err.count("the run of glue/mnli that this one starts from was trained for 1 epochs") == 2
    (mnli,) = (tmp_path / "runs" / "glue" / "mnli").iterdir()
    origin = json.loads((mnli / "result.json").read_text())["config_id"]
    for task in ("rte", "stsb"):
        (folder,) = (tmp_path / "runs" / "glue" / task).iterdir()
        record = json.loads((folder / "result.json").read_text())
        assert record["init_from"]["config_id"] == origin
        assert record["settings"]["init_from"] == "recipe"
    places = [f"runs={tmp_path}/runs", f"out={tmp_path}/tables"]
    for table in (3, 9):
        monkeypatch.setattr(sys, "argv", ["tables.py", f"table={table}", *places])
        assert tables.main() == 0
        out = capfd.readouterr().out
        assert "3 of 8 tasks" in out
        assert [line.startswith("| Hydra (measured") for line in out.splitlines()].count(True) == 1
        assert "init_from=recipe" in out


def test_without_the_run_of_mnli_it_is_a_sentence(cli: Cli, words: list[str]) -> None:
    code, _, err = cli(*words, "dataset=glue/rte,glue/sst2")
    assert code == 2
    assert "init_from=task:mnli starts from the run of glue/mnli with hydra r=4+8" in err
    assert err.count("\n") == 1
    code, out, _ = cli(*words, "dataset=glue/rte,glue/mnli", "sweep.dry_run=true")
    assert code == 0
    assert "waits for glue/mnli, which it starts from" in out
