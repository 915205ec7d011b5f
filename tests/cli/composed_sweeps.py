"""Sweeps composed for tests, and single jobs as Hydra composes each from the start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hydra_peft.cli import train
from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError


@contextmanager
def master(conf: Path, *words: str) -> Iterator[tuple[DictConfig, ConfigLoader]]:
    train.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield loader.load_configuration("train", list(words), RunMode.MULTIRUN), loader


def from_scratch(config: DictConfig, loader: ConfigLoader, job: tuple[str, ...]) -> Any:
    """Return the typed config, or the sentence why there is none."""
    try:
        whole = loader.load_sweep_config(config, list(job))
        composed = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
        return check_config(composed)
    except UserError as error:
        return str(error)
    except COMPOSITION_ERRORS as error:
        return one_sentence(error)
