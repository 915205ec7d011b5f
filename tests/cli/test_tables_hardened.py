"""``scripts/tables.py`` on run folders that somebody else wrote, and on a thousand of them."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import agreeing, record
from flat_results import in_fields

from hydra_peft.cli import tables
from hydra_peft.cli.tasks import task_options
from hydra_peft.config.text import to_yaml
from hydra_peft.methods import method_class
from hydra_peft.runs.record import write_record

NASTY = "a|b\nc<script>alert(1)</script>\\input{x}$%&#_\x1b[31m\u202e" + "y" * 5000
#: one field each: what a run may say there that no run of ours says
ODD_FIELDS: list[dict[str, Any]] = [
    *({name: NASTY} for name in ("task", "group", "model", "protocol", "started")),
    {"method": {"name": NASTY}, "method_label": NASTY},
    *({"method": {"name": odd}} for odd in (NASTY, None, [1], {"a": {}})),
    *({"settings": {"optimizer.lr": odd}} for odd in (NASTY, None, [[1]], {"a": {"b": NASTY}})),
    {"settings": {"protocol.tune": "yes", "protocol.search": [NASTY]}},
    {"settings": {"deep": json.loads('{"a":' * 40 + "1" + "}" * 40)}},
    {"weights": {"kind": [1], "sha256": {"a": 1}, "source": NASTY}},
    {"data": {"sha256": [NASTY], "lineage": {"a": 1}, "notes": [NASTY, 1], "partial": NASTY}},
    {"metrics": {"accuracy": "98", "correct": 1, "count": 2, "split": "test", "selection": "l"}},
    {"metrics": {"accuracy": 1e300, "correct": 1, "count": 2, "split": "test", "selection": "l"}},
    {"metrics": {"accuracy": 9, "correct": 1, "count": 2, "split": NASTY, "selection": NASTY}},
    {"metrics": {"accuracy": 9, "correct": 1, "count": 2, "split": [1], "selection": None}},
    {"parameters": {"adapter": 10**400, "head": 1}},
    {"parameters": {"adapter": None, "head": True}},
    {"science": {"dataset": {"a": [NASTY]}}, "seed": 10**300},
    {"benchmark": "vtab1k", "task": "dtd", "method": method_class("hydra")().identity()},
]


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tables.py", *arguments])
    return tables.main()


@pytest.fixture
def odd_runs(tmp_path: Path) -> Path:
    """Runs with one odd field each, and two good ones."""
    runs = tmp_path / "runs"
    for number, changes in enumerate(ODD_FIELDS):
        odd = agreeing(dataclasses.replace(record(seed=number), **in_fields(changes)))
        write_record(odd, runs / "odd" / str(number))
    for seed in (100, 101):
        write_record(record(seed=seed), runs / "good" / str(seed))
    (runs / "torn").mkdir()
    (runs / "torn" / "result.json").write_text('{"schema": 1, "sta')
    (runs / "newer").mkdir()
    (runs / "newer" / "result.json").write_text('{"schema": 3}')
    (runs / "nan").mkdir()
    content = json.dumps(dataclasses.asdict(record())).replace("98.25", "NaN")
    (runs / "nan" / "result.json").write_text(content)
    return runs


@pytest.mark.parametrize("form", ["markdown", "csv", "latex", "html"])
@pytest.mark.parametrize("what", [[], ["table=8"], ["compare=all"]])
def test_the_rest_is_tabulated_whatever_some_records_hold(
    odd_runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: list[str],
    form: str,
) -> None:
    # What settings are by default has tests of its own; composing is not quick.
    monkeypatch.setattr(tables, "_defaults", lambda _: {})
    arguments = [*what, f"format={form}", f"runs={odd_runs}", f"out={tmp_path}/out"]
    assert call(monkeypatch, *arguments) == 0
    printed = capsys.readouterr()
    everything = printed.out + printed.err
    for name in ("torn", "newer", "nan"):
        written = everything.replace("\\_", "_")
        assert f"{odd_runs}/{name}/result.json" in written, name
    assert not [c for c in everything if not c.isprintable() and c != "\n"]
    assert form == "csv" or "<script>alert" not in printed.out.replace(r"\textless{}", "")
    if not what:
        assert "hydra r=2+2" in printed.out


def real_like(runs: Path, count: int) -> None:
    """Write ``count`` completed runs of Table 8 with what else runs leave, and much beside them."""
    rows = {"lora": {"rank": 4}, "seqlora": {"rank": 6}, "hydra": {"rank": 2}}
    names = sorted(task_options("vtab1k"))
    base = record()
    for number in range(count):
        method = list(rows)[number % 3]
        task = names[number // 3 % len(names)]
        built = method_class(method)(**rows[method])
        dataset = {**base.science["dataset"], "benchmark": "vtab1k", "name": task}
        changes = {
            "config_id": f"{number:012x}",
            "benchmark": "vtab1k",
            "task": task,
            "model": "vit_base_patch16_224_in21k",
            "method": built.identity(),
            "method_label": built.label,
            "settings": {
                **base.settings,
                **{f"method.{key}": value for key, value in built.identity().items()},
            },
            "science": {**base.science, "method": built.identity(), "dataset": dataset},
            "seed": number // 57,
            "data": {"sha256": task},
        }
        folder = runs / "vtab1k" / task / f"{method}-seed{number // 57}-{number:012x}-1a2b3c4d"
        folder.mkdir(parents=True)
        content = dataclasses.asdict(agreeing(dataclasses.replace(base, **changes)))
        (folder / "result.json").write_text(json.dumps(content, indent=2))
        # What makes up an id is in no real config: runs of a task share that of its dataset.
        own = {k: v for k, v in content["science"]["dataset"].items() if k != "made_up"}
        model = {**content["science"]["model"], "name": content["model"]}
        config = {**content["science"], "model": model, "dataset": own, "paths": {"runs": "/runs"}}
        (folder / "config.yaml").write_text(to_yaml(config))
        for place in ("metrics.csv", "train.log", "adapter.safetensors"):
            (folder / place).touch()
        for place in ("tensorboard", "checkpoints"):
            (folder / place).mkdir()
            for piece in range(3):
                (folder / place / f"{piece}").touch()
        claim = runs / ".claims" / f"{number:012x}"
        claim.parent.mkdir(exist_ok=True)
        claim.touch()
        trial = runs / "tuning" / "vtab1k" / task / f"{number}"
        trial.mkdir(parents=True)
        (trial / "result.json").write_text("{}")


@pytest.mark.parametrize(
    "tables",
    [
        [[], ["table=4"]],
        # These compose the defaults of all tasks.
        pytest.param([["table=1"], ["table=12"], ["compare=all"]], marks=pytest.mark.long),
    ],
)
def test_no_table_waits_for_torch(root: Path, tmp_path: Path, tables: list[list[str]]) -> None:
    real_like(tmp_path / "runs", 3)
    common = [f"runs={tmp_path}/runs", f"out={tmp_path}"]
    script = (
        "import sys\n"
        "import hydra_memo\n"
        "hydra_memo.remember()\n"
        "from hydra_peft.cli import tables\n"
        f"for words in {tables!r}:\n"
        f"    sys.argv = ['tables.py', *words, *{common!r}]\n"
        "    assert tables.main() == 0, words\n"
        "    assert 'torch' not in sys.modules, words\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{root}/tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
