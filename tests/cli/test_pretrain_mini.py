"""``scripts/pretrain_mini.py``: its options, and what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydra_peft.cli.pretrain_mini import main, parse_options, parse_text_options
from hydra_peft.errors import UserError
from hydra_peft.workshop.pretraining.options import ClipOptions, PretrainOptions
from hydra_peft.workshop.pretraining_text.options import TextOptions


def test_defaults_are_those_of_the_options() -> None:
    options = parse_options([])
    assert options == PretrainOptions(output=options.output)
    assert options.output.parts[-3:] == ("hydra_peft", "assets", "vit_mini.safetensors")
    clip = parse_options(["clip", "--steps", "9"])
    assert clip == ClipOptions(output=clip.output, steps=9)
    assert clip.output.name == "clip_mini.safetensors"


def test_every_setting_can_be_given(tmp_path: Path) -> None:
    line = f"--output {tmp_path / 'w'} --steps 7 --seed 3 --threads 1"
    line += " --ramp 0.25 --save-every 2 --learning-rate 0.01"
    given = parse_options(line.split())
    assert given == PretrainOptions(
        tmp_path / "w", steps=7, seed=3, threads=1, ramp=0.25, save_every=2, learning_rate=0.01
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--steps", "0"], "steps, batch_size, threads and report_every must be at least 1"),
        (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["--ramp", "2"], "ramp must be between 0 and 1, got 2.0"),
        (["--stps", "2"], "unrecognized arguments: --stps 2"),
        (["clip", "--ramp", "1"], "--ramp is for vit, whose scenes grow harder"),
        (["bert"], "'bert' is no embedded model: choose one of vit, clip"),
    ],
)
def test_wrong_settings_end_with_a_message(wrong: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_options(wrong)


def test_a_run_prints_the_source_accuracy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "w.safetensors"
    arguments = ["pretrain_mini.py", "--output", str(path), "--steps", "2", "--batch-size", "4"]
    monkeypatch.setattr("sys.argv", [*arguments, "--warmup-steps", "1", "--threads", "1"])
    assert main() == 0
    assert path.is_file()
    assert "source accuracy" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [arguments[0], "clip", *arguments[1:], "--report-every", "9"])
    assert main() == 0
    assert "own caption nearest" in capsys.readouterr().out
    assert (tmp_path / "w_words.txt").is_file()


def test_texts_have_options_of_their_own(tmp_path: Path) -> None:
    line = f"--source {tmp_path} --output {tmp_path / 'w'} --epochs 7 --seed 3 --batch-size 8"
    given = parse_text_options(line.split())
    assert given == TextOptions(tmp_path, tmp_path / "w", epochs=7, seed=3, batch_size=8)
    assert parse_text_options([]).output.parts[-3:] == ("data", "weights", "roberta_mini")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--epochs", "0"], "epochs, batch_size and report_every must be at least 1"),
        (["--learning-rate", "-1"], "learning_rate must be positive"),
        (["--steps", "2"], "unrecognized arguments: --steps 2"),
    ],
)
def test_wrong_settings_of_texts_end_with_a_message(wrong: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_text_options(wrong)
