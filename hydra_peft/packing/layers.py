"""Layers of a model that computes the batches of several runs, one behind the other, at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra_peft.adapters.linear_adapter import LinearAdapter, cast
from hydra_peft.adapters.low_rank import LowRankLinear, compute_dtype
from hydra_peft.packing.update import packed_low_rank_linear, stacked

#: enters the random numbers of one run
Numbers = Callable[[], AbstractContextManager[object]]


class Batches:
    """The batches in a packed pass; all packed layers of a model share one.

    Attributes:
        sizes: examples of each run.
        numbers: what each run draws from.
    """

    def __init__(self) -> None:
        self.sizes: tuple[int, ...] = ()
        self.numbers: tuple[Numbers, ...] = ()

    def begin(self, sizes: Sequence[int], numbers: Sequence[Numbers] = ()) -> None:
        """Take note of the batches of the pass that begins."""
        self.sizes = tuple(sizes)
        self.numbers = tuple(numbers) or (nullcontext,) * len(self.sizes)

    def counts(self, rows: int) -> tuple[int, ...]:
        """Return how many of ``rows`` in the first dimension each run has: tokens, windows.

        Raises:
            ValueError: they do not divide among the examples.
        """
        each, rest = divmod(rows, sum(self.sizes))
        if rest or not each:
            raise ValueError(f"{rows} rows are not those of {sum(self.sizes)} examples")
        return tuple(each * size for size in self.sizes)

    def split(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the part of ``x``, ``[rows, ...]``, of each run."""
        return x.split(self.counts(len(x)))


class PackedLinear(nn.Module):
    """A linear layer in the place of those of several runs: one frozen product, an update a run.

    Where an adapter has no low-rank form, or not now, each run's layer is called on its own rows.

    Args:
        layers: the runs' own, adapted or plain, around equal frozen weights.
        batches: of the model.

    Shapes: ``[rows, ..., in_features]`` to ``[rows, ..., out_features]``.
    """

    def __init__(self, layers: Sequence[nn.Module], batches: Batches) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self._batches = batches

    def forward(self, x: Tensor) -> Tensor:
        """Compute all runs' rows."""
        if not all(_is_low_rank(layer, x) for layer in self.layers):
            parts = zip(self.layers, self._batches.numbers, self._batches.split(x), strict=True)
            return torch.cat([_drawn(layer, numbers, part) for layer, numbers, part in parts])
        dtype = compute_dtype(x)
        first = self.layers[0]
        base = first.base if isinstance(first, LinearAdapter) else first
        assert isinstance(base, nn.Linear), "a low-rank layer's, or itself plain"
        with torch.autocast(x.device.type, enabled=False):
            down, shift, up, offset = self._updates(base, dtype)
            mask = self._masks(x, down.shape[1], dtype)
            rows = x.to(dtype).reshape(-1, x.shape[-1])
            weight = cast(base.weight, dtype)
            counts = self._batches.counts(len(rows))
            out = packed_low_rank_linear(
                rows, weight, base.bias, down, shift, up, offset, mask, counts
            )
        return out.view(*x.shape[:-1], len(weight))

    def _updates(
        self, base: nn.Linear, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the runs' ``LowRankLinear.update()``, stacked and filled up with zeros."""
        like = base.weight.new_zeros((), dtype=dtype)
        found = []
        for layer in self.layers:
            if not isinstance(layer, LowRankLinear):
                found.append(_no_update(base, like))
                continue
            down, shift, up, offset = (cast(part, dtype) for part in layer.update())
            shift = like.expand(len(down)) if shift is None else shift
            offset = like.expand(len(up)) if offset is None else offset
            found.append((down, shift, up, offset))
        downs, shifts, ups, offsets = zip(*found, strict=True)
        rank = max(len(down) for down in downs)
        return (
            stacked(downs, rank, -2),
            stacked(shifts, rank, -1),
            stacked(ups, rank, -1),
            torch.stack(offsets),
        )

    def _masks(self, x: Tensor, rank: int, dtype: torch.dtype) -> Tensor | None:
        """Draw each run's dropout mask from its own numbers; ``[rows, rank]``."""
        if not any(isinstance(one, LinearAdapter) and one.drops() for one in self.layers):
            return None
        masks = []
        parts = zip(self.layers, self._batches.numbers, self._batches.split(x), strict=True)
        for layer, numbers, part in parts:
            with numbers():
                mask = layer.mask(part) if isinstance(layer, LowRankLinear) else None
            if mask is None:
                mask = part.new_ones(*part.shape[:-1], rank)
            mask = cast(mask, dtype).reshape(-1, mask.shape[-1])
            masks.append(functional.pad(mask, [0, rank - mask.shape[1]]))
        return torch.cat(masks)


class RunByRun(nn.Module):
    """A module that is called on each run's part, with the random numbers of that run.

    Args:
        modules: one a run.
        batches: of the model.

    Attributes:
        widths: of what each gave in the latest pass.
    """

    def __init__(self, modules: Sequence[nn.Module], batches: Batches) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self.widths: list[int] = []
        self._batches = batches

    def forward(self, x: Tensor) -> Tensor:
        """Compute all runs' parts of ``x``, ``[rows, ...]``; narrower outputs get zeros."""
        parts = zip(self.parts, self._batches.numbers, self._batches.split(x), strict=True)
        found = [_drawn(module, numbers, part) for module, numbers, part in parts]
        self.widths = [part.shape[-1] for part in found]
        width = max(self.widths)
        return torch.cat([functional.pad(part, [0, width - part.shape[-1]]) for part in found])


def _is_low_rank(layer: nn.Module, x: Tensor) -> bool:
    """Whether ``layer`` computes ``x`` as a frozen product with a low-rank update, or none."""
    if isinstance(layer, LowRankLinear):
        return layer.fuses(x)
    return type(layer) is nn.Linear


def _drawn(module: nn.Module, numbers: Numbers, part: Tensor) -> Tensor:
    with numbers():
        found: Tensor = module(part)
    return found


def _no_update(base: nn.Linear, like: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    width_out, width_in = base.weight.shape
    return (
        like.expand(0, width_in),
        like.expand(0),
        like.expand(width_out, 0),
        like.expand(width_out),
    )
