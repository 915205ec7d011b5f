"""Tensors that only say what they are like, in the place of those that an adapter has not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from hydra_peft.errors import UserError

#: attributes and methods of a tensor that say nothing of its values
DESCRIBES = (
    *("dtype", "device", "layout", "shape", "ndim", "dim", "size", "numel", "stride"),
    *("is_floating_point", "is_complex", "is_contiguous", "is_meta", "is_cpu", "is_cuda"),
    *("is_sparse", "is_leaf", "requires_grad", "get_device"),
)
#: the same as torch calls them
_CALLED = frozenset(
    function
    for found in (getattr(Tensor, name) for name in DESCRIBES)
    for function in (found, found.__get__)
) | {torch.is_floating_point, torch.is_complex, torch.numel}


class Described(Tensor):
    """A tensor of which dtype, device and shape can be told, and whose values cannot be used.

    Models that look at the dtype of a layer's weight, and call the layer, need no more of it.
    """

    said: str

    @classmethod
    def of(cls, tensor: Tensor, said: str) -> Described:
        """Return ``tensor`` so.

        Args:
            said: the sentence for who uses its values.
        """
        with torch._C.DisableTorchFunctionSubclass():
            found = tensor.detach().as_subclass(cls)
        found.said = said
        return found

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Answer what describes the tensor.

        Raises:
            UserError: its values are asked for.
        """
        if func not in _CALLED:
            used = next(one for one in tree_leaves((args, kwargs)) if isinstance(one, cls))
            raise UserError(f"{used.said}.")
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))
