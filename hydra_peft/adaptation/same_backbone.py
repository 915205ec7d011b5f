"""Checking that a model has the backbone that a saved adapter was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.fingerprint import (
    architecture_hash,
    backbone_state_dict,
    frozen_hash,
    frozen_tensors,
)
from hydra_peft.adaptation.written import DTYPES
from hydra_peft.errors import UserError


def check_backbone(
    model: nn.Module,
    head: tuple[str, ...],
    config: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    check_weights: bool,
    folder: Path,
) -> None:
    """Check that ``model`` has the backbone of the adapter in ``folder``.

    Args:
        model: not adapted.
        head: names of its head.
        config: content of the adapter's json file.
        tensors: of the adapter's file.
        check_weights: whether to compare the frozen weights too, bit for bit.

    Raises:
        UserError: it has another, with what to do where that shows.
    """
    state, expected = backbone_state_dict(model, head), config["backbone"]
    if architecture_hash(state) != expected.get("architecture"):
        raise UserError(
            f"the adapter in {folder} was trained on another backbone architecture than this "
            f"{type(model).__name__} with {sum(t.numel() for t in state.values()):,} parameters: "
            "build the model as it was then, with its image size (a run's config.yaml names it)."
        )
    weights = expected.get("weights")
    if not check_weights or weights is None:
        return
    frozen = frozen_tensors(state, tensors, config["layers"])
    own = frozen_hash(frozen)
    if own != weights:
        raise UserError(
            f"the adapter in {folder} was trained on other backbone weights (sha256 "
            f"{str(weights)[:12]}) than these ({str(own)[:12]}): "
            f"{_remedy(frozen, weights, expected.get('dtype'))}, or pass "
            "check_weights=False if you mean it (an average over whole state dicts rounds frozen "
            "weights too)."
        )


def precision(tensors: Iterable[Tensor]) -> str:
    """Return what ``tensors`` are stored in, as torch calls it: ``bfloat16``.

    Of several floating types all are named, that of most values first: ``bfloat16 and float32``.
    """
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.is_floating_point():
            sizes[str(tensor.dtype).removeprefix("torch.")] += tensor.numel()
    return " and ".join(name for name, _ in sizes.most_common())


def _remedy(frozen: Mapping[str, Tensor], weights: object, saved: object) -> str:
    """Return what to do so that ``frozen`` has the hash ``weights``, ``saved`` its precision."""
    known = {str(one).removeprefix("torch."): one for one in DTYPES}
    names, here = str(saved).split(" and "), precision(frozen.values())
    if not known.keys() >= {*names}:
        return "load those"
    differ = f"those were in {saved} and this model is in {here}"
    if len(names) > 1:
        return "load those" if saved == here else f"{differ}: convert its parts as those were"
    dtype = known[names[0]]
    for casts in ((dtype,), (torch.bfloat16, dtype), (torch.float16, dtype)):
        if frozen_hash({name: _cast(tensor, casts) for name, tensor in frozen.items()}) == weights:
            steps = "".join(f".to({cast})" for cast in casts)
            return f"those are these after model{steps}, so convert them like that first"
    return "load those" if saved == here else f"{differ}: load its weights in torch.{saved}"


def _cast(tensor: Tensor, dtypes: Iterable[torch.dtype]) -> Tensor:
    for dtype in dtypes if tensor.is_floating_point() else ():
        tensor = tensor.to(dtype)
    return tensor
