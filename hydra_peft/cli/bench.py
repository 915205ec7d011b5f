"""``scripts/bench.py``: figures of speed, side by side in one run."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.cards import check_card
from hydra_peft.checkout import RESULTS
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import FAILED, complain, guarded
from hydra_peft.cli.output_files import check_output
from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError, check_one_of
from hydra_peft.workshop.timing.settings import SETTINGS

USAGE = """\
Measure speed, side by side in one run; print a table with ratios, write it as json. What is
measured is told and written at once: interrupted, it is in <suite>-<device>.incomplete.json.

python scripts/bench.py <suite> [device=auto] [out=<file>] [<setting>=<value> ...]

  data       building the cache of decoded images and feeding training from it, against a
             DataLoader that decodes JPEG files in every epoch
             images=1000 batch_size=16 repeats=5
  layer      forward and backward of one adapted layer: ours, three plain branches, the peft
             library's LoRA, the frozen layer alone
             batch_sizes=16,64,256 precisions=auto (or bf16,fp32) repeats=5 calls=1
  step       a training step of a whole model by method: time, images/s, peak memory, share of the
             machine's own matrix-product rate
             architecture=vit_base_patch16_224 batch_sizes=16 precisions=auto repeats=5 calls=1
             compile=auto memory=true methods=table8 (or all, or ssf,vpt_deep)
  task       one task from JPEG files to its score, ours against a plain loop, phases apart; what
             the plain loop does not get done in plain_seconds is predicted
             images=16 test_images=160 epochs=10 evaluations=10 batch_size=16 ...
  table4     the paper's Table 4: an epoch of 50,000 images by full tuning, LoRA, SeqLoRA and Hydra
             on MLP blocks; timed on CUDA, elsewhere predicted; then tables.py table=4
             architecture=vit_base_patch32_224 batch_size=128 epochs=10 repeats=5 timed=auto ...
  table8     all of Table 8 at VTAB-1k's true sizes, runs one after another and in packs: on CUDA
             whole runs and packs for so many seconds; others, and elsewhere all, are predicted
             from measured parts
             architecture=vit_base_patch16_224 epochs=100 batch_size=64 repeats=3 timed=auto
             seconds=86400 pack=8 alone=true
  merge      inference of a merged model over that of the plain backbone
             architecture=vit_base_patch16_224 batch_size=16 repeats=9
  agreement  training in the fast and the plain form ends in the same place: losses in float32,
             accuracies over seeds in bfloat16
             steps=200 seeds=5
  slots      short jobs in several slots of the local launcher against one, and what a job costs
             beside its training
             slots=2 jobs=12 epochs=2
  packed     steps of several runs over one frozen backbone, together and one after another: time,
             peak memory on a GPU, and how far their losses differ
             architecture=vit_base_patch16_224 batch_sizes=16 runs=1,2,4,8,16 precisions=auto
             repeats=5 calls=1
  busy       training on a CPU beside other programs, against the same CPU alone: threads that
             follow the load, and a fixed number
             neighbours=1 rounds=10 slow_rounds=3 epochs=4 seconds=90
  glue       a step on pairs of texts as long as MNLI's against a plain loop of transformers, which
             pads to 512, with the peft library's LoRA: time, peak memory, feeding; and tokenising
             model=roberta_base layers=2 batch_size=32 steps=4 plain_steps=1 repeats=3
             pairs=390000
  elevater   a few-shot task of Hydra with ELEVATER's search of rate and decay, then the final run,
             against a plain loop that reads data and model anew in each trial, as the release does
             classes=10 shots=5 test_images=100 rates=1 architecture=vit_mini pixels=32 ...
  gpu        all that a GPU has to show, in 8 minutes on an H100 or H200: the tests for a GPU,
             layer, step, packed, table4, task and table8 at true sizes, each in a process of its
             own, with its own json, in its share of the time; dry=true goes through them with tiny
             sizes, on a CPU too
             parts=correctness,layer,step,packed,table4,task,table8 minutes=8 dry=false
  correctness
             the tests for a GPU alone, a line each
             only=all seconds=600

  device     auto, cpu or cuda
  out        the json (default: results/benchmarks/<suite>-<device>.json, where <device> is cpu or
             the GPU's name: h100; of a dry run below results/benchmarks/dry)

Exit code: 0, or 1 if a test or a part of suite gpu failed."""


@dataclass(frozen=True)
class Arguments:
    """Arguments common to all suites."""

    device: str = "auto"
    out: str = ""


_COMMON = tuple(field.name for field in dataclasses.fields(Arguments))


def main() -> int:
    """Run a suite; return 0, or 1 if a part of it failed."""
    return guarded(_main, "out")


def _main() -> int:
    words = sys.argv[1:]
    suite = words[0] if words and "=" not in words[0] and not words[0].startswith("-") else ""
    common = [word for word in words[1:] if word.split("=")[0] in _COMMON]
    asks = {"-h", "--help"} & set(words)
    arguments = parse_arguments(Arguments, words if asks else common, USAGE)
    if not suite:
        raise UserError(f"say first which suite, one of {', '.join(SETTINGS)}; see --help.")
    check_one_of("suite", suite, SETTINGS)
    others = [word for word in words[1:] if word not in common]
    settings = parse_arguments(SETTINGS[suite], others, USAGE, beside=_COMMON)
    folder = RESULTS / "benchmarks"
    folder = folder / "dry" if getattr(settings, "dry", False) else folder
    check_writable(folder, "out")
    if arguments.out:
        check_output(Path(arguments.out).expanduser(), "out", endings=(".json",))
    check_card(arguments.device)
    from hydra_peft.training.devices import resolve_device
    from hydra_peft.workshop.timing._machine import short_name
    from hydra_peft.workshop.timing._report import measure

    device = resolve_device(arguments.device)
    default = folder / f"{suite}-{short_name(device)}.json"
    out = Path(arguments.out).expanduser().absolute() if arguments.out else default
    report = measure(suite, settings, device, out, lambda line: print(line, flush=True))
    print(f"\n{report.to_markdown()}\n\nwritten: {out}")
    for sentence in report.failed:
        complain(sentence)
    return FAILED if report.failed else 0
