"""Base class of adapters in the place of a linear layer that amount to another weight and bias."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.described import Described
from hydra_peft.adapters.plain import computes_otherwise, is_plain


class LinearAdapter(Adapter):
    """A frozen linear layer with something beside it that is linear too in evaluation mode.

    Subclasses define ``forward`` and :meth:`folded`; merging, and what modules read that use a
    layer's weight instead of calling it, follow from that.
    """

    base: nn.Linear
    #: name of the layer, known once it is injected
    place: str = ""

    @abstractmethod
    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return weight ``[out, in]`` and bias ``[out]`` of the linear layer that this one equals.

        They are differentiable in the adapter's parameters; the bias is None where there is none.

        Args:
            dtype: what to compute in.
        """

    def drops(self) -> bool:
        """Whether dropout acts in the current mode."""
        return False

    def base_is_plain(self) -> bool:
        """Whether ``base`` computes what an ``nn.Linear`` does, and nothing else."""
        return is_plain(self.base)

    @property
    def in_features(self) -> int:
        """Width of the input."""
        return self.base.in_features

    @property
    def out_features(self) -> int:
        """Width of the output."""
        return self.base.out_features

    @property
    def weight(self) -> Tensor:
        """The folded ``[out, in]`` weight, differentiable in the adapter's parameters.

        Some modules (``nn.MultiheadAttention``, the fast path of ``nn.TransformerEncoderLayer``)
        read ``layer.weight`` instead of calling the layer; with this they see the adapter too.
        """
        return self._folded_as_read()[0]

    @property
    def bias(self) -> Tensor | None:
        """The folded ``[out]`` bias, the companion of :attr:`weight`."""
        return self._folded_as_read()[1]

    def merged(self) -> nn.Linear:
        """Return the plain ``nn.Linear`` that this layer equals in evaluation mode.

        Computed in float64 and rounded once to the dtype of ``base``.

        Raises:
            NotMergeable: ``base`` has a forward of its own, so no ``nn.Linear`` equals it.
        """
        if not self.base_is_plain():
            raise NotMergeable(computes_otherwise(self.base))
        with torch.no_grad():
            weight, bias = self.folded(torch.float64)
        base = self.base
        plain = nn.Linear(base.in_features, base.out_features, bias is not None, device="meta")
        plain.weight = nn.Parameter(weight.to(base.weight.dtype), requires_grad=False)
        if bias is not None:
            plain.bias = nn.Parameter(bias.to(base.weight.dtype), requires_grad=False)
        return plain.train(self.training)

    def _folded_as_read(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias for a module that reads them, as precise as ``base`` holds them.

        While dropout is on, which a weight cannot carry, they are tensors that only say what they
        are like: some models look at the dtype of a layer's weight and call the layer.
        """
        if self.drops():
            said, bias = no_dropout_here(self.place), self.base.bias
            weight = Described.of(self.base.weight, said)
            return weight, None if bias is None else Described.of(bias, said)
        with without_autocast(self.base.weight):
            return self.folded(self.base.weight.dtype)


def no_dropout_here(place: str) -> str:
    """Return the sentence on dropout in a layer at ``place`` whose weight is read."""
    layer = place or "an adapted layer"
    return (
        f"this model, or a loop over its modules, reads the weight of {layer} "
        "instead of calling the layer, where dropout on the branches has no place: read it in "
        "evaluation mode, set dropout=0 or adapt another layer"
    )


def without_autocast(tensor: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which products on the device of ``tensor`` keep their precision."""
    device = tensor.device.type  # autocast does not know "meta"
    return nullcontext() if device == "meta" else torch.autocast(device, enabled=False)


def cast(tensor: Tensor | None, dtype: torch.dtype) -> Any:
    """Return ``tensor`` in ``dtype``; None where there is none."""
    return None if tensor is None else tensor.to(dtype)
