"""A method and a metric of another package: trained, scored again, tabulated, missed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from plugin_package import importable
from torch import nn

import hydra_peft
from hydra_peft.cli import evaluate, tables
from hydra_peft.errors import UserError

Cli = Callable[..., tuple[int, str, str]]
METRICS = "+dataset.metrics=[accuracy,mean_per_class,balanced_error]"


def call(main: Callable[[], int], monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["script", *words])
    return main()


def test_an_installed_package_goes_the_whole_way_and_is_missed_by_name(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with importable(tmp_path / "site", installed=True):
        assert cli("method=gain", METRICS)[0] == 0
        (path,) = tmp_path.glob("runs/**/result.json")
        record = json.loads(path.read_text())
        assert {key: told["module"] for key, told in record["science"]["plugins"].items()} == {
            "method": "peft_gain.gain",
            "metric balanced_error": "peft_gain.balanced_error",
        }
        scores = record["scores"]["test"]
        assert scores["balanced_error"] == pytest.approx(100 - scores["mean_per_class"])
        words = (f"run={path.parent}", f"cache={tmp_path / 'cache'}", "device=cpu")
        assert call(evaluate.main, monkeypatch, *words) == 0
        folders = (f"runs={tmp_path / 'runs'}", f"out={tmp_path / 'out'}")
        capfd.readouterr()
        assert call(tables.main, monkeypatch, *folders) == 0
        assert "| gain " in capfd.readouterr().out
    assert call(evaluate.main, monkeypatch, *words) == 2
    said = capfd.readouterr().err
    assert (
        "has its method from peft_gain.gain (peft-gain 0.1.0), which this Python does not" in said
    )


def test_a_module_of_ones_own_is_named_for_each_command_and_never_by_a_run(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with importable(tmp_path / "site", installed=False) as conf:
        own = "plugins=[peft_gain.gain]"
        assert cli(own, f"--config-dir={conf}", "method=gain")[0] == 0
        (path,) = tmp_path.glob("runs/**/result.json")
        words = (f"run={path.parent}", f"cache={tmp_path / 'cache'}", "device=cpu")
        assert call(evaluate.main, monkeypatch, *words, own) == 0
    with importable(tmp_path / "again", installed=False):
        assert "peft_gain.gain" not in sys.modules
        assert call(evaluate.main, monkeypatch, *words) == 2
        named = "which a run's folder may not load: give plugins=[peft_gain.gain], if you trust"
        said = f"has its method from peft_gain.gain, {named}"
        assert f"the run in {path.parent} {said}" in capfd.readouterr().err
        with pytest.raises(UserError, match=r"in Python: .*use\(\['peft_gain\.gain'\]\)"):
            hydra_peft.load_run(path.parent)
        with pytest.raises(
            UserError, match=r"method 'gain' is unknown: .*load_adapter\(.*method=<the class>"
        ):
            hydra_peft.load_adapter(nn.Linear(2, 2), path.parent)
        code, _, err = cli(f"init_from={path.parent}", "method=lora")
        assert (code, said in err) == (2, True)
        assert "peft_gain" not in sys.modules
        other = tmp_path / "again" / "peft_gain" / "gain.py"
        other.write_text(other.read_text() + "# changed\n")
        assert call(evaluate.main, monkeypatch, *words, own) == 2
        assert "here that module is another one" in capfd.readouterr().err


@pytest.mark.parametrize("value", ["peft_gain", "[a b]", "[1]", "['../x']"])
def test_what_names_no_modules_is_refused(cli: Cli, value: str) -> None:
    code, _, err = cli(f"plugins={value}")
    assert code == 2
    assert "it must be a list of names of modules" in err
