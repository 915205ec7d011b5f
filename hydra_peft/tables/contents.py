"""Data contents that runs of several seeds must share to be averaged."""

from __future__ import annotations

from hydra_peft.runs.record import Record


def draws_by_seed(record: Record) -> bool:
    """Whether each seed trains on a draw of its own, as in few-shot benchmarks."""
    return record.settings.get("dataset.sampling_seed") == "seed"


def shared_content(record: Record) -> str:
    """Return what names the data that all seeds of a run's setting see.

    That is the sha256 of all its splits; where each seed draws its own training data (ELEVATER's
    three draws of few shots), the names and hashes of the test splits alone.
    """
    splits = record.data.get("splits")
    if draws_by_seed(record) and isinstance(splits, dict):
        return " ".join(f"{name} {splits[name]}" for name in sorted(splits) if record.tests(name))
    return str(record.data.get("sha256"))
