"""CKA against its plain definition, its invariances, and what chance gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hydra_peft.analysis.alignment import debiased_cka, linear_cka


def hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Kornblith et al., eq. 1 and 3: tr(K H L H), its constant left out as it cancels."""
    n = len(k)
    h = np.eye(n) - 1 / n
    return float(np.trace(k @ h @ m @ h))


def plain_cka(x: Tensor, y: Tensor) -> float:
    k, m = ((f.double() @ f.double().T).numpy() for f in (x, y))
    return hsic(k, m) / (hsic(k, k) * hsic(m, m)) ** 0.5


def unbiased_hsic(k: np.ndarray, m: np.ndarray) -> float:
    """Sums over distinct indices, term by term, as HSIC is defined: E KL - 2 E + E."""
    n = len(k)
    first = second = third = 0.0
    for i in range(n):
        for j in range(n):
            if j == i:
                continue
            first += k[i, j] * m[i, j]
            for q in range(n):
                if q in (i, j):
                    continue
                second += k[i, j] * m[i, q]
                third += sum(k[i, j] * m[q, r] for r in range(n) if r not in (i, j, q))
    pairs = n * (n - 1)
    return first / pairs - 2 * second / (pairs * (n - 2)) + third / (pairs * (n - 2) * (n - 3))


@pytest.mark.parametrize(("p", "q"), [(3, 4), (50, 2), (40, 60), (1, 1)])
def test_equals_the_plain_definition(p: int, q: int) -> None:
    x, y = torch.randn(30, p) + 5, torch.randn(30, q)
    y[:, 0] += x[:, 0]
    assert linear_cka(x, y) == pytest.approx(plain_cka(x, y), abs=1e-12)
    assert linear_cka(y, x) == pytest.approx(plain_cka(x, y), abs=1e-12)


@pytest.mark.parametrize(("p", "q"), [(2, 3), (12, 5)])
def test_the_debiased_form_equals_sums_over_distinct_images(p: int, q: int) -> None:
    x, y = torch.randn(9, p) + 3, torch.randn(9, q)
    y[:, 0] += x[:, 0]
    k, m = ((f.double() @ f.double().T).numpy() for f in (x, y))
    expected = unbiased_hsic(k, m) / (unbiased_hsic(k, k) * unbiased_hsic(m, m)) ** 0.5
    assert debiased_cka(x, y) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("cka", [linear_cka, debiased_cka])
def test_rotation_scale_and_offset_do_not_matter(cka) -> None:  # type: ignore[no-untyped-def]
    x, y = torch.randn(40, 12).double(), torch.randn(40, 7).double()
    y[:, :2] += x[:, :2]
    rotation = torch.linalg.qr(torch.randn(12, 12).double()).Q
    value = cka(x, y)
    assert cka(x @ rotation, y) == pytest.approx(value, abs=1e-10)
    assert cka(-1e-9 * x, 1e9 * y + 1e6) == pytest.approx(value, abs=1e-6)
    assert cka(1e-200 * x, y) == pytest.approx(value, abs=1e-10)
    assert cka(x, 3 * x @ rotation + 1) == pytest.approx(1, abs=1e-10)
    assert cka(x, y) != pytest.approx(cka(x @ torch.randn(12, 12).double(), y), abs=1e-3)


def test_unrelated_features_give_zero_only_without_bias() -> None:
    """768 features of 128 images, as of ViT-B in Figure 4."""
    pairs = [(torch.randn(128, 768), torch.randn(128, 768)) for _ in range(10)]
    biased = np.array([linear_cka(x, y) for x, y in pairs])
    debiased = np.array([debiased_cka(x, y) for x, y in pairs])
    assert biased.min() > 0.8
    assert abs(debiased.mean()) < 0.02
    assert debiased.min() < 0 < debiased.max()


def test_features_that_do_not_vary_have_none() -> None:
    x, same = torch.randn(10, 3), torch.full((10, 4), 0.1)
    for cka in (linear_cka, debiased_cka):
        assert np.isnan(cka(x, same))
        assert np.isnan(cka(torch.zeros(10, 2), x))


def test_three_images_are_too_few() -> None:
    with pytest.raises(ValueError, match="needs 4 images, not 3"):
        debiased_cka(torch.randn(3, 2), torch.randn(3, 2))
