"""Saved adapters where the weights of a backbone are expected; no torch."""

from __future__ import annotations

import os
from pathlib import Path

from hydra_peft.errors import UserError

#: what says that a folder has an adapter, ours or peft's, with the files beside it that hold it
_OURS = "adapter.json"
_ADAPTERS = {
    _OURS: ("adapter.safetensors",),
    "adapter_config.json": ("adapter_model.safetensors", "adapter_model.bin"),
}
#: what a run's folder has beside its adapter
_RECORD = "result.json"


def check_no_adapter(path: Path, weights: str) -> None:
    """Check that ``model.checkpoint`` is no adapter, neither its folder nor a file of it.

    Args:
        path: what the key names; it need not be there.
        weights: the file that makes a folder one of a whole model, whatever else lies in it.

    Raises:
        UserError: it is one.
    """
    folder = path if os.path.isdir(path) else path.parent
    for config, tensors in _ADAPTERS.items():
        meant = path.name in (config, *tensors)
        if os.path.isdir(path):
            meant = not os.path.isfile(path / weights)
        if meant and os.path.isfile(folder / config):
            raise UserError(
                f"model.checkpoint={path} is an adapter ({config}), and no weights of a backbone: "
                f"{_taken_by(folder, config)}; set model.checkpoint to the weights of the backbone "
                "that it was trained on."
            )


def _taken_by(folder: Path, config: str) -> str:
    """Return what takes the adapter in ``folder``: a run starts from another run's or peft's."""
    if config == _OURS and not os.path.isfile(folder / _RECORD):
        return (
            f"hydra_peft.load_adapter(model, '{folder}') takes it, and train.py that of a whole "
            "run, init_from=<the run's folder>"
        )
    return f"train.py takes it as init_from={folder}"
