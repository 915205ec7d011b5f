"""``scripts/tables.py``: its arguments, what it prints and what it writes."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from covering import pairs
from fabricated_runs import agreeing, put
from flat_results import fields, flat

from hydra_peft.cli import report, tables
from hydra_peft.methods import method_class
from hydra_peft.runs.record import Record, read_record, write_record
from hydra_peft.tables import paper_tables


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tables.py", *arguments])
    return tables.main()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs of Hydra on VTAB-1k's dtd with the protocols clean and official."""
    method = method_class("hydra")(rank=2)
    for protocol, selection in (
        ("clean", "last epoch"),
        ("official", "best of 10 evaluations on test"),
    ):
        record = Record(
            status="completed",
            config_id=protocol,
            settings={"protocol.train_split": "train"},
            benchmark="vtab1k",
            group="natural",
            task="dtd",
            model="vit_base_patch16_224_in21k",
            method=method.identity(),
            method_label=method.label,
            protocol=protocol,
            seed=0,
            science={},
            started="2026-01-01T00:00:00+00:00",
            weights={"kind": "pretrained", "sha256": "f" * 64},
            data={"sha256": "dtd"},
            **fields(
                {
                    "accuracy": 71.0,
                    "correct": 71,
                    "count": 100,
                    "split": "test",
                    "selection": selection,
                }
            ),
            parameters={"adapter": 239_712, "head": 769 * 47},
        )
        write_record(agreeing(record), tmp_path / "runs" / protocol)
    return tmp_path / "runs"


@pytest.mark.parametrize("number", [2, 5, 8])
def test_a_papers_table_needs_no_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
) -> None:
    out = tmp_path / "out"
    code = call(monkeypatch, f"table={number}", f"runs={tmp_path}/none", f"out={out}")
    printed = capsys.readouterr().out
    assert code == 0
    assert "Hydra (paper)" in printed
    assert "76.5" in printed
    assert "`python scripts/train.py -m +experiment=table" in printed
    assert sorted(path.name for path in out.iterdir()) == [
        f"table{number}.csv",
        f"table{number}.md",
    ]
    assert (out / f"table{number}.md").read_text().strip() in printed


def test_one_table_a_protocol_unless_one_is_chosen(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    places = (f"runs={runs}", f"out={tmp_path}/out")
    assert call(monkeypatch, "table=8", *places) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith("###")]
    assert ["selected on the test set" in title for title in titles] == [False, True]
    assert call(monkeypatch, "table=8", "protocol=official", *places) == 0
    assert capsys.readouterr().out.count("###") == 1
    # The plain tables too.
    assert call(monkeypatch, *places) == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line.startswith("###")]
    assert ["selected on the test set" in title for title in titles] == [False, True]
    assert call(monkeypatch, "protocol=clean", *places) == 0
    assert capsys.readouterr().out.count("###") == 1


#: the table of what was measured, and one of the paper's
TABLES = {"measured": [], "paper's": ["table=8"]}


