"""Checks of weights that came from a file, whatever its format: float, dense, finite."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra_peft.errors import UserError
from hydra_peft.plain_text import shortened, tensor_shape

#: what weights are stored in; complex numbers, integers and floats of 8 bits are not weights
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def wrong_dtype(where: str, dtype: object) -> UserError:
    """Return the refusal of a tensor that holds no floats.

    Args:
        where: the file, and the tensor's name and shape.
        dtype: as the file has it.
    """
    kind = shortened(str(dtype).removeprefix("torch."), 60)
    return UserError(
        f"{where} has dtype {kind}, expected float32 (or float16, bfloat16, float64): choose the "
        "model that the file belongs to, or fetch it again."
    )


def is_sound(tensor: Tensor, *, mask: bool = False) -> bool:
    """Whether all values of ``tensor`` can be computed with: none is NaN or infinite.

    Args:
        mask: let infinite values pass, as in a buffer that hides what attention may not see.
    """
    return bool((~torch.isnan(tensor) if mask else torch.isfinite(tensor)).all())


def check_finite(tensor: Tensor, where: str, *, mask: bool = False) -> None:
    """Check that all values of ``tensor`` can be computed with.

    Args:
        mask: as of :func:`is_sound`.
    """
    if not is_sound(tensor, mask=mask):
        raise UserError(f"{where} has values that are not finite: fetch the file again.")


def check_weight(tensor: Tensor, dtype: torch.dtype, where: str, *, mask: bool = False) -> None:
    """Check that ``tensor`` can stand where a model has one of ``dtype``: floats for floats.

    Args:
        mask: as of :func:`is_sound`.
    """
    if tensor.dtype != dtype and dtype not in FLOATS:  # of a buffer that counts, or a mask
        kinds = [shortened(str(kind).removeprefix("torch."), 60) for kind in (tensor.dtype, dtype)]
        raise UserError(f"{where} has dtype {kinds[0]}, expected {kinds[1]}: save it again.")
    if tensor.dtype != dtype and tensor.dtype not in FLOATS:
        raise wrong_dtype(where, tensor.dtype)
    check_finite(tensor, where, mask=mask)
    if not is_sound(tensor.to(dtype), mask=mask):
        raise UserError(
            f"{where} has values beyond those of {str(dtype).removeprefix('torch.')}: load it into "
            f"a model of dtype {str(tensor.dtype).removeprefix('torch.')}."
        )


def check_dense(tensor: Tensor, where: str, file_bytes: int) -> None:
    """Check that ``tensor`` is a plain array whose values lie in a file of ``file_bytes``.

    A file can describe others: sparse ones, ones without values, views that repeat one value
    millions of times.
    """
    kinds = {
        "sparse": tensor.layout != torch.strided,
        "nested": tensor.is_nested,
        "quantized": tensor.is_quantized,
        "without values": tensor.is_meta,
        "of a class of its own": type(tensor) not in (Tensor, torch.nn.Parameter),
    }
    for kind, is_so in kinds.items():
        if is_so:
            raise UserError(
                f"{where} is {kind}, expected a plain tensor: choose a file of plain weights."
            )
    if tensor.numel() * tensor.element_size() > file_bytes:
        raise UserError(
            f"{where} has shape {tensor_shape(tensor.shape)}, more values than the file holds: "
            "choose a file of plain weights."
        )
