"""Deviations inside published rows: printed averages and PE scores against their cells."""

from __future__ import annotations

from collections.abc import Iterator

from hydra_peft.tables.paper_tables import PaperTable
from hydra_peft.tables.pe_score import pe_score
from hydra_peft.tables.published import Number, PublishedRow


def fixed(value: float, decimals: int) -> str:
    """Return a number with ``decimals`` digits, halves rounded up as the paper does.

    The mean of 85.6, 94.4, 85.9 and 74.4 is 85.075, as a float a little less.
    """
    return f"{value + 1e-9:.{decimals}f}"


def decimals_of(number: Number) -> int:
    """Number of digits printed behind the decimal point."""
    return len(number.text.partition(".")[2])


def deviations(row: PublishedRow, label: str, spec: PaperTable) -> Iterator[str]:
    """Yield a sentence for each printed value of ``row`` that its other numbers do not give.

    Args:
        row: as transcribed.
        label: what the row is called.
        spec: its table.
    """
    average, weights = row.numbers.get(spec.average), spec.average_weights
    mean = row.mean(weights)
    if average and mean is not None and fixed(mean, decimals_of(average)) != average.text:
        why = (
            "rounding of the cells may explain it"
            if row.is_explained(average, weights)
            else "no rounding of the cells explains it"
        )
        yield (
            f"the average of {label} is printed as {average.text}, its cells give "
            f"{fixed(mean, 2)}: {why}."
        )
    printed = row.numbers.get(spec.pe) if spec.pe else None
    parameters = row.numbers.get("params_m")
    if printed and average and parameters and not _fits(printed, average, parameters):
        found = pe_score(average.value, 1e6 * parameters.value)
        yield (
            f"the PE score of {label} is printed as {printed.text}, its average and parameters "
            f"give {fixed(found, 3)}."
        )


def _fits(printed: Number, average: Number, parameters: Number) -> bool:
    """Whether rounding alone may lie between a PE score and what it is computed from."""
    low, high = (
        pe_score(
            average.value + s * average.rounding, 1e6 * (parameters.value - s * parameters.rounding)
        )
        for s in (-1, 1)
    )
    return low - printed.rounding <= printed.value <= high + printed.rounding