@pytest.mark.parametrize(("table", "form"), pairs(TABLES, ["markdown", "csv", "latex", "html"]))
def test_overrides_are_told_whatever_the_format(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: str,
    form: str,
) -> None:
    record = read_record(runs / "clean")
    settings = {"train.epochs": 2, "data.normalization": "imagenet", "optimizer.lr": "recipe"}
    write_record(dataclasses.replace(record, settings=settings), runs / "clean")
    arguments = [*TABLES[table], f"format={form}", f"runs={runs}", f"out={tmp_path}/out"]
    assert call(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert "data.normalization=imagenet, train.epochs=2" in printed
    assert "optimizer.lr=" not in printed


@pytest.mark.parametrize("what", [[], ["compare=all"]])
def test_only_chosen_tasks_and_methods(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    what: list[str],
) -> None:
    record = read_record(runs / "clean")
    for name, task, accuracy in (("hydra", "svhn", 80.0), ("linear", "dtd", 60.0)):
        method = method_class(name)()
        other = dataclasses.replace(
            record,
            config_id=f"{name} {task}",
            task=task,
            method=method.identity(),
            method_label=method.label,
            data={"sha256": task},
            parameters=record.parameters if name == "hydra" else {"adapter": 0, "head": 36_143},
            **fields(flat(record) | {"accuracy": accuracy}),
        )
        write_record(agreeing(other), runs / name)
    monkeypatch.setattr(tables, "_defaults", lambda _: {})
    places = [*what, "protocol=clean", f"runs={runs}", f"out={tmp_path}/out"]
    assert call(monkeypatch, "tasks=dtd", "methods=hydra,linear", *places) == 0
    printed = capsys.readouterr().out
    assert "svhn" not in printed
    assert "linear" in printed
    assert "> note: only runs with tasks=dtd methods=hydra,linear are shown." in printed
    assert call(monkeypatch, "methods=hydra", *places) == 0
    printed = capsys.readouterr().out
    assert "| svhn" in printed
    assert "linear" not in printed


ENDINGS = {"csv": "csv", "latex": "tex", "html": "html"}


@pytest.mark.parametrize(("table", "form"), pairs(TABLES, ENDINGS))
def test_a_format_is_printed_and_written_alone(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    table: str,
    form: str,
) -> None:
    ending, out = ENDINGS[form], tmp_path / "out"
    arguments = [*TABLES[table], f"format={form}", f"runs={runs}", f"out={out}", "name=x"]
    assert call(monkeypatch, *arguments) == 0
    printed = capsys.readouterr()
    assert [path.name for path in out.iterdir()] == [f"x.{ending}"]
    assert (out / f"x.{ending}").read_text().strip() == printed.out.strip()
    assert f"written: {out}/x.{ending}" in printed.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table=16"], "table=16 is not known: it must be one of 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"),
        (["table=08"], "table=08 is not known"),
        (["table="], "table= has no value: leave it out, or give one."),
        (["table=8", "compare=all"], "table= and compare= do not go together"),
        (["costs=true", "compare=all"], "costs=true and compare= do not go together"),
        (["costs=yes"], "costs=yes is not allowed: it must be true or false."),
        (["table=8", "tasks=dtd"], "table= and tasks= do not go together"),
        (["table=15", "methods=hydra"], "table= and methods= do not go together"),
        (["tasks=dtdd"], "tasks=dtdd: no run has it (did you mean 'dtd'?); there are dtd."),
        (["compare=all", "methods=lora"], "methods=lora: no run has it; there are hydra."),
        (["compare=hydro"], "no measured row is called 'hydro' (did you mean 'hydra'?)"),
        (["table=8", "format=md"], "choose one of markdown, csv, latex, html."),
        (["format=latx"], "format 'latx' is unknown (did you mean 'latex'?)"),
        (["table=8", "protocol=cleen"], "(did you mean 'clean'?): choose one of best_epoch, clean"),
        (["protocol=validation"], "protocol=validation: no run has it; there are clean"),
        (["name=../x"], "name=../x is not allowed: give a name alone"),
        (["table=8", "name=.."], "name=.. is not allowed"),
        (
            [f"name={'a' * 201}"],
            "a… is too long: a file may have 200 bytes in its name",
        ),
    ],
)
def test_mistakes_are_one_sentence(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert call(monkeypatch, *arguments, f"runs={runs}", f"out={tmp_path}/out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_runs_none_of_which_completed_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    put(runs, "diverged", 1)
    put(runs, "failed", 2, error="x")
    for words in ([], ["compare=all"], ["costs=true"], ["format=csv"], ["protocol=clean"]):
        assert call(monkeypatch, *words, f"runs={runs}", f"out={tmp_path}/out") == 2
        told = capsys.readouterr()
        assert told.out == ""
        said = "are left out: 1 diverged, 1 failed): train one, or see what each of them needs"
        assert f"error: no run below {runs} has completed (runs that" in told.err
        assert said in told.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (tables.main, ["tasks=svhn"]),
        (tables.main, ["methods=linear", "compare=all"]),
        (tables.main, ["compare=linear,hydra"]),
        (report.main, ["tasks=svhn"]),
    ],
)
def test_what_is_asked_for_and_was_left_out_is_named(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    main: Callable[[], int],
    words: list[str],
) -> None:
    for number in range(5):
        (tmp_path / "runs" / f"edited{number}").mkdir()
        (tmp_path / "runs" / f"edited{number}" / "result.json").write_text("{")
    out = tmp_path / "out.html"
    monkeypatch.setattr(sys, "argv", ["script", *words, f"runs={runs}", f"out={out}"])
    assert main() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {words[0].split(',')[0]}")
    assert said.count(f" left out: {runs}/edited") == 3
    assert said.endswith(" 2 more are left out.\n")


