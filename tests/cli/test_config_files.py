"""Presets that are none, and defaults lists that choose nothing, are named by their file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra._internal.sources_registry import SourcesRegistry

from hydra_peft.checkout import CONF
from hydra_peft.cli.parsed_once import parse_once
from hydra_peft.errors import UserError

HEADER = "# @package _global_\n"


def load(folder: Path, name: str) -> None:
    """Read a yaml file below ``folder`` as Hydra does."""
    parse_once()
    source = SourcesRegistry.instance().resolve("file")
    source(provider="test", path=str(folder)).load_config(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"x\.yaml is empty: a preset begins with the line '# @package _global_'"),
        ("seed: 1\n", r"x\.yaml does not begin with the line"),
        ("# @package _globl_\nseed: 1\n", r"x\.yaml does not begin with the line"),
        (f"{HEADER}hydra:\n", r"x\.yaml: hydra has nothing below it: leave that line out too"),
        (f"{HEADER}hydra:\n  sweeper:\n", r"x\.yaml: hydra\.sweeper has nothing below it"),
        ("defaults: lora", r"x\.yaml: defaults must be a list"),
        ("defaults: {override /method: lora}", r"x\.yaml: defaults must be a list"),
        ("defaults: [override /method: [lora]]", r"not a list: 'override /method: lora'"),
        ("defaults: [override /method: []]", r"not a list: 'override /method: <option>'"),
        ("defaults: [override method: lora]", r"begins with a slash: 'override /method: lora'"),
        ("defaults: [override /method: {lora: 1}]", r"a default is '- <file>' or"),
        ("defaults: [[lora]]", r"a default is '- <file>' or"),
        ("defaults: [3]", r"defaults has 3: a default is"),
    ],
)
def test_a_preset_that_hydra_would_take_wrongly(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "x.yaml"
    file.write_text(HEADER + text if text.startswith("defaults") else text)
    for _ in range(2):  # Hydra looks a second time where a first look failed
        with pytest.raises(UserError, match=expected):
            load(tmp_path, "experiment/x")


def test_a_list_is_no_option(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("- a\n")
    with pytest.raises(UserError, match=r"x\.yaml is a list where a mapping of keys to values"):
        load(tmp_path, "x")


def test_every_yaml_file_of_ours_passes(tmp_path: Path) -> None:
    for file in CONF.rglob("*.yaml"):
        load(CONF, str(file.relative_to(CONF).with_suffix("")))
    (tmp_path / "experiment").mkdir()
    text = HEADER + "defaults: [override /logger: [csv, tensorboard], /hydra/help: x, _self_]\n"
    (tmp_path / "experiment" / "x.yaml").write_text(text)
    load(tmp_path, "experiment/x")
