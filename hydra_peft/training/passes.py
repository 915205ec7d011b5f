"""The forward and backward pass of one training step, as a value that says all it needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function

from hydra_peft.training.devices import autocast, exact_float32
from hydra_peft.training.seeding import RandomStreams


@dataclass(frozen=True)
class Pass:
    """One pass through a model, forward and backward.

    Attributes:
        module: what is called.
        inputs: what it is called with: a tensor, or tensors by name.
        loss_of: from its outputs to the loss, float ``[]``.
        parameters: what is trained; gradients are added to theirs.
        precision: ``fp32`` or ``bf16``.
        device: what computes.
        random: what dropout and drop-path draw from.
    """

    module: nn.Module
    inputs: Any
    loss_of: Callable[[Tensor], Tensor]
    parameters: Sequence[Tensor]
    precision: str
    device: torch.device
    random: RandomStreams


#: does a pass; returns the loss, float ``[]``, and the outputs, both detached, and adds gradients
Compute = Callable[[Pass], tuple[Tensor, Tensor]]


@exact_float32()
def compute_alone(one: Pass) -> tuple[Tensor, Tensor]:
    """Do a pass of one run by itself."""
    with one.random:
        with record_function("forward"), autocast(one.device, one.precision):
            outputs = one.module(one.inputs)
            loss = one.loss_of(outputs)
        with record_function("backward"):
            loss.backward()
    return loss.detach(), outputs.detach()
