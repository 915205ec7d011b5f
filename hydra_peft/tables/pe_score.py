"""The PE score, which trades accuracy for parameters (paper eq. 13, from ELEVATER)."""

from __future__ import annotations

import math

#: parameters of a usual pretrained model, the paper's M0
USUAL_PARAMETERS = 1e8


def pe_factor(parameters: float) -> float:
    r"""Return the factor of the PE score for ``parameters`` trained parameters.

    .. math:: PE = accuracy \cdot \exp(-\log_{10}(p / M_0 + 1)), \qquad M_0 = 10^8

    The logarithm is to base 10, as every printed value of Table 1 shows; accuracy is a fraction,
    p counts the head too (its mean over the tasks).

    Raises:
        ValueError: ``parameters`` is negative.
    """
    if parameters < 0:
        raise ValueError(f"{parameters} is no number of parameters")
    return math.exp(-math.log10(parameters / USUAL_PARAMETERS + 1.0))


def pe_score(percent: float, parameters: float) -> float:
    """Return the PE score (0 to 1) of an accuracy in percent; see :func:`pe_factor`."""
    return percent / 100.0 * pe_factor(parameters)
