"""``scripts/chaos.py``: a sweep under fire, against the same sweep left alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.checkout import script_command
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.cli.output_files import check_output
from hydra_peft.errors import UserError
from hydra_peft.workshop.timing.settings import Count

if TYPE_CHECKING:
    from hydra_peft.workshop.chaos.sweep import Story


USAGE = """\
Kill a sweep's processes (SIGKILL) at random moments, type the same command again until it is done,
and compare every result with those of the same sweep left alone. Linux, CPU.

python scripts/chaos.py [<setting>=<value> ...]

  jobs=24      jobs of the sweep
  kills=100    processes to kill, the sweep's own and its workers
  slots=2      worker processes at a time; 0 for the sweep's own process alone
  pack=0       jobs that share each step in the sweep's own process (hydra/launcher=packed), in the
               place of slots; results are then equal to rounding, and within one image
  epochs=20    length of a job; a checkpoint after each epoch
  pause=3      mean seconds before a kill, every second one counted from the end of an epoch
  seed=0       of the moments and the choice of processes
  folder=      where runs and logs are kept (default: a temporary folder, removed if all is well)
  out=         json of the figures (default: not written)

Exit code: 0 all held, 1 something did not (each named)."""


@dataclass(frozen=True)
class Settings:
    """Settings of a chaos run, explained in :data:`USAGE`."""

    jobs: Count = 24
    kills: Count = 100
    slots: str = "2"
    pack: str = "0"
    epochs: Count = 20
    pause: Count = 3
    seed: str = "0"
    folder: str = ""
    out: str = ""


def main() -> int:
    """Do it; return 0 if everything held."""
    return guarded(_main, "folder")


def _main() -> int:
    settings = parse_arguments(Settings, sys.argv[1:], USAGE)
    if not sys.platform.startswith("linux"):
        raise UserError("chaos finds processes in /proc: it runs on Linux only.")
    for key in ("slots", "pack", "seed"):
        if not re.fullmatch("[0-9]{1,9}", value := getattr(settings, key)):
            raise UserError(f"{key}={value} is not allowed: it must be a whole number from 0.")
    if settings.out:
        check_output(Path(settings.out).expanduser(), "out", endings=(".json",))
    if settings.folder:
        folder = Path(settings.folder).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UserError(f"folder={folder} is not empty: name a new one.")
        return _compare(settings, folder)
    folder = Path(tempfile.mkdtemp(prefix="hydra_peft-chaos-"))
    code = _compare(settings, folder)
    if code == 0:
        shutil.rmtree(folder)
    else:
        print(f"kept for a look: {folder}")
    return code


def _compare(settings: Settings, folder: Path) -> int:
    from hydra_peft.workshop.chaos.sweep import disturb
    from hydra_peft.workshop.chaos.verdict import differences

    quiet, fire = folder / "quiet", folder / "fire"
    log, alone = folder / "quiet.log", replace(settings, pack="0")
    with log.open("wb") as output:
        done = subprocess.run(
            command(alone, folder, quiet), stdout=output, stderr=output, check=False
        )
    if done.returncode != 0:
        raise UserError(f"the undisturbed sweep ended with exit code {done.returncode}: see {log}.")
    story = disturb(
        command(settings, folder, fire),
        fire,
        folder / "fire.log",
        kills=settings.kills,
        pause=settings.pause,
        seed=int(settings.seed),
    )
    faults = story.faults + differences(quiet, fire, rounded=settings.pack != "0")
    short = settings.kills - story.kills.total()
    if short > 0:
        faults.append(f"the sweep was done {short} kills early: give it more jobs or epochs")
    return _tell(settings, fire, story, faults)


def command(settings: Settings, folder: Path, runs: Path) -> Sequence[str]:
    """Return the sweep's command line: short jobs of two methods and many seeds."""
    launcher = ["hydra/launcher=local", f"launcher.cpu_slots={settings.slots}"]
    if settings.pack != "0":
        launcher = ["hydra/launcher=packed", f"launcher.pack={settings.pack}"]
    elif settings.slots == "0":
        launcher = []
    seeds = ",".join(str(seed) for seed in range(-(-settings.jobs // 2)))
    return [
        *script_command("train"),
        "-m",
        *launcher,
        "dataset=mini/digits",
        "method=lora,hydra",
        f"seed={seeds}",
        f"train.epochs={settings.epochs}",
        "train.checkpoint_every=1",
        "scheduler.warmup_epochs=1",
        "method.dropout=0.1",
        "model.drop_path=0.1",
        "device=cpu",
        "sweep.retry=failed",
        f"paths.runs={runs}",
        f"paths.cache={folder}/cache",
    ]


def _tell(settings: Settings, runs: Path, story: Story, faults: list[str]) -> int:
    import torch

    from hydra_peft.runs.folder import find_runs
    from hydra_peft.runs.record import read_record
    from hydra_peft.workshop.timing._report import Report

    resumed = [len(read_record(run).resumed) for run in find_runs(runs)]
    values = {**vars(settings), "seed": int(settings.seed), "slots": int(settings.slots)}
    values["pack"] = int(settings.pack)
    del values["folder"], values["out"]
    out = Path(settings.out).expanduser() if settings.out else None
    report = Report("chaos", torch.device("cpu"), out, settings=values)
    report.rows.append(
        {
            "jobs": len(resumed),
            "processes killed": story.kills.total(),
            "of them sweeps": story.kills["sweep"],
            "of them workers": story.kills["worker"],
            "starts of the command": story.starts,
            "runs resumed from a checkpoint": sum(resumed),
            "seconds": story.seconds,
            "faults": len(faults),
        }
    )
    report.notes += faults or [
        "each job was completed once; record, scores and trained tensors equal those of the "
        "sweep left alone; no file was torn or left behind"
    ]
    print(report.to_markdown())
    report.finish()
    return 1 if faults else 0
