"""Commands that compose twice, and those that need not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra._internal.hydra import Hydra

from hydra_peft.checkout import CONF

Cli = Callable[..., tuple[int, str, str]]


def test_of_the_groups_presets_alone_set_a_mode() -> None:
    setting = set()
    for path in CONF.rglob("*.yaml"):
        node = yaml.safe_load(path.read_text()).get("hydra")
        if node is not None and "mode" in node:
            setting.add(path.parent.name)
    assert setting == {"experiment"}


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["train.epochs=0.5"], False),
        (["-m", "train.epochs=0.5"], False),
        (["+experiment=demo", "train.epochs=0.5"], True),
        (["hydra.mode=MULTIRUN", "train.epochs=0.5"], True),
    ],
)
def test_the_config_is_composed_twice_only_where_it_must(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, words: list[str], asked: bool
) -> None:
    original, answers = Hydra.get_mode, []

    @functools.wraps(original)
    def get_mode(*arguments: Any, **options: Any) -> Any:
        answers.append(original(*arguments, **options))
        return answers[-1]

    monkeypatch.setattr(Hydra, "get_mode", get_mode)
    code, out, err = cli(*words)
    assert (code, out) == (2, "")  # half an epoch is none
    assert "train.epochs" in err
    assert bool(answers) is asked
    assert Hydra.get_mode is get_mode


def test_a_preset_of_ones_own_is_a_sweep_too(cli: Cli, tmp_path: Path) -> None:
    group = tmp_path / "own" / "experiment"
    group.mkdir(parents=True)
    (group / "twice.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '0,1'}}}\n"
    )
    code, out, _ = cli(f"--config-dir={tmp_path}/own", "+experiment=twice", "sweep.dry_run=true")
    assert code == 0
    assert "2 jobs" in out


def test_a_preset_that_says_no_mode_is_one_run_without_m(cli: Cli, tmp_path: Path) -> None:
    group = tmp_path / "own" / "experiment"
    group.mkdir(parents=True)
    (group / "twice.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {seed: '0,1'}}}\n"
    )
    words = (f"--config-dir={tmp_path}/own", "+experiment=twice", "sweep.dry_run=true")
    code, out, err = cli(*words)
    assert (code, err) == (0, "note: the preset has a sweep, and this is one run: add -m for it.\n")
    assert "1 job" in out
    code, out, err = cli("-m", *words)
    assert (code, err) == (0, "")
    assert "2 jobs" in out
