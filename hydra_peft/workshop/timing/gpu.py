"""Suite ``gpu``: all that a GPU has to show, part by part, in minutes."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hydra_peft.checkout import ROOT, script_command
from hydra_peft.errors import UserError
from hydra_peft.files import read_json
from hydra_peft.listed import listed
from hydra_peft.workshop.timing._machine import short_name
from hydra_peft.workshop.timing._processes import run_limited
from hydra_peft.workshop.timing._report import Report, measure
from hydra_peft.workshop.timing.settings import (
    CorrectnessSettings,
    GpuSettings,
    LayerSettings,
    PackedSettings,
    StepSettings,
    Table4Settings,
    Table8Settings,
    TaskSettings,
)

#: what a part needs beside the seconds that its own settings limit: imports, models, compiling
BESIDE_SECONDS = 25
#: of the time, for the start and the end of this process
OWN_SECONDS = 20
TINY = "vit_mini"


@dataclass(frozen=True)
class _Part:
    """A suite as a part of this one.

    Attributes:
        share: of the time, more where parts before it left some.
        real: what is measured on a GPU of this decade.
        dry: the same, tiny.
        limit: the setting of ``real`` that takes the seconds which the part may use, if any.
    """

    share: float
    real: Any
    dry: Any
    limit: str = ""


PARTS: dict[str, _Part] = {
    "correctness": _Part(
        0.20,
        CorrectnessSettings(),
        CorrectnessSettings(only="test_gpu_processes", marked="not gpu"),
        limit="seconds",
    ),
    "layer": _Part(
        0.08,
        LayerSettings(batch_sizes=(16, 64), precisions="bf16,fp32", repeats=7, calls=20),
        LayerSettings(batch_sizes=(1,), repeats=1),
    ),
    "step": _Part(
        0.23,
        StepSettings(batch_sizes=(16, 64), precisions="bf16,fp32", repeats=3, calls=3),
        StepSettings(TINY, batch_sizes=(2,), precisions="fp32,bf16", repeats=1, memory=False),
    ),
    "packed": _Part(
        0.12,
        PackedSettings(batch_sizes=(16, 64), precisions="bf16", repeats=3, calls=3),
        PackedSettings(TINY, batch_sizes=(2,), runs=(1, 2), repeats=1),
    ),
    "table4": _Part(
        0.10,
        Table4Settings(timed="false"),
        Table4Settings(TINY, batch_size=4, images=10, epochs=1, repeats=1),
    ),
    "task": _Part(
        0.15,
        TaskSettings(images=1000, test_images=10_000, epochs=100, batch_size=64, plain_seconds=40),
        TaskSettings(
            images=4,
            test_images=3,
            epochs=2,
            evaluations=2,
            batch_size=4,
            architecture=TINY,
            pixels=32,
        ),
    ),
    "table8": _Part(
        0.12,
        Table8Settings(),
        Table8Settings(TINY, epochs=2, repeats=1, divide=500, batch_size=2, pack=2),
        limit="seconds",
    ),
}


def run(device: torch.device, settings: GpuSettings, report: Report) -> None:
    """Do the parts one after the other, each in a process of its own but in a dry run.

    Each writes ``<part>-<card>.json`` beside this report's file as soon as it is done. One that
    fails, or is not through when its share of the time is, does not stop the next.

    Raises:
        UserError: there is no GPU.
    """
    asked = listed("parts", settings.parts)
    names = [name for name in PARTS if name in asked]
    if device.type != "cuda" and not settings.dry:
        raise UserError(
            "bench.py gpu measures a GPU, and torch finds none that it may use here: dry=true goes "
            "through every part with tiny sizes."
        )
    report.settings = dict(vars(settings))
    if settings.dry:
        report.notes.append("a dry run with tiny sizes: its figures say nothing about speed")
    end = time.perf_counter() + 60 * settings.minutes - OWN_SECONDS
    for position, name in enumerate(names):
        shares = sum(PARTS[other].share for other in names[position:])
        seconds = (end - time.perf_counter()) * PARTS[name].share / shares
        _do(name, seconds, settings.dry, report)


def _do(name: str, seconds: float, dry: bool, report: Report) -> None:
    """Do a part in at most so many seconds, and take note of what became of it."""
    assert report.path is not None, "parts write beside it"
    path = report.path.with_name(f"{name}-{short_name(report.device)}.json")
    limit = " (dry: to its end)" if dry else f": at most {seconds:.0f} s"
    report.say(f"\n== {name}{limit}")
    begun = time.perf_counter()
    said = _dry(name, path, report) if dry else _real(name, path, seconds, report)
    if said:
        report.failed.append(f"{name}: {said}")
    else:
        report.notes += [f"{name}: {note}" for note in read_json(path)["notes"]]
    outcome = "failed" if said else "done"
    took = time.perf_counter() - begun
    report.add({"part": name, "outcome": outcome, "s": took, "file": path.name, "said": said})


def _dry(name: str, path: Path, report: Report) -> str:
    """Go through a part in this process; return what went wrong, or nothing."""
    try:
        part = measure(name, PARTS[name].dry, report.device, path, report.say)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "; ".join(part.failed)


def _real(name: str, path: Path, seconds: float, report: Report) -> str:
    """Do a part in a process of its own; return what went wrong, or nothing."""
    part = PARTS[name]
    settings = part.real
    if part.limit:
        own = max(30, int(seconds) - BESIDE_SECONDS)
        settings = dataclasses.replace(settings, **{part.limit: own})
    partial = path.with_suffix(".incomplete.json")
    partial.unlink(missing_ok=True)
    begun = time.time()
    command = [*command_of(name, settings), f"device={report.device.type}", f"out={path}"]
    ended = run_limited(command, ROOT, seconds, report.say)
    if ended.code == 0:
        return ""
    kept = f"; what it had measured: {partial.name}" if partial.exists() else ""
    if ended.stopped:
        return f"not through after {ended.seconds:.0f} s, its share of the time{kept}"
    for written in (partial, path):
        if written.exists() and written.stat().st_mtime >= begun:
            content = read_json(written)
            reason = content.get("incomplete") or "; ".join(content["failed"])
            if reason:
                return f"{reason}{kept}"
    last = next((line for line in reversed(ended.lines) if line.strip()), "without a word")
    return f"ended with {ended.code}: {last}{kept}"


def command_of(name: str, settings: Any) -> list[str]:
    """Return the command line of a suite with ``settings``, those that are the default left out."""
    words = []
    for key, value in vars(settings).items():
        if value != getattr(type(settings)(), key):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(f"{key}={text.lower() if isinstance(value, bool) else text}")
    return [*script_command("bench"), name, *words]
