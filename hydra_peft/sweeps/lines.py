"""Printed lines about a run; texts of its record end no line and steer no terminal."""

from __future__ import annotations

from pathlib import Path

from hydra_peft.metrics import score_text
from hydra_peft.plain_text import in_short
from hydra_peft.runs.record import Record, completed_score


def describe(record: Record, folder: Path, done: str) -> str:
    """Describe a run in a line: what was trained, its score, its folder.

    Args:
        done: how a completed run came to be: how fast, or when before, or by whom.
    """
    name = f"{record.benchmark}/{record.task} {record.label} seed {record.seed}"
    if record.status != "completed":
        return in_short(f"{name}: {record.status}: {record.error}")
    random = ", RANDOM WEIGHTS" if record.random_weights else ""
    sizes = "{adapter:,}+{head:,} parameters, ".format_map(record.parameters)
    line = (
        f"{name}: {score_text(record.primary, completed_score(record))} {record.split} "
        f"({record.rule}{random}), {sizes if record.trains else ''}{done}"
    )
    return f"{in_short(line)}\n    {folder}"


def speed(record: Record) -> str:
    """Return the seconds of a run and the examples it trained on in one, if on any."""
    rate = f", {record.images_per_second or 0.0:.0f} {record.of}/s" if record.trains else ""
    return f"{record.times['total']:.1f} s{rate}"
