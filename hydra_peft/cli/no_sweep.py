"""Values of the command line that give a sweep no runs, or more than anybody does."""

from __future__ import annotations

from typing import cast

from hydra.core.override_parser.types import Override, RangeSweep

from hydra_peft.cli.word_keys import GRID
from hydra_peft.config.shapes import with_point
from hydra_peft.config.tunable import may_be_tuned

#: more values than this in one range are a slip of the keyboard
MAX_JOBS = 100_000
#: an override and its group
NO_MATCH = "'{}' matches no option of {}: see python scripts/train.py --help for its options."


def no_sweep(override: Override) -> str | None:
    """Return in a sentence why ``override`` gives a sweep no values; None where it gives some."""
    begun, key = f"'{override.input_line}'", override.key_or_group
    if number := with_point(str(override.input_line).partition("=")[2]):
        return f"{begun} are two values: type a decimal number with a point, as {key}={number}."
    if override.is_interval_sweep():
        search = "protocol.tune=true protocol.search=optuna"
        if key.startswith(f"{GRID}."):
            drawn = f"from between the ends of which {search} draws"
            return f"{begun} names no values: a grid has a list, {key}=[a,b], {drawn}."
        advice = f"give them as in -m {key}=0,1,2, range(0,3) or choice(0,1)"
        if may_be_tuned(key):
            advice += f", or let {search} draw them from between {GRID}.{key}=[a,b]"
        return f"{begun} names no values, which each run of a sweep needs: {advice}."
    if not override.is_range_sweep():
        return None
    values = cast(RangeSweep, override.value())
    start, stop = float(values.start or 0), float(values.stop or 0)
    if values.step == 0 or abs(stop - start) > MAX_JOBS * abs(values.step):
        return f"{begun} has more than {MAX_JOBS:,} values, or no end at all."
    if next(override.sweep_iterator(), None) is None:
        return f"{begun} gives no job: its range is empty."
    return None
