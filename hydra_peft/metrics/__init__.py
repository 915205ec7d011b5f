"""Metrics by name: one module each, bound to ``METRIC``; scikit-learn and scipy inside."""

from __future__ import annotations

import sys

from hydra_peft.metrics._base import Metric
from hydra_peft.registry import find_module, module_names

__all__ = ["Metric", "find_metric", "metric_names"]


def metric_names() -> list[str]:
    """Return the names of all metrics, sorted."""
    return module_names(sys.modules[__name__])


def find_metric(name: str) -> Metric:
    """Return the metric called ``name``.

    Raises:
        UserError: no metric has that name.
    """
    found: Metric = find_module(sys.modules[__name__], name, "metric").METRIC
    return found
