"""``scripts/bench.py``: figures of speed, side by side in one run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.errors import UserError, did_you_mean

ROOT = Path(__file__).resolve().parent.parent.parent
SUITES = ("data",)

USAGE = """\
Measure speed, side by side in one run; print a table, write it as json.

python scripts/bench.py <suite> [device=auto] [images=1000] [batch_size=16] [repeats=5] [out=<file>]

  data  building the cache of decoded images and feeding training from it, against a DataLoader
        that decodes JPEG files in every epoch

  device      auto, cpu or cuda
  images      number of files
  batch_size  images a batch
  repeats     times each figure is taken; the median is reported
  out         the json (default: results/benchmarks/<suite>-<device>.json)"""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments, after the suite."""

    device: str = "auto"
    images: str = "1000"
    batch_size: str = "16"
    repeats: str = "5"
    out: str = ""


def main() -> int:
    """Run a suite; return 0."""
    return guarded(_main)


def _main() -> int:
    words = sys.argv[1:]
    suite = words[0] if words and "=" not in words[0] and not words[0].startswith("-") else ""
    arguments = parse_arguments(Arguments, words[1:] if suite else words, USAGE)
    if suite not in SUITES:
        raise UserError(
            f"suite '{suite}' is unknown{did_you_mean(suite, SUITES)}: choose one of "
            f"{', '.join(SUITES)}, see --help."
        )
    from hydra_peft.benchmarks import data
    from hydra_peft.training.devices import resolve_device

    device = resolve_device(arguments.device)
    report = data.run(
        device,
        images=_count("images", arguments.images),
        batch_size=_count("batch_size", arguments.batch_size),
        repeats=_count("repeats", arguments.repeats),
    )
    print(report.to_markdown())
    default = ROOT / "results" / "benchmarks" / f"{suite}-{device.type}.json"
    out = Path(arguments.out).expanduser() if arguments.out else default
    report.write(out, device)
    print(f"\nwritten: {out}")
    return 0


def _count(key: str, value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise UserError(f"{key}={value} is not allowed: it must be a positive whole number.")
    return int(value)
