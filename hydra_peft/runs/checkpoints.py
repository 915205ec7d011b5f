"""Checkpoints of an unfinished run on disk: written whole, believed only after a check."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hydra_peft.adaptation.fingerprint import weights_hash
from hydra_peft.config.grid import dotted
from hydra_peft.errors import UserError
from hydra_peft.files import own_folder
from hydra_peft.tensor_files import MAX_HEADER_BYTES, read_tensors_and_metadata, write_tensors

FOLDER = "checkpoints"
FORMAT = 1
KEPT = 2

log = logging.getLogger("hydra_peft")


@dataclass(frozen=True)
class Origin:
    """Origin of a checkpoint: config, data and code; another origin is not resumed from.

    Attributes:
        config_id: the run's science.
        weights: sha256 of the backbone's weights.
        data: sha256 of the splits.
        torch: major and minor version, since others may compute other bits.
        chosen: hyper-parameters that tuning chose, which the config_id leaves open.
    """

    config_id: str
    weights: str
    data: str
    torch: str
    chosen: dict[str, Any] = dataclasses.field(default_factory=dict)


#: raises UserError for a state that does not fit
Check = Callable[[Mapping[str, Tensor], Mapping[str, Any]], None]


class Checkpoints:
    """The checkpoints of one run: ``<run folder>/checkpoints/step-<global step>.safetensors``.

    A file holds tensors, and in its header facts as json with a sha256 over them and one over the
    tensors. The last two are kept.

    Args:
        folder: the run's folder.
        origin: what they belong to.
    """

    def __init__(self, folder: Path, origin: Origin) -> None:
        self.folder = folder / FOLDER
        self.origin = origin
        if os.path.lexists(self.folder):
            own_folder(self.folder)
        for temporary in self.folder.glob(".step-*"):
            temporary.unlink(missing_ok=True)  # of a process that was killed while it wrote
        for path in self.folder.glob("step-*"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)  # whose name no checkpoint could take

    def write(self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write the state after the global ``step``; remove all but this and the one before.

        Raises:
            OSError: the disk is full or the folder not writable.
        """
        content = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
        text = json.dumps(
            {
                "format": FORMAT,
                "origin": dataclasses.asdict(self.origin),
                "step": step,
                "tensors": weights_hash(content),
                "facts": facts,
            },
            allow_nan=False,
        )
        path = self.folder / f"step-{step:08d}.safetensors"
        write_tensors(path, content, {"state": text, "sha256": _sha256(text)})
        files = _files(self.folder)
        kept = [number for number in sorted(files) if number <= step][-KEPT:]
        for number, file in files.items():
            if number not in kept:
                file.unlink(missing_ok=True)

    def newest(
        self, check: Check, max_bytes: int
    ) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        """Return step, tensors and facts of the newest good checkpoint, None without one.

        What is truncated, edited, of another origin or format, or refused by ``check`` is passed
        over with a warning, and another says how far training goes back.

        Args:
            max_bytes: what no file of this run can exceed; a larger one is not opened.
        """
        passed = False
        for step, path in sorted(_named(self.folder).items(), reverse=True):
            try:
                tensors, facts = self._read(path, step, max_bytes)
                check(tensors, facts)
            except UserError as error:
                said = str(error).removeprefix(f"cannot read {path}: ")
                log.warning("%s is not resumed from: %s", path, said)
                passed = True
                continue
            if passed:
                log.warning("training goes back to step %d", step)
            return step, tensors, facts
        if passed:
            log.warning("no checkpoint in %s can be used: training starts anew", self.folder)
        return None

    def remove(self) -> None:
        """Remove all checkpoints: the run is complete, or starts anew."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(
        self, path: Path, step: int, max_bytes: int
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if not _is_own(path):
            raise UserError("it is a link or no ordinary file.")
        _check_size(path, max_bytes)
        tensors, metadata = read_tensors_and_metadata(path)
        text = metadata.get("state", "")
        if metadata.get("sha256") != _sha256(text):
            raise UserError("its description does not have the hash that it states.")
        try:
            state = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise UserError("its description is not json.") from None
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise UserError(f"it is not of format {FORMAT}.")
        expected = dataclasses.asdict(self.origin)
        origin = state.get("origin")
        if isinstance(origin, dict) and isinstance(origin.get("chosen"), dict):
            origin = {
                **origin,
                "chosen": dotted(origin["chosen"]),
            }  # older code: lr, scale, dropout
        if origin != expected:
            names = {"config_id": "another run", "weights": "other weights", "data": "other data"}
            names |= {"torch": "another version of torch", "chosen": "another choice by tuning"}
            differs = origin if isinstance(origin, dict) else {}
            what = [text for key, text in names.items() if differs.get(key) != expected[key]]
            raise UserError(f"it is of {', '.join(what) or 'another run'}.")
        if state.get("step") != step or state.get("tensors") != weights_hash(tensors):
            raise UserError("its tensors do not have the hash that it states, or its name another.")
        facts = state.get("facts")
        if not isinstance(facts, dict):
            raise UserError("it holds no facts.")
        return tensors, facts


def checkpoints_exist(folder: Path) -> bool:
    """Whether the run's ``folder`` holds any checkpoint, good or not."""
    return bool(_files(folder / FOLDER))


def _files(folder: Path) -> dict[int, Path]:
    return {step: path for step, path in _named(folder).items() if _is_own(path)}


def _is_own(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _named(folder: Path) -> dict[int, Path]:
    """Return by step what is called as a checkpoint, whatever it is."""
    found: dict[int, Path] = {}
    if folder.is_symlink():
        return found
    for path in folder.glob("step-*.safetensors"):
        named = re.fullmatch(r"step-(\d{8,12})\.safetensors", path.name)
        if named is not None:
            found[int(named[1])] = path
    return found


def _check_size(path: Path, max_bytes: int) -> None:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"it cannot be read ({error.strerror}).") from None
    if size > max_bytes + MAX_HEADER_BYTES:
        raise UserError(f"its {size} bytes are not a checkpoint.")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(constant)
