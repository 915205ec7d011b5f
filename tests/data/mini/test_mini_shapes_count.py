from __future__ import annotations

import numpy as np
from mini_checks import check_balance, check_contract, colour_gap, components, data, digest

GOLDEN = "c72720ae9dcb985db712ae1fe27092f2b398fbf09c6312e3c141b0d381137d72"


def counted(number: int) -> int:
    """Return how many separate regions of at least four pixels stand out in an image."""
    image = data("shapes_count")[0][number]
    return sum(len(region) >= 4 for region in components(colour_gap(image) > 50.0))


def test_bytes_are_golden() -> None:
    assert digest("shapes_count") == GOLDEN


def test_contract() -> None:
    check_contract("shapes_count")


def test_balance() -> None:
    check_balance("shapes_count")


def test_label_is_the_number_of_separate_regions_less_one() -> None:
    labels = data("shapes_count")[1]
    chosen = range(0, len(labels), 5)
    found = np.array([counted(k) for k in chosen])
    wanted = labels[list(chosen)] + 1
    # Close neighbours sometimes merge, so larger counts are checked with a tolerance.
    assert (found == wanted).mean() > 0.6
    assert (np.abs(found - wanted) <= 1).mean() > 0.85
    assert (found == wanted)[wanted <= 2].mean() > 0.85
    assert np.corrcoef(found, wanted)[0, 1] > 0.9