def test_what_was_left_out_of_a_task_is_named_first(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in ("cells", "digits", "svhn", "texture"):
        (runs / "mini" / task / "linear-seed7").mkdir(parents=True)
        (runs / "mini" / task / "linear-seed7" / "result.json").write_text("{")
    monkeypatch.setattr(sys, "argv", ["script", "tasks=texture", f"runs={runs}", f"out={runs}x"])
    assert tables.main() == 2
    said = capsys.readouterr().err
    assert f"; there are dtd. left out: {runs}/mini/texture/linear-seed7" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["methods=lora", "protocol=clean"], "methods=lora: no run has it; there are hydra."),
        (["split=val", "tasks=dtd"], "split=val: no completed run with tasks=dtd was scored on it"),
        (["protocol=paper"], "protocol=paper: no run has it; there are clean, official."),
    ],
)
def test_a_choice_that_leaves_nothing_says_which(
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["script", *words, f"runs={runs}", f"out={runs}x"])
    assert tables.main() == 2
    assert said in capsys.readouterr().err


def test_missing_published_numbers_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paper_tables, "PUBLISHED", tmp_path)
    assert call(monkeypatch, "table=8", f"runs={tmp_path}", f"out={tmp_path}/out") == 2
    assert f"error: cannot read {tmp_path}/" in capsys.readouterr().err


def test_compare_says_what_leaves_a_row_out(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = method_class("lora")(rank=2)
    changes = {"method": lora.identity(), "config_id": "lora"}
    one = dataclasses.replace(read_record(runs / "clean"), **changes)
    write_record(agreeing(one), runs / "lora")
    words = [f"runs={runs}", f"out={tmp_path}", "compare=hydra,lora", "methods=hydra"]
    assert call(monkeypatch, *words) == 2
    said = "compare=hydra,lora: methods=hydra leaves the runs of 'lora' out; what is left is hydra"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "idle"),
    [
        (["table=4", "runs=/nope"], ["runs"]),
        (["table=14", "protocol=official", "runs=/nope"], ["runs", "protocol"]),
        (["table=12", "protocol=official"], []),
    ],
)
def test_keys_that_a_table_does_not_go_by_are_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    idle: list[str],
) -> None:
    assert call(monkeypatch, *words, f"out={tmp_path}") == 0
    number = words[0].removeprefix("table=")
    told = [f"note: table {number} does not go by {key}=, which changes nothing." for key in idle]
    assert capsys.readouterr().err.splitlines() == told


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["accuracy.md", "accuracy.csv"]),
        (["table=12", "format=csv", "name=labels"], ["labels.csv"]),
    ],
)
def test_no_table_becomes_a_file_of_the_data(
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    names: list[str],
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(
        tables, "check_spares_data", lambda files, *places: asked.extend([*files, *places])
    )
    assert call(monkeypatch, *words, f"runs={runs}", f"out={tmp_path}") == 0
    assert asked == [*(tmp_path / name for name in names), runs]
