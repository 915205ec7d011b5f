"""Metrics by name: one module each, bound to ``METRIC``; scikit-learn and scipy inside."""

from __future__ import annotations

import sys

from hydra_peft.metrics._base import Metric
from hydra_peft.registry import find_module, module_names

__all__ = ["Metric", "find_metric", "metric_names", "score_text", "value_text"]


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


def value_text(name: str, value: float, decimals: int = 2) -> str:
    """Return ``value`` of the metric called ``name``: in percent with so many ``decimals``.

    Others, and those of a metric that is not known here, have five digits and no unit.
    """
    percent = name in metric_names() and find_metric(name).unit == "%"
    return f"{value:.{decimals}f}%" if percent else f"{value:.5g}"


def score_text(name: str, value: float, decimals: int = 2) -> str:
    """Return the same followed by the metric, where that is not accuracy."""
    metric = "" if name == "accuracy" else f" {name}"
    return f"{value_text(name, value, decimals)}{metric}"
