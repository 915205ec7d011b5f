"""Suite ``slots``: short jobs in several slots against one, and what a job costs besides."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch
import yaml

from hydra_peft.config.check import check_recorded
from hydra_peft.errors import UserError
from hydra_peft.runs.on_device import on_device
from hydra_peft.runs.record import Record, read_record
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.local import launch_jobs
from hydra_peft.workshop.timing._composed import composed
from hydra_peft.workshop.timing._report import Report, median, readable, scratch_folder, spread
from hydra_peft.workshop.timing.settings import SlotsSettings


@dataclass
class _Sweep:
    """One sweep: when each job ended, in seconds since its start, and the records in that order."""

    ended: list[float] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def rate(self, slots: int) -> float:
        """Return jobs a second, those with which slots have become warm left out."""
        return (len(self.ended) - slots) / (self.ended[-1] - self.ended[slots - 1])


def run(device: torch.device, settings: SlotsSettings, report: Report) -> None:
    """Measure the local launcher on ``device``.

    Raises:
        UserError: there are not more jobs than slots.
    """
    if settings.jobs <= settings.slots:
        raise UserError(
            f"jobs={settings.jobs} leaves no job to measure once {settings.slots} slots are warm: "
            "give more jobs than slots."
        )
    report.settings = dict(vars(settings))
    sweeps: dict[str, _Sweep] = {}
    with scratch_folder() as folder:
        words = [f"device={device.type}", f"train.epochs={settings.epochs}", "launcher.gpus=[0]"]
        config = composed([*words, "scheduler.warmup_epochs=0", f"paths.cache={folder}/cache"])
        _sweep(_jobs(config, folder / "warm", 1, 1), report.say)  # fills the cache of images
        for name, slots in (("one", 1), ("several", settings.slots)):
            sweep = _sweep(_jobs(config, folder / name, settings.jobs, slots), report.say)
            sweeps[name] = sweep
            report.add(
                {
                    "slots": slots,
                    "jobs/s": sweep.rate(slots),
                    "s, all jobs": sweep.ended[-1],
                    "s, first job": sweep.ended[0],
                }
            )
    gain = sweeps["several"].rate(settings.slots) / sweeps["one"].rate(1)
    report.notes.append(f"{settings.slots} slots / 1 slot, jobs a second: {readable(gain)}")
    report.notes += _costs(sweeps["one"])


def _costs(sweep: _Sweep) -> list[str]:
    """Break down the time between the ends of two jobs in one warm slot."""
    gaps, beside = [], []
    pairs = zip(sweep.ended, sweep.ended[1:], sweep.records[1:], strict=False)
    for before, after, record in pairs:
        gap = after - before - record.times["train_and_evaluate"]
        gaps.append(gap)
        beside.append(1000 * (gap - record.times["prepare"]))
    return [
        f"between a job's end and the next one's training: {readable(median(gaps))} s "
        f"({spread(gaps)}; goal at most 1 s)",
        f"of it beside preparing model and data (checks, claim, records, log, messages): "
        f"{readable(median(beside))} ms ({spread(beside)}; goal below 50 ms)",
    ]


def _jobs(config: str, runs: Path, count: int, slots: int) -> list[Job]:
    jobs = []
    for seed in range(count):
        values = yaml.safe_load(config)
        values["seed"] = seed
        values["paths"]["runs"] = str(runs)
        values["launcher"] |= {"cpu_slots": slots, "jobs_per_gpu": slots}
        jobs.append(Job.of((f"seed={seed}",), on_device(check_recorded(values))))
    return jobs


def _sweep(jobs: Sequence[Job], say: Callable[[str], None]) -> _Sweep:
    """Do ``jobs``, and tell each one's end.

    Raises:
        RuntimeError: one of them did not complete.
    """
    done, begun = _Sweep(), time.perf_counter()
    with closing(launch_jobs(jobs)) as ends:
        for end in ends:
            done.ended.append(time.perf_counter() - begun)
            say(f"{len(done.ended)} of {len(jobs)} jobs after {done.ended[-1]:.1f} s")
            if end.status != "completed":
                raise RuntimeError(end.line)
            done.records.append(read_record(Path(end.line.splitlines()[-1].strip())))
    return done
