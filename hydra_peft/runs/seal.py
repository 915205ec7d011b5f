"""Seal of a run's record: hashes by which a record or config that was edited later is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.files import content_of
from hydra_peft.runs.config_file import CONFIG, MAX_CONFIG_BYTES, not_its_config

#: key of a record's file; records of older code have none
SEAL = "seal"


def seal(values: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the sha256 of a record's ``values``, and of the ``config.yaml`` in ``folder``.

    It finds mistakes and edits by hand; who computes it anew can state what he likes.
    """
    config = content_of(folder / CONFIG, MAX_CONFIG_BYTES)
    return {
        "record": _hash(json.dumps(json.loads(json.dumps(values)), sort_keys=True).encode()),
        "config": "" if config is None else _hash(config),
    }


def broken(given: object, values: Mapping[str, Any], path: Path) -> list[str]:
    """Return a sentence for the record in ``path``, and its config, where it was edited.

    A config that is missing says nothing: records are copied without it, too.
    """
    stated = given if isinstance(given, dict) else {}
    try:
        found = seal(values, path.parent)
    except UserError as error:
        return [str(error)]
    sentences = []
    if stated.get("record") != found["record"]:
        sentences.append(f"{path} is not as its run wrote it: edited?")
    if found["config"] and stated.get("config") not in ("", found["config"]):
        sentences.append(not_its_config(path.parent))
    return sentences


def without_seal(paths: Sequence[Path]) -> list[str]:
    """Return a sentence on the records in ``paths``, which have none; nothing where there are none.

    Their layout is of code that seals, but of its first day.
    """
    if not paths:
        return []
    more = f" and {len(paths) - 1:,} more have" if len(paths) > 1 else " has"
    return [
        f"{paths[0]}{more} no '{SEAL}': changed since, or of early code; an edit of what "
        "is stated once would not be found."
    ]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
