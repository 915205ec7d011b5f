"""What tests compose from memory is what Hydra composes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from hydra_peft.cli.train import register


def compose(conf: Path, *words: str) -> str:
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        return OmegaConf.to_yaml(loader.load_configuration("train", list(words), RunMode.RUN))


@pytest.fixture
def conf(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root / "conf", tmp_path / "conf"))


def test_values_and_options_chosen_before_leave_nothing_behind(conf: Path) -> None:
    words = [
        ("dataset=dtd", "method=lora", "method.rank=3", "seed=1"),
        ("dataset=dtd", "method=lora", "seed=2", "+train.extra={a:1}"),
        ("method=hydra", "dataset=svhn", "hydra.job.name=x"),
    ]
    fresh = [compose(conf, *some) for some in words]
    assert "rank: 3" in fresh[0]
    assert "extra:" in fresh[1]
    assert "rank: 3" not in fresh[1]
    # In another order, and with all of it in memory.
    assert [compose(conf, *some) for some in reversed(words)] == fresh[::-1]


def test_a_yaml_that_changed_is_read_again(conf: Path) -> None:
    before = compose(conf, "method=lora")
    file = conf / "method/lora.yaml"
    file.write_text(f"{file.read_text()}\nadded: 1\n")
    assert "added: 1" in compose(conf, "method=lora")
    file.write_text(file.read_text().replace("added: 1", ""))
    (conf / "method/own.yaml").write_text("defaults: [lora]\nadded: 2\n")
    assert "added: 2" in compose(conf, "method=own")
    assert compose(conf, "method=lora").replace(" ", "") == before.replace(" ", "")
