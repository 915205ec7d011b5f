"""Hardware, versions of packages and state of the code that a run was made with."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from hydra_peft import resident
from hydra_peft.checkout import IS_CHECKOUT, ROOT
from hydra_peft.training.allocation import return_freed_memory

#: folders of files that are loaded because they are there
LOADED = ("hydra_peft", "conf", "scripts")
#: changed files that a record names
NAMED = 20
_PACKAGES = ("hydra-peft", "torch", "torchvision", "timm", "hydra-core", "omegaconf", "numpy")


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide results."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def hardware(device: torch.device) -> dict[str, Any]:
    """Return the processor, the threads torch uses, and the GPU if the run is on one."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "device": device.type,
    }


@cache
def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@cache
def code_version() -> dict[str, Any]:
    """Return the git commit of this checkout and whether other code ran; None without git.

    ``dirty`` are changes of files that git knows, and files that it does not know where Python or
    Hydra would load them; notes and measurements elsewhere are no code. ``changed`` names them.
    """
    if not IS_CHECKOUT:  # a repository around it would be the user's
        return {"commit": None, "dirty": None, "changed": []}
    commit = _git("rev-parse", "HEAD")
    known = _git("diff", "--name-only", "-z", "HEAD", "--", ":/", ":(top,exclude)results")
    others = _git("ls-files", "--others", "--exclude-standard", "-z", "--", *LOADED)
    if known is None or others is None:
        return {"commit": commit, "dirty": None, "changed": []}
    changed = sorted(name for name in f"{known}\0{others}".split("\0") if name)
    return {"commit": commit, "dirty": bool(changed), "changed": changed[:NAMED]}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def reset_peak_memory(device: torch.device) -> None:
    """Start counting the peak memory of ``device`` anew.

    On a CPU what earlier runs of the process freed is given back before, or it would be counted.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        return_freed_memory()
        resident.forget_peak()


def peak_memory(device: torch.device) -> dict[str, Any]:
    """Return peak memory in bytes: torch's own count on a GPU, the process's on a CPU.

    Either is the peak since :func:`reset_peak_memory`; only Linux lets a process reset its own.
    """
    if device.type == "cuda":
        return {"bytes": torch.cuda.max_memory_allocated(device), "of": "torch on the GPU"}
    return {"bytes": resident.peak_bytes(), "of": "whole process"}
