"""Copying modules that hold what Python cannot copy: tensors of a graph, locks."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from hydra_peft.errors import UserError, reason_of

M = TypeVar("M", bound=nn.Module)


def copy_of(module: M, memo: dict[int, Any] | None = None) -> M:
    """Return a deep copy of ``module``.

    Tensors of a graph that its parts keep as attributes, such as an output for a penalty, are
    copied without it. What else Python cannot copy, such as a lock, the copy shares.

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
        refused = _refused([_attributes(part) for part in module.modules()], set())
        shared = {id(one): _without_graph(one) for one in refused}
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


def _attributes(part: nn.Module) -> list[Any]:
    """Return what ``part`` keeps beside modules and parameters."""
    own = [value for name, value in vars(part).items() if name not in ("_modules", "_parameters")]
    return [value for value in own if not isinstance(value, nn.Module)]


def _refused(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yield what in ``value`` cannot be copied: the smallest parts, since the copy shares them."""
    if id(value) in seen:
        return
    seen.add(id(value))
    try:
        copy.deepcopy(value)
    except Exception:
        parts = [*_parts_of(value)]
        for part in parts:
            yield from _refused(part, seen)
        if not parts:
            yield value


def _parts_of(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, list | tuple | set | deque):
        return value
    return () if isinstance(value, Tensor) else getattr(value, "__dict__", {}).values()


def _without_graph(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
