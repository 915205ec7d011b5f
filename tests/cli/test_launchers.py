"""What the command line says of a launcher that it cannot have."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["device=auto", "launcher.gpus=[7]"], "launcher.gpus names GPU 7, but "),
        (["launcher.gpus=most"], "launcher.gpus=most is not allowed: it must be all or a list"),
        (["launcher.slots=2"], "unknown key 'launcher.slots'"),
        (["launcher.cpu_slots=0"], "launcher.cpu_slots=0 is not allowed"),
    ],
)
def test_mistakes_are_one_sentence_and_start_nothing(
    cli: Cli, tmp_path: Path, words: list[str], message: str
) -> None:
    slots = [] if "launcher.cpu_slots=0" in words else ["launcher.cpu_slots=2"]
    local = ["-m", "method=linear", "hydra/launcher=local", *slots]
    code, out, err = cli(*local, "seed=0,1", *words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert not list(tmp_path.glob("runs/**/result.json"))


@pytest.mark.parametrize(
    ("word", "added"),
    [
        ("hydra/launcher=local", "-m, "),
        ("hydra.sweeper.max_batch_size=2", "-m, "),
        ("+hydra.sweeper.params.seed='0,1'", "-m, "),
        ("+hydra.launcher.x=1", "-m, "),
        ("launcher.gpus=[0]", "-m hydra/launcher=local, "),
        ("launcher.pack=3", "-m hydra/launcher=packed, "),
    ],
)
def test_a_run_by_itself_is_asked_for_nothing_of_a_sweep(
    cli: Cli, tmp_path: Path, word: str, added: str
) -> None:
    code, out, err = cli(word, "sweep.dry_run=true")
    assert (code, out) == (2, "")
    assert f"'{word}' is for sweeps, and does nothing for a run by itself: add {added}" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["launcher=packed"], "started is chosen as -m hydra/launcher=packed."),
        (["-m", "launcher=packed"], "started is chosen as hydra/launcher=packed."),
        (["launcher=null"], "chosen as -m hydra/launcher=<name>."),
        (["-m", "+launcher=local,packed"], "chosen as hydra/launcher=<name>."),
        (["hydra/sweeper=basic"], "leave hydra/sweeper out"),
        (
            ["-m", "launcher.pack=3"],
            "'launcher.pack=3' does nothing for hydra/launcher=sequential: choose "
            "hydra/launcher=packed",
        ),
        (["-m", "hydra/launcher=local", "launcher.cpus=2,3"], "choose hydra/launcher=ray, which"),
        (["-m", "+hydra.launcher.n=3"], "launcher chosen does not take '+hydra.launcher.n"),
        (["-m", "+hydra.sweeper.n=3"], "sweeper chosen does not take 'hydra.sweeper.n': "),
    ],
)
def test_no_advice_is_refused_when_it_is_followed(
    cli: Cli, tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = cli(*words, "sweep.dry_run=true")
    assert (code, out) == (2, "")
    assert message in err
    assert "add -m" not in err
    assert not list(tmp_path.iterdir())


def test_jobs_that_are_not_packed_are_named_by_what_differs(cli: Cli) -> None:
    words = ("-m", "hydra/launcher=packed", "method=linear,lora", "seed=0,1")
    code, out, err = cli(*words, "sweep.dry_run=true")
    assert (code, err) == (0, "")
    line = out.splitlines()[-1]
    assert line.startswith("2 of 4 jobs share their steps: ")
    assert "; alone: method=linear seed=0, method=linear seed=1 (linear trains " in line


@pytest.mark.parametrize(
    "words",
    [
        ["+experiment=own"],
        ["-m", "hydra/launcher=local", "launcher.cpu_slots=1"],
        ["-m", "launcher.pack=auto", "launcher.gpu_fraction=1"],
        ["hydra.mode=MULTIRUN", "hydra.sweeper.max_batch_size=2"],
    ],
)
def test_what_a_preset_or_a_sweep_has_of_it_is_fine(
    cli: Cli, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(
        "# @package _global_\nlauncher: {cpu_slots: 1}\n"
        "hydra: {sweeper: {params: {seed: '0,1'}}, sweep: {dir: x}}\n"
    )
    code, out, err = cli(f"--config-dir={tmp_path}", *words, "method=linear", "sweep.dry_run=true")
    is_single = words == ["+experiment=own"]
    assert code == 0
    assert err == "note: the preset has a sweep, and this is one run: add -m for it.\n" * is_single
    assert out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-m"], "jobs for a cluster are planned here, where nobody can see what its nodes have"),
        (["-m", "launcher.gpu_fraction=2"], "launcher.gpu_fraction=2.0 is not allowed"),
        (["-m", "device=cpu", "precision=fp32"], "needs the package ray, which cannot be imported"),
        ([], "hydra/launcher=ray is for sweeps, and this run would run here: add -m"),
    ],
)
def test_ray_is_asked_for_in_sentences(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, out, err = cli(*words, "method=linear", "hydra/launcher=ray")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not list(tmp_path.glob("runs/**/*.json"))
