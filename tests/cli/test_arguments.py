"""``key=value`` words of scripts that need no Hydra, as typed settings."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from hydra_peft.cli import (
    check_data,
    evaluate,
    figures,
    predict,
    report,
    status,
    tables,
    train,
)
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.errors import UserError
from hydra_peft.limits import Limits
from hydra_peft.workshop.timing.settings import SETTINGS


@dataclass(frozen=True)
class Settings:
    """Settings of a made-up suite."""

    repeats: int = 5
    sizes: tuple[Annotated[int, Limits(most=99)], ...] = (16, 64)
    runs: str = "results"
    name: str = ""
    form: Literal["", "a", "b"] = ""


def test_whole_numbers() -> None:
    assert parse_arguments(Settings, ["repeats=03", "sizes=1,20"], "") == Settings(3, (1, 20))


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "²", "٣", "1,", "9" * 5000, "9" * 19, "1_000"])
def test_what_is_no_positive_whole_number_is_told(text: str) -> None:
    for key in ("repeats", "sizes"):
        with pytest.raises(UserError, match=f"^{key}=.* is not allowed: it must be .*positive"):
            parse_arguments(Settings, [f"{key}={text}"], "")


def test_no_size_is_given_twice() -> None:
    with pytest.raises(UserError, match="sizes names '1' twice: leave one"):
        parse_arguments(Settings, ["sizes=1,2,1"], "")


def test_numbers_may_have_limits() -> None:
    with pytest.raises(
        UserError, match=r"^sizes\[1\]=100 is not allowed: it must be at most 99\.$"
    ):
        parse_arguments(Settings, ["sizes=1,100"], "")


@pytest.mark.parametrize(
    ("main", "word", "same"),
    [
        (status.main, "paths.runs=/some place", "'runs=/some place'"),
        (tables.main, "paths.runs=/x", "runs=/x"),
        (tables.main, "dataset=mini/digits,dtd", "tasks=digits,dtd"),
        (tables.main, "method=[lora,hydra]", "'methods=[lora,hydra]'"),
        (tables.main, "--config-dir=my", "config_dir=my"),
        (report.main, "paths.runs=/x", "runs=/x"),
        (figures.main, "paths.cache=/x", None),
        (evaluate.main, "paths.data=/x", "data=/x"),
        (evaluate.main, "paths.cache=/x", "cache=/x"),
        (evaluate.main, "paths.runs=/x", None),
        (predict.main, "model.checkpoint=/x", "checkpoint=/x"),
    ],
)
def test_what_train_calls_otherwise_is_told(
    main: Callable[[], int],
    word: str,
    same: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["script", word])
    assert main() == 2
    key, said = word.partition("=")[0], capsys.readouterr().err
    told = f"error: unknown key '{key}': it is of train.py, type {same} here.\n"
    assert said == told if same else said.startswith(f"error: unknown key '{key}'; known: ")


@pytest.mark.parametrize("suite", SETTINGS)
def test_sizes_of_measurements_are_bounded(suite: str) -> None:
    """Before a hundred thousand programs are started, or as many gigabytes written."""
    for field in dataclasses.fields(SETTINGS[suite]):
        if isinstance(field.default, int | tuple) and not isinstance(field.default, bool):
            with pytest.raises(UserError, match=rf"^{field.name}.* is not allowed: .*at most "):
                parse_arguments(SETTINGS[suite], [f"{field.name}=999999999"], "")


def test_an_address_is_no_path() -> None:
    with pytest.raises(UserError, match=r"'s3://bucket/x' is an address, .*: give its path"):
        parse_arguments(Settings, ["runs=s3://bucket/x"], "")


def test_a_choice_is_told_without_the_empty_one() -> None:
    with pytest.raises(UserError, match="form=x is not allowed: it must be a or b"):
        parse_arguments(Settings, ["form=x"], "")


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("runs", "leave it out for runs=results, or give one"),
        ("name", "leave it out, or give one"),
        ("form", "leave it out, or give one"),
        ("repeats", "leave it out, or give one"),
    ],
)
def test_an_empty_value_is_no_default(key: str, advice: str) -> None:
    with pytest.raises(UserError, match=rf"^{key}= has no value: {advice}\.$"):
        parse_arguments(Settings, [f"{key}="], "")


@pytest.mark.parametrize("name", ["lora-r=4-seed0", "runs"])
def test_a_folder_without_its_key_is_told_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    with pytest.raises(UserError, match=f"^cannot understand '{name}': .*, type runs={name}.$"):
        parse_arguments(Settings, [name], "")
    for usage, needs in (("", "a command of its own"), ("runs=<folder>[,", "a comma before it")):
        with pytest.raises(UserError, match=f"^cannot understand '{name}': runs is .* {needs}.$"):
            parse_arguments(Settings, ["runs=x", name], usage)


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["runs:x"], "'runs:x': expected key=value (did you mean runs=x?), see --help."),
        (["rnus: x y"], "(did you mean 'runs=x y'?), see --help."),
        (
            ["repeats:", "5"],
            "'repeats:': a shell parts words at blanks: without them it is repeats=5.",
        ),
        (
            ["repeats", "5"],
            "'repeats': a shell parts words at blanks: without them it is repeats=5.",
        ),
        (["repeats", "runs"], "'repeats': expected key=value, such as repeats=..., see --help."),
        (["x", "y"], "'x': expected key=value, see --help."),
        (["runs=", "x"], "'x': a shell parts words at blanks: without them it is runs=x."),
        (["name=a", "runs", "=", "x"], "'runs': a shell parts words at blanks: without them it is"),
        (
            ["sizes=1,", "2", "name=a"],
            "'2': a shell parts words at blanks: without them it is size",
        ),
    ],
)
def test_a_key_that_is_parted_from_its_value(words: list[str], advice: str) -> None:
    with pytest.raises(UserError, match=r"^cannot understand") as caught:
        parse_arguments(Settings, words, "")
    assert advice in str(caught.value)


def test_a_key_is_given_once() -> None:
    twice = r"^repeats is given twice, as 'repeats=2' and as 'repeats=1': leave one of them out\.$"
    with pytest.raises(UserError, match=twice):
        parse_arguments(Settings, ["repeats=2", "name=a", "repeats=1"], "")


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "method=lora", "method=hydra"],
        ["++train.epochs=1", "train.epochs=2", "--multirun"],
        ["hydra/launcher=local", "-m", "hydra/launcher=basic"],
    ],
)
def test_a_key_of_a_sweep_is_given_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["train.py", *words])
    assert train.main() == 2
    assert " is given twice, as " in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["check_data.py", "dataset=folder", *["dataset.root=/a"] * 2])
    assert check_data.main() == 2
    assert "dataset.root is given twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    "script", ["check_data", "evaluate", "export", "predict", "report", "tables"]
)
def test_documented_commands_have_known_keys(root: Path, script: str) -> None:
    arguments = importlib.import_module(f"hydra_peft.cli.{script}").Arguments
    known = {field.name for field in dataclasses.fields(arguments)}
    texts = [file.read_text() for file in (root / "README.md", *root.glob("docs/*.md"))]
    commands = [c for text in texts for c in re.findall(rf"scripts/{script}\.py ([^#`\n]*)", text)]
    assert commands
    for command in commands:
        keys = re.findall(r"'?([^\s'=\[]+)=", command)
        # One's own data is chosen by keys of the config.
        assert "dataset" in keys or set(keys) <= known, command
