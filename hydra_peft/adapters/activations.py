"""Activations of adapters by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hydra_peft.errors import check_one_of

if TYPE_CHECKING:
    from torch import Tensor  # names are checked before torch is loaded


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return x.relu()


def gelu(x: Tensor) -> Tensor:
    """x Phi(x), with the normal distribution function Phi."""
    from torch.nn import functional

    return functional.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its approximation with tanh, as the first transformers computed it."""
    from torch.nn import functional

    return functional.gelu(x, approximate="tanh")


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), the GELU of OpenAI's CLIP."""
    return x * (1.702 * x).sigmoid()


def swish(x: Tensor) -> Tensor:
    """x sigmoid(x), also called SiLU."""
    return x * x.sigmoid()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "swish": swish,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return the activation called ``name``, of any shape.

    Raises:
        UserError: no activation has that name.
    """
    check_one_of("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]
