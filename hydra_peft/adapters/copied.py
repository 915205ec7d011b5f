"""Copying modules that hold what Python cannot copy: tensors of a graph, locks."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import Tensor, nn

from hydra_peft.errors import UserError, reason_of

M = TypeVar("M", bound=nn.Module)


def copy_of(module: M, memo: dict[int, Any] | None = None) -> M:
    """Return a deep copy of ``module``.

    What its parts keep as attributes and Python cannot copy (an output kept for a penalty, a lock)
    the copy shares with it, tensors of a graph without their graph.

    Args:
        module: an adapter, or a model with adapters of users' own classes.
        memo: of ``copy.deepcopy``, for copies that share what their originals share.

    Raises:
        UserError: it cannot be copied even so.
    """
    memo = {} if memo is None else memo
    try:
        return _copied(module, memo, {})
    except Exception:
        shared = {id(v): _shared(v) for part in module.modules() for v in _refused(part)}
        try:
            return _copied(module, memo, shared)
        except Exception as error:
            raise UserError(
                f"this {type(module).__name__} cannot be copied ({reason_of(error)}): keep what is "
                "of one call alone, or of one process, out of its attributes."
            ) from None


def _copied(module: M, memo: dict[int, Any], shared: dict[int, Any]) -> M:
    attempt = {**memo, **shared}  # one that fails leaves halves behind
    copied = copy.deepcopy(module, attempt)
    # A memo keeps under its own id what has to live as long as it.
    alive = attempt.pop(id(attempt), [])
    memo.update(attempt)
    memo.setdefault(id(memo), []).extend(alive)
    return copied


def _refused(part: nn.Module) -> list[Any]:
    """Return the attributes of ``part`` that cannot be copied, modules and parameters aside."""
    found = []
    for name, value in vars(part).items():
        if name not in ("_modules", "_parameters") and not isinstance(value, nn.Module):
            try:
                copy.deepcopy(value)
            except Exception:
                found.append(value)
    return found


def _shared(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value
