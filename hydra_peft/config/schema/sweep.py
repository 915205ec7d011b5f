"""``sweep`` and ``launcher``: existing runs, and how many jobs run at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from hydra_peft.config.schema._group import Group, require
from hydra_peft.limits import Limits, Words

#: more jobs at a time than any machine has room for
MAX_SLOTS = 1024


@dataclass(frozen=True)
class SweepConfig(Group, key="sweep"):
    """``sweep``: what to do about runs that there are already, and before the first job.

    Attributes:
        on_existing: about a completed one of the same identity: ``skip`` it, ``rerun`` (the
            earlier folder is kept beside; of a tuned run, with its search), or ``error``. A rerun
            that was interrupted goes on.
        retry: about one that failed: nothing (``none``), start it again (``failed``), diverged
            ones too (``all``). Interrupted ones always go on.
        fail_fast: stop after the first job that does not complete.
        dry_run: print what would be done and end.
    """

    on_existing: Annotated[str, Words("skip", "rerun", "error")]
    retry: Annotated[str, Words("none", "failed", "all")] = "none"
    fail_fast: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class LauncherConfig(Group, key="launcher"):
    """``launcher``: what ``hydra/launcher=local``, ``=packed`` and ``=ray`` make of machines.

    Attributes:
        gpus: ``all``, or a list of those that this process sees: ``[0,2]``.
        jobs_per_gpu: jobs that share a GPU.
        cpu_slots: jobs at a time where the device is the CPU; ``auto`` is half the cores.
        pack: of ``packed``, how many runs share each step; ``auto`` is as many as memory allows.
        address: of the Ray cluster: ``auto`` is the one that this machine is part of, ``local`` one
            of this machine alone, begun for the sweep.
        gpu_fraction: the part of a GPU that a job asks Ray for.
        cpus: the CPUs that a job asks Ray for.
    """

    gpus: Any = "all"
    jobs_per_gpu: Annotated[int, Limits(least=1, most=MAX_SLOTS)] = 1
    cpu_slots: Any = "auto"
    pack: Any = "auto"
    address: str = "auto"
    gpu_fraction: Annotated[float, Limits(above=0, most=1)] = 1.0
    cpus: Annotated[int, Limits(least=1, most=MAX_SLOTS)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        gpus = [self.gpus] if _is_count(self.gpus, 0) else self.gpus
        listed = isinstance(gpus, list) and bool(gpus) and all(_is_count(gpu, 0) for gpu in gpus)
        distinct = listed and len(set(gpus)) == len(gpus)
        expected = "all or a list of different GPUs, such as [0,2]"
        require(gpus == "all" or distinct, "launcher.gpus", gpus, expected)
        object.__setattr__(self, "gpus", gpus if gpus == "all" else tuple(gpus))
        expected = f"auto or a positive whole number up to {MAX_SLOTS}"
        for key in ("cpu_slots", "pack"):
            value = getattr(self, key)
            require(value == "auto" or _is_count(value, 1), f"launcher.{key}", value, expected)


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and Limits(least=least, most=MAX_SLOTS).admit(value)
