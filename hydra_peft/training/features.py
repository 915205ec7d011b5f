"""Features of a frozen backbone, computed once as input of the head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.parameters import trainable_parameters
from hydra_peft.adaptation.record import adaptation
from hydra_peft.data.split import Batch, Split
from hydra_peft.training.batches import Prepare
from hydra_peft.training.devices import autocast, exact_float32
from hydra_peft.training.evaluation import batches, in_order


def features_of(batch: Batch) -> Tensor:
    """Return the features of ``batch``: the counterpart of normalising images."""
    features = batch.inputs["features"]
    assert isinstance(features, Tensor), "features are no ragged rows"
    return features


def head_alone(model: nn.Module, probe: Any) -> nn.Module | None:
    """Return the head of an adapted model if nothing else of it trains or ever changes.

    What the head returns must be what the model returns, unlike where it is a convolution whose
    output the model flattens; that is tried out. The model is left in evaluation mode.

    Args:
        probe: an input of ``model``, such as zeros ``[1, 3, height, width]``.

    Raises:
        UserError: ``model`` has not been adapted.
    """
    done = adaptation(model)
    alone = done.method.backbone_in_eval and not trainable_parameters(model).adapter
    if not alone or len(done.head) != 1:
        return None
    head = model.get_submodule(done.head[0])
    return head if _is_last(model, head, probe) else None


@torch.no_grad()
def _is_last(model: nn.Module, head: nn.Module, probe: Any) -> bool:
    calls: list[tuple[int, object]] = []
    hook = head.register_forward_hook(lambda _, inputs, out: calls.append((len(inputs), out)))
    try:
        logits = model.eval()(probe)
    finally:
        hook.remove()
    return len(calls) == 1 and calls[0][0] == 1 and calls[0][1] is logits


@exact_float32()
@torch.no_grad()
def head_inputs(
    model: nn.Module,
    head: nn.Module,
    split: Split,
    *,
    prepare: Prepare,
    device: torch.device,
    precision: str,
) -> Split:
    """Return ``split`` with features, the inputs that ``head`` is called with, for its inputs.

    The model is left in evaluation mode. Batches are those of
    :func:`hydra_peft.training.evaluation.evaluate`, so that the head's scores are the model's.

    Args:
        head: part of ``model``, called once an image batch with one tensor ``[n, features]``.

    Returns:
        Features on ``device``, ``[n, features]``, in the dtype the head would get them in.
    """
    model.eval()
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        for batch in batches(split):
            with autocast(device, precision):
                model(prepare(batch.to(device)))
    finally:
        hook.remove()
    return Split({"features": in_order(split, torch.cat(seen))}, split.targets.to(device))
