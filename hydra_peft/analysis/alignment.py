"""Do two sets of features say the same of the same images? Linear centred kernel alignment.

Kornblith et al. 2019, arXiv 1905.00414. It ignores rotations, offsets and the scale of features,
and needs no axes in common; a branch's biases and its factor s do not matter to it.
"""

from __future__ import annotations

import torch
from torch import Tensor


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Return linear CKA: |Y^T X|^2 / (|X^T X| |Y^T Y|) of centred features, Frobenius norms.

    From 0 to 1, which it is for features that a rotation, a scale and an offset turn into each
    other. With more features than images it is far above 0 for unrelated ones too, see
    :func:`debiased_cka`. Computed in float64 by the Gram matrices of images or of features,
    whichever are smaller.

    Args:
        x: ``[n, p]``, a row each image.
        y: ``[n, q]``.

    Returns:
        NaN where one of both does not vary.
    """
    x, y = _centred(x), _centred(y)
    if x.shape[1] * y.shape[1] <= len(x) ** 2:
        between = (y.T @ x).square().sum()
        within = (x.T @ x).norm() * (y.T @ y).norm()
    else:
        rows, columns = x @ x.T, y @ y.T
        between = (rows * columns).sum()
        within = rows.norm() * columns.norm()
    return _ratio(between, within)


def debiased_cka(x: Tensor, y: Tensor) -> float:
    """Return linear CKA from the unbiased estimator of HSIC (Song et al. 2012, JMLR 13, eq. 5).

    Its numerator and denominators have no bias for any number of images, so unrelated features
    give 0 on average; single values can be below it. Nguyen et al. 2021, arXiv 2010.15327, use it
    in the same way.

    Args:
        x: ``[n, p]``, a row each image; n is at least 4.
        y: ``[n, q]``.

    Returns:
        NaN where one of both does not vary, or varies so little that its estimate is not positive.

    Raises:
        ValueError: fewer than 4 images.
    """
    if len(x) < 4:
        raise ValueError(f"the unbiased estimator of HSIC needs 4 images, not {len(x)}")
    # Centred first for accuracy alone: the estimator does not depend on offsets.
    grams = [features @ features.T for features in (_centred(x), _centred(y))]
    first, second = (gram - gram.diagonal().diag() for gram in grams)
    own = _unbiased_hsic(first, first) * _unbiased_hsic(second, second)
    return _ratio(_unbiased_hsic(first, second), own.clamp(min=0).sqrt())


def _unbiased_hsic(first: Tensor, second: Tensor) -> Tensor:
    """Return the estimate from two Gram matrices ``[n, n]`` with zeros on their diagonals."""
    n = len(first)
    sums = first.sum(0), second.sum(0)
    between = (first * second).sum() - 2 / (n - 2) * (sums[0] @ sums[1])
    return (between + sums[0].sum() * sums[1].sum() / ((n - 1) * (n - 2))) / (n * (n - 3))


def _centred(features: Tensor) -> Tensor:
    """Return ``features`` in float64 with mean 0; columns that do not vary are exactly 0.

    Scaled to a largest entry of 1, so that squares of squares neither overflow nor vanish.
    """
    values = features.detach().to("cpu", torch.float64)
    largest = values.abs().max()
    values = values / largest if largest > 0 else values
    constant = (values == values[0]).all(0)
    values = (values - values.mean(0)).masked_fill(constant, 0.0)
    spread = values.abs().max()
    return values / spread if spread > 0 else values


def _ratio(between: Tensor, within: Tensor) -> float:
    return float(between / within) if within > 0 else float("nan")
