"""Device and precision of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from hydra_peft.cards import NONE_FOUND
from hydra_peft.errors import UserError


def resolve_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: another name, or ``cuda`` on a machine where torch finds none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"device={name} is not allowed: it must be auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError(NONE_FOUND)
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which forward passes run: bfloat16 autocast for ``bf16``."""
    if precision == "bf16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


@contextmanager
def exact_float32() -> Iterator[None]:
    """Switch TF32 off, which keeps ten bits of a float32; torch has it on for convolutions.

    A context, or a decorator of what trains or scores. In bfloat16 it changes nothing.
    """
    products = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def fastest_precision(device: str) -> str:
    """Return ``bf16`` where the device called ``device`` has units for it, else ``fp32``."""
    if device == "cpu" or not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
