"""Pretrain the embedded backbone `vit_mini` on its source task and write the weights file.

With the default settings this takes a quarter of an hour to half an hour on two CPU cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from hydra_peft.pretraining.train import PretrainOptions, pretrain

_DEFAULT_OUTPUT = (
    Path(__file__).resolve().parent.parent / "hydra_peft" / "assets" / "vit_mini.safetensors"
)


def parse_options(arguments: list[str] | None = None) -> PretrainOptions:
    """Read the options of a run from the command line; exits with a message if they are wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=_DEFAULT_OUTPUT)
    parser.add_argument("--steps", type=int, default=PretrainOptions.steps)
    parser.add_argument("--batch-size", type=int, default=PretrainOptions.batch_size)
    parser.add_argument("--learning-rate", type=float, default=PretrainOptions.learning_rate)
    parser.add_argument("--warmup-steps", type=int, default=PretrainOptions.warmup_steps)
    parser.add_argument(
        "--ramp",
        type=float,
        default=PretrainOptions.ramp,
        help="share of the steps over which scenes grow to their full difficulty",
    )
    parser.add_argument("--seed", type=int, default=PretrainOptions.seed)
    parser.add_argument("--threads", type=int, default=PretrainOptions.threads)
    parser.add_argument("--report-every", type=int, default=PretrainOptions.report_every)
    parser.add_argument(
        "--save-every",
        type=int,
        default=PretrainOptions.save_every,
        help="also write the file every so many steps (0: only at the end)",
    )
    try:
        return PretrainOptions(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))


def main() -> None:
    """Run the pretraining and print the final accuracy on fresh source scenes."""
    options = parse_options()
    started = time.perf_counter()
    result = pretrain(options, lambda line: print(line, flush=True))
    print(
        f"source accuracy {result.identity:.4f} (main object), {result.pattern:.4f} (pattern);"
        f" {time.perf_counter() - started:.0f} s; wrote {options.output}"
    )


if __name__ == "__main__":
    main()
