"""OmegaConf's errors as sentences with the full key, what was expected and what to do."""

from __future__ import annotations

import re

from omegaconf.errors import OmegaConfBaseException

from hydra_peft.config.interpolations import ROLE, no_split, unresolved
from hydra_peft.config.shapes import SINGLE
from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.plain_text import shortened

#: what OmegaConf calls its types
_HINTS = {kind.__name__: words for kind, words in SINGLE.items()} | {"NoneType": "null"}
_KINDS = {"Integer": SINGLE[int], "Float": SINGLE[float], "Boolean": SINGLE[bool]}


def as_sentence(error: OmegaConfBaseException, key: str) -> str:
    """Return ``error`` as a sentence on ``key``, or on the key that the error itself names."""
    reason = str(error).splitlines()[0].rstrip(".")
    if "Missing mandatory value: " in reason:
        missing = reason.rsplit(": ", 1)[1]
        if "." not in missing:  # the error's own key may begin inside of what ``key`` names
            full = str(error.full_key or key)
            missing = key if key.endswith(full) else full
        return f"{missing} has no value: it must be set here, as {missing}=..."
    if (role := ROLE.search(reason)) and "not found" in reason:
        return no_split(str(error.full_key or key), role[1])
    if nowhere := unresolved(error, key):
        return nowhere
    wrong = re.fullmatch(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", reason)
    if wrong and wrong[2] in _KINDS:
        value = shortened(wrong[1], 100)
        return f"{key}={value} is not allowed: it must be {_KINDS[wrong[2]]}."
    union = re.fullmatch(r"Value '(.*?)'(?: of type '\w+')? is inc.* with .*Union\[(.*)\]'", reason)
    if union:
        kinds = [_HINTS.get(kind.strip(), kind.strip()) for kind in union[2].split(",")]
        value = "null" if union[1] == "None" else shortened(union[1], 100)
        return f"{key}={value} is not allowed: it must be {' or '.join(kinds)}."
    return f"{key}: {reason}."


def unknown_key(full: str, last: str, known: list[str], of: str = "") -> str:
    """Return the sentence on an unknown key.

    Args:
        full: the key with its groups.
        last: the key without them, for near names.
        known: keys in its place.
        of: whose keys these are, such as ``" of method 'lora'"``.
    """
    if not known:
        return f"unknown key '{full}'{of}: {full.rpartition('.')[0]} has no options."
    return f"unknown key '{full}'{of}{did_you_mean(last, known)}; known here: {', '.join(known)}."


def check_package(full: str, value: object, known: list[str]) -> None:
    """Check that an unknown key is no folder of yaml files that one of its group builds on.

    Args:
        full: the key with its group, such as ``dataset.mini``.
        value: its value.
        known: keys in its place.

    Raises:
        UserError: it is; Hydra puts what stands in ``mini/digits.yaml`` below ``mini``.
    """
    group, _, folder = full.rpartition(".")
    if isinstance(value, dict) and len(value.keys() & set(known)) > 1:
        raise UserError(
            f"unknown key '{full}', which holds keys of {group}: in its defaults list a yaml names "
            f"one of another folder as {folder}/<name>@_here_."
        )
