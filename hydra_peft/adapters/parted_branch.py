"""Low-rank branches of parts of a layer's output, such as queries and values of a packed layer."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra_peft.adapters.low_rank_branch import Factors, LowRankBranch, joined


class PartedBranch(nn.ModuleDict):
    """Branches that all read the whole input and each write their own rows of the output.

    The other rows get zeros. Each branch draws a dropout mask of its own, as those of separate
    layers do.

    Args:
        branches: by the name of their part.
        starts: the first row of each part.
        out_features: number of rows in all.
    """

    def __init__(
        self, branches: Mapping[str, LowRankBranch], starts: Mapping[str, int], out_features: int
    ) -> None:
        super().__init__(dict(branches))
        self.starts = {name: starts[name] for name in branches}
        self.out_features = out_features

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        written = (self._placed(name, branch(x)) for name, branch in self._parts())
        return functools.reduce(torch.add, written)

    def factors(self, dtype: torch.dtype) -> Factors:
        """Return the factors of all branches as those of one, whose rank is the sum of theirs."""
        downs, shifts, ups, offset = [], [], [], None
        for name, branch in self._parts():
            down, shift, up, own = branch.factors(dtype)
            downs.append(down)
            shifts.append(shift)
            ups.append(self._placed(name, up.t()).t())
            if own is not None:
                own = self._placed(name, own)
                offset = own if offset is None else offset + own
        return torch.cat(downs), joined(shifts), torch.cat(ups, dim=1), offset

    def drops(self) -> bool:
        """Whether dropout acts in the current mode."""
        return any(branch.drops() for _, branch in self._parts())

    def mask(self, like: Tensor) -> Tensor:
        """Draw the dropout masks for the features of one call, side by side."""
        return torch.cat([branch.mask(like) for _, branch in self._parts()], dim=-1)

    def _parts(self) -> list[tuple[str, LowRankBranch]]:
        return [(name, cast(LowRankBranch, branch)) for name, branch in self.items()]

    def _placed(self, name: str, part: Tensor) -> Tensor:
        """Return ``part``, ``[..., rows of it]``, with zeros around it: ``[..., out_features]``."""
        start = self.starts[name]
        return functional.pad(part, (start, self.out_features - start - part.shape[-1]))
