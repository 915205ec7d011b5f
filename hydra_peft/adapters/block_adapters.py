"""Adapters of whole transformer blocks: branches that read and change the residual stream.

With the block ``y = x + attention(norm1(x))``, ``z = y + m``, ``m = mlp(norm2(y))`` and a branch A,
``position`` says what the block computes (Steitz and Roth, arXiv 2406.06820, figure 3):

=================  ============================================================
``intermediate``   ``z = y + m + A(m)``
``houlsby``        the same behind attention and behind the MLP, a branch each
``post``           ``z = y + m + A(y + m)``
``pfeiffer``       the same: it adds ``m + A(y + m)`` to y
``pre``            ``z = y' + mlp(norm2(y'))`` with ``y' = y + A(y)``
``parallel``       ``z = y + m + A(y)``
=================  ============================================================

a and m are what is added, after layer scale and drop path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.block_places import BlockPlaces, find_blocks
from hydra_peft.adapters.per_thread import PerThread
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.errors import UserError


class BlockAdapter(Adapter):
    """Base class of adapters whose branch is not linear, which no plain block computes."""

    def merged(self) -> nn.Module:
        """Refuse.

        Raises:
            NotMergeable: always.
        """
        raise NotMergeable(
            "the activation of its adapter cannot be written into the weights of a frozen layer"
        )


class SequentialAdapter(BlockAdapter):
    """``f + A(f)`` with ``f = base(...)``: behind a sublayer, or behind a whole block."""

    def __init__(self, base: nn.Module, branch: nn.Module) -> None:
        super().__init__()
        self.base, self.branch = base, branch

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = self.base(*args, **kwargs)
        return out + self.branch(out)


class StreamReader(BlockAdapter):
    """The norm before an MLP with a branch beside it: hands on ``A(y)`` of what it reads, y.

    Args:
        base: the norm.
        before: whether the norm reads ``y + A(y)`` (position ``pre``) instead of y (``parallel``).
    """

    def __init__(
        self, base: nn.Module, branch: nn.Module, handed: PerThread, *, before: bool
    ) -> None:
        super().__init__()
        self.base, self.branch, self.handed, self.before = base, branch, handed, before

    def forward(self, y: Tensor) -> Tensor:
        change = self.branch(y)
        self.handed.put(change)
        out: Tensor = self.base(y + change if self.before else y)
        return out


class StreamWriter(BlockAdapter):
    """``base(m)`` plus what the block's :class:`StreamReader` handed on."""

    def __init__(self, base: nn.Module, handed: PerThread) -> None:
        super().__init__()
        self.base, self.handed = base, handed

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = self.base(*args, **kwargs)
        change: Tensor | None = self.handed.take()
        if change is None:
            raise RuntimeError("a block called what follows its MLP before the norm before it")
        return out + change


#: makes the branch of one block, given a weight with a row for each feature: width, dtype, device
MakeBranch = Callable[[Tensor], nn.Module]


def adapt_blocks(
    model: nn.Module,
    targets: Sequence[str],
    exclude: Sequence[str],
    position: str,
    branch: MakeBranch,
) -> list[str]:
    """Put adapters into every block whose MLP ``targets`` name; return the layers that carry one.

    Args:
        exclude: names of the head's modules.
        position: see the table above.

    Raises:
        UserError: a block has no place for the position; nothing was changed then.
    """
    put = POSITIONS[position]
    blocks = find_blocks(model, targets, exclude)
    for places in blocks:
        _check(places, position)
    return [name for places in blocks for name in put(model, places, branch)]


def _check(places: BlockPlaces, position: str) -> None:
    what = {
        "houlsby": (places.attention_output, "a drop_path1 that passes on what attention computed"),
        "pre": (places.mlp_input, "a norm2 that reads what the MLP is given"),
        "parallel": (places.mlp_input, "a norm2 that reads what the MLP is given"),
        "post": (places.block and places.keeps_features_last, "a norm2 over its last dimension"),
    }
    place, needed = what.get("post" if position == "pfeiffer" else position, (True, ""))
    if not place:
        raise UserError(
            f"{places.block or 'this model'} ({places.kind}) has no place for position={position}: "
            f"it needs {needed}. Take position=intermediate, or targets in other blocks."
        )


def _behind(model: nn.Module, name: str, weight: Tensor, branch: MakeBranch) -> list[str]:
    module = model.get_submodule(name)
    replace_module(model, module, SequentialAdapter(module, branch(weight)))
    return [name]


def _intermediate(model: nn.Module, places: BlockPlaces, branch: MakeBranch) -> list[str]:
    return _behind(model, places.mlp_output, places.weight, branch)


def _houlsby(model: nn.Module, places: BlockPlaces, branch: MakeBranch) -> list[str]:
    assert places.attention_output is not None
    attention = _behind(model, places.attention_output, places.weight, branch)
    return attention + _intermediate(model, places, branch)


def _post(model: nn.Module, places: BlockPlaces, branch: MakeBranch) -> list[str]:
    return _behind(model, places.block, places.weight, branch)


def _around_mlp(
    model: nn.Module, places: BlockPlaces, branch: MakeBranch, *, before: bool
) -> list[str]:
    assert places.mlp_input is not None
    handed = PerThread()
    norm, output = model.get_submodule(places.mlp_input), model.get_submodule(places.mlp_output)
    reader = StreamReader(norm, branch(places.weight), handed, before=before)
    replace_module(model, norm, reader)
    replace_module(model, output, StreamWriter(output, handed))
    return [places.mlp_input, places.mlp_output]


def _pre(model: nn.Module, places: BlockPlaces, branch: MakeBranch) -> list[str]:
    return _around_mlp(model, places, branch, before=True)


def _parallel(model: nn.Module, places: BlockPlaces, branch: MakeBranch) -> list[str]:
    return _around_mlp(model, places, branch, before=False)


POSITIONS: dict[str, Callable[[nn.Module, BlockPlaces, MakeBranch], list[str]]] = {
    "intermediate": _intermediate,
    "houlsby": _houlsby,
    "post": _post,
    "pfeiffer": _post,
    "pre": _pre,
    "parallel": _parallel,
}
