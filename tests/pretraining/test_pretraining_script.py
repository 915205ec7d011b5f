from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from hydra_peft.pretraining.train import PretrainOptions

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "pretrain_mini.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pretrain_mini_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_defaults_are_those_of_the_options(script: ModuleType) -> None:
    options = script.parse_options([])
    assert options == PretrainOptions(output=options.output)
    assert options.output.parts[-3:] == ("hydra_peft", "assets", "vit_mini.safetensors")


def test_every_setting_can_be_given(script: ModuleType, tmp_path: Path) -> None:
    line = f"--output {tmp_path / 'w'} --steps 7 --seed 3 --threads 1"
    line += " --ramp 0.25 --save-every 2 --learning-rate 0.01"
    given = script.parse_options(line.split())
    assert given == PretrainOptions(
        tmp_path / "w", steps=7, seed=3, threads=1, ramp=0.25, save_every=2, learning_rate=0.01
    )


@pytest.mark.parametrize("wrong", [["--steps", "0"], ["--steps", "many"], ["--ramp", "2"]])
def test_wrong_settings_end_with_a_message(
    script: ModuleType, wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        script.parse_options(wrong)
    assert "error:" in capsys.readouterr().err


def test_a_run_prints_the_source_accuracy(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "w.safetensors"
    arguments = ["pretrain_mini.py", "--output", str(path), "--steps", "2", "--batch-size", "4"]
    monkeypatch.setattr("sys.argv", [*arguments, "--warmup-steps", "1", "--threads", "1"])
    script.main()
    assert path.is_file()
    assert "source accuracy" in capsys.readouterr().out
