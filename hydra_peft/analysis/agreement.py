"""Agreement of classifiers, the mistakes that they share, and their ensembles.

Studied for fine-tuning methods by Mai et al. (arXiv 2409.16434, section 4): methods of like
accuracy make different mistakes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

#: differences of probabilities that float32 does not tell from none
_ROUNDING = 1e-6


def agreement(first: Tensor, second: Tensor) -> float:
    """Return the percentage of examples to which both give the same class.

    Args:
        first, second: predicted classes of the same examples, int64 ``[n]``.
    """
    return 100.0 * int((first == second).sum()) / len(first)


def shared_mistakes(first: Tensor, second: Tensor, targets: Tensor) -> float:
    """Return the percentage that both get wrong of the examples that either gets wrong.

    Unlike :func:`agreement` it does not rise with accuracy alone. NaN where there are no mistakes.

    Args:
        first, second, targets: predicted and true classes of the same examples, int64 ``[n]``.
    """
    wrong = (first != targets, second != targets)
    either = int((wrong[0] | wrong[1]).sum())
    return 100.0 * int((wrong[0] & wrong[1]).sum()) / either if either else math.nan


def ensemble(members: Sequence[Tensor]) -> Tensor:
    """Return the mean of the members' probabilities, float64 ``[n, classes]``.

    Classes that only the rounding of float32 tells from the most probable one are set equal to it,
    so that the first of them counts, whichever way softmax added up.
    """
    mean = torch.stack([member.double() for member in members]).mean(0)
    highest = mean.max(dim=1, keepdim=True).values
    return torch.where(mean > highest - _ROUNDING, highest, mean)


def ties(probabilities: Tensor) -> int:
    """Return for how many examples two or more classes are the most probable one."""
    highest = probabilities.max(dim=1, keepdim=True).values
    return int(((probabilities == highest).sum(dim=1) > 1).sum())
