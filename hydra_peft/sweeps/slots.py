"""Slots of a machine: each runs one job at a time with a share of GPUs or cores."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hydra_peft.config.schema import LauncherConfig
from hydra_peft.cores import SHARED, VARIABLES, threads_are_given, usable_cores
from hydra_peft.errors import UserError
from hydra_peft.sweeps.job import Job

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Slot:
    """A share of the machine.

    Attributes:
        name: for people: ``GPU 0``, ``CPU slot 1``.
        environment: what a process of the slot has set before Python starts, since libraries read
            it when they are loaded.
    """

    name: str
    environment: Mapping[str, str]


def slots_for(jobs: Sequence[Job]) -> list[Slot]:
    """Return the slots that ``jobs``, all of one sweep, ask for.

    Raises:
        UserError: they ask for different ones, or for a GPU that is not there.
    """
    asked = {_asked(job) for job in jobs}
    return slots_of({launcher for launcher, _ in asked}, {device for _, device in asked})


def _asked(job: Job) -> tuple[LauncherConfig, str]:
    """Return what ``job`` says of slots; of its config no more is built."""
    values = json.loads(job.config)
    return LauncherConfig(**values.get("launcher", {})), str(values.get("device"))


def slots_of(launchers: set[LauncherConfig], devices: set[str]) -> list[Slot]:
    """Return the slots of a sweep by the ``launcher`` sections and devices of its jobs.

    Raises:
        UserError: see :func:`slots_for`.
    """
    return plan_slots(one_launcher(launchers), devices) if launchers else []


def one_launcher(launchers: set[LauncherConfig]) -> LauncherConfig:
    """Return the ``launcher`` section that all jobs of a sweep have.

    Raises:
        UserError: they have different ones.
    """
    if len(launchers) > 1:
        raise UserError(
            "launcher.* says how a whole sweep is done and cannot differ between its jobs: give "
            "one value for each of its keys; a list of GPUs is launcher.gpus=[0,2]."
        )
    return next(iter(launchers))


def plan_slots(config: LauncherConfig, devices: set[str]) -> list[Slot]:
    """Return the slots of this machine.

    Args:
        config: how to divide it.
        devices: those of the jobs: ``auto``, ``cpu``, ``cuda``.

    Raises:
        UserError: a GPU that is not there.
    """
    gpus = [] if devices == {"cpu"} else visible_gpus()
    if devices != {"cpu"} and config.gpus != "all":
        absent = [gpu for gpu in config.gpus if gpu >= len(gpus)]
        if absent:
            raise UserError(_absent(absent, len(gpus)))
        gpus = [gpus[gpu] for gpu in config.gpus]
    if gpus:
        # In turns, so that few jobs spread over all GPUs.
        named = [(f"GPU {gpu}", {VISIBLE: gpu}) for gpu in gpus] * config.jobs_per_gpu
    else:
        cores = usable_cores()
        count = max(1, cores // 2) if config.cpu_slots == "auto" else config.cpu_slots
        # Without a GPU in sight device=auto means the CPU in every slot.
        named = [(f"CPU slot {number}", {VISIBLE: ""}) for number in range(count)]
    threads = dict.fromkeys(VARIABLES, _share(len(named)))
    if not threads_are_given():
        threads[SHARED] = "1"
    return [Slot(name, {**own, **threads}) for name, own in named]


def visible_gpus() -> list[str]:
    """Return, for each GPU that this process may use, what makes it the only one of a child.

    CUDA is not initialised: torch asks the driver's management library.
    """
    import torch

    count = torch.cuda.device_count()
    visible = os.environ.get(VISIBLE)
    # Indices, or names such as GPU-<uuid>; a child counts in the same order.
    entries = map(str, range(count)) if visible is None else visible.split(",")
    return [entry.strip() for entry in entries][:count]


def _absent(absent: Sequence[int], count: int) -> str:
    here = {0: "there is no GPU here", 1: "there is GPU 0 alone here"}
    there = here.get(count, f"there are GPUs 0 to {count - 1} here")
    named = ", ".join(map(str, absent))
    return (
        f"launcher.gpus names GPU {named}, but {there}: correct the list, or leave it out to use "
        "all."
    )


def _share(slots: int) -> str:
    """Return the threads of each slot: together no more than there are cores.

    Two processes whose threads compete for cores wait for each other at every product of matrices,
    a hundred times as long as the product takes.
    """
    share = max(1, usable_cores() // slots)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return str(min(share, int(asked)) if asked.isdecimal() and int(asked) else share)
