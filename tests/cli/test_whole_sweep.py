"""Words that the config of a sweep as a whole has no place for, and its jobs have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_package import importable

Cli = Callable[..., tuple[int, str, str]]
DRY = "sweep.dry_run=true"


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["method=adapter,adapter_plus", "method.activation=relu"], 2),
        (["method=lora,lora_qkv", "method.parts=[]"], 2),
        (["optimizer=sgd,sgd", "optimizer.momentum=0.5", "optimizer.lr=1"], 2),
        (["+experiment=branches", "method.parallel=lora"], 1),
    ],
)
def test_a_word_about_what_the_jobs_choose_is_theirs(
    cli: Cli, tmp_path: Path, words: list[str], count: int
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "branches.yaml").write_text(
        "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {method: branches, "
        "method.parallel: 'lora,adapter', method.sequential: seqlora}}}\n"
    )
    code, out, err = cli("-m", f"--config-dir={tmp_path}", *words, DRY)
    assert (code, err) == (0, "")
    assert f"\n{count} job" in out


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train.nope=1", "error: unknown key 'train.nope'; known here: "),
        ("method.activation=relu", "unknown key 'method.activation': it is of method=adapter,"),
        ("method.activatoin=relu", "unknown key 'method.activatoin' (did you mean 'activation'?)"),
        ("hydra.nope=1", "error: Hydra has no key 'hydra.nope'"),
        ("+seed=3", "error: seed has a value, which is changed without a plus: type seed=3."),
    ],
)
def test_what_no_job_has_is_told(cli: Cli, word: str, said: str) -> None:
    code, out, err = cli("-m", "method=adapter,lora", word)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_keys_are_those_of_what_a_preset_chooses(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults: [{override /method: branches}]\n"
        "method: {parallel: lora, sequential: seqlora}\n"
    )
    code, _, err = cli(f"--config-dir={tmp_path}", "+experiment=own", "method.rank=8")
    assert code == 2
    assert "known here: name, recipe, parallel, sequential, parallel_options, seq" in err


def test_an_option_of_ones_own_method_is_left_to_the_jobs(cli: Cli, tmp_path: Path) -> None:
    with importable(tmp_path / "site", installed=False) as conf:
        (conf / "method" / "same.yaml").write_text("defaults: [gain, _self_]\n")
        words = [f"--config-dir={conf}", "plugins=[peft_gain.gain]", "method=gain,same"]
        code, out, err = cli("-m", *words, "method.targets=[mlp.fc1]", DRY)
        assert (code, err) == (0, "")
        assert "2 jobs" in out
        code, _, err = cli("-m", *words, "method.tragets=[mlp.fc1]")
        assert code == 2
        assert "unknown key 'method.tragets' (did you mean 'targets'?)" in err
