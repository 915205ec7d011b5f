r"""Do two matrices point into the same directions? Subspace similarity of left singular vectors.

.. math:: \phi(M, N, i, j) = \|U_M^{i\,T} U_N^j\|_F^2 \,/\, \min(i, j)

with the first i and j left singular vectors (arXiv 2309.06922, eq. 14, after arXiv 2106.09685,
section 7.2): 0 for orthogonal subspaces, 1 where the smaller lies in the larger. The factor s of a
branch multiplies singular values alone, so no result here depends on it; neither do biases.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_peft.adapters.low_rank import LowRankLinear


@dataclass(frozen=True)
class Directions:
    """The leading left singular vectors of a matrix.

    Attributes:
        vectors: float64 ``[d, k]``, orthonormal, that of the largest singular value first.
        definite: bool ``[k]``: whether the span of the first 1, 2, ... of them is a property of
            the matrix. It is not where the next singular value is the same up to rounding, for
            tied ones as for zeros: any rotation among them is a singular value decomposition too.
    """

    vectors: Tensor
    definite: Tensor


def leading_directions(weight: Tensor, count: int) -> Directions:
    """Return the first ``count`` directions of ``weight``, ``[d, m]``, at most min(d, m).

    They come from the eigenvectors of W W^T, or of W^T W where that is smaller, in float64: a
    third of the time of a singular value decomposition, or less. Singular values below 1e-7 of the
    largest cannot be told from zero this way; the leading ones have 12 digits.
    """
    from scipy.linalg import eigh

    matrix = weight.detach().to("cpu", torch.float64)
    tall = matrix.shape[0] > matrix.shape[1]
    gram = (matrix.T @ matrix if tall else matrix @ matrix.T).numpy()
    size = len(gram)
    count = min(count, size)
    # One more than asked for tells whether the last cut goes through a tie.
    first = max(0, size - count - 1)
    squares, vectors = eigh(gram, subset_by_index=[first, size - 1])
    leading = torch.from_numpy(vectors[:, ::-1].copy())[:, :count]
    if tall:
        leading = torch.linalg.qr(matrix @ leading).Q
    return Directions(leading, _definite(torch.from_numpy(squares[::-1].copy()), size)[:count])


def product_directions(up: Tensor, down: Tensor, count: int) -> Directions:
    """Return the first ``count`` directions of the product ``up @ down``, which is never formed.

    With up = Q R and down^T = P S the product is Q (R S^T) P^T, and R S^T has the size of the rank.

    Args:
        up: ``[d, rank]``.
        down: ``[rank, m]``; the rank is at most d and m.
        count: at most the rank.
    """
    left = torch.linalg.qr(up.detach().to("cpu", torch.float64))
    right = torch.linalg.qr(down.detach().to("cpu", torch.float64).T)
    small = torch.linalg.svd(left.R @ right.R.T)
    count = min(count, len(small.S))
    definite = _definite(small.S, max(len(up), down.shape[1]))
    return Directions((left.Q @ small.U)[:, :count], definite[:count])


def _definite(values: Tensor, size: int) -> Tensor:
    """Whether each of ``values``, largest first, stands clear of the next, the last of zero."""
    following = torch.cat([values[1:], values.new_zeros(1)])
    rounding = size * torch.finfo(torch.float64).eps * values.max()
    return values - following > rounding


def subspace_similarity(first: Directions, second: Directions) -> Tensor:
    """Return phi for every i and j, float64 ``[i, j]``; entry [0, 0] is i = j = 1.

    NaN where a subspace is not a property of its matrix, as of a zero update all are.
    """
    squares = (first.vectors.T @ second.vectors).square()
    rows, columns = (torch.arange(1, n + 1, dtype=torch.float64) for n in squares.shape)
    similarity = squares.cumsum(0).cumsum(1) / torch.minimum(rows[:, None], columns)
    known = first.definite[:, None] & second.definite
    return similarity.masked_fill(~known, torch.nan)


def chance_similarity(i: int, j: int, d: int) -> tuple[float, float]:
    """Return mean and standard deviation of phi between random subspaces of R^d.

    For P and Q projections onto independent, uniformly distributed subspaces of dimension i and j,
    E tr PQ = ij / d and Var tr PQ = 2 i (d - i) j (d - j) / (d^2 (d - 1) (d + 2)), the second
    moments of the orthogonal group. Divided by min(i, j) the mean is max(i, j) / d.
    """
    smaller = min(i, j)
    mean = i * j / d / smaller
    if d == 1:
        return mean, 0.0
    variance = 2 * i * (d - i) * j * (d - j) / (d**2 * (d - 1) * (d + 2))
    return mean, variance**0.5 / smaller


#: names of the two updates, as figures and csv files have them
PARALLEL = "A"
SEQUENTIAL = "B W0"


def top_count(weight: Tensor) -> int:
    """Number of singular directions in the top 10% of a ``[d, m]`` weight, at least 1.

    The paper does not say how it rounds; 768 give 77.
    """
    return max(1, round(0.1 * min(weight.shape)))


def branch_ranks(layer: LowRankLinear) -> dict[str, int]:
    """Return the rank of each branch that ``layer`` has, :data:`PARALLEL` or :data:`SEQUENTIAL`.

    A branch has directions up to its rank.
    """
    branches = ((PARALLEL, layer.parallel), (SEQUENTIAL, layer.sequential))
    # Factors are [rank, in] and [out, rank].
    return {name: len(branch.factors(torch.float64)[0]) for name, branch in branches if branch}


def branch_similarities(
    layer: LowRankLinear, *, count: int = 2, leading: Directions | None = None
) -> dict[str, Tensor]:
    """Return phi between the frozen weight's top 10% and each branch's first ``count`` directions.

    Args:
        layer: an adapted layer; the update of its parallel branch is A = A_up A_down, that of its
            sequential branch B W0 with B = B_up B_down (paper eq. 11).
        count: directions of the update; beyond its rank similarities are NaN.
        leading: those of the frozen weight, where they are known.

    Returns:
        For each branch that the layer has, :data:`PARALLEL` or :data:`SEQUENTIAL`, float64
        ``[top 10%, count]``.
    """
    weight = layer.base.weight.detach().to("cpu", torch.float64)
    leading = leading or leading_directions(weight, top_count(weight))
    found = {}
    for name, branch in ((PARALLEL, layer.parallel), (SEQUENTIAL, layer.sequential)):
        if branch is None:
            continue
        down, _, up, _ = branch.factors(torch.float64)
        down = down.detach().cpu()
        down = down if name == PARALLEL else down @ weight
        update = product_directions(up, down, count)
        similarity = subspace_similarity(leading, update)
        missing = similarity.new_full((len(similarity), count - similarity.shape[1]), torch.nan)
        found[name] = torch.cat([similarity, missing], dim=1)
    return found
