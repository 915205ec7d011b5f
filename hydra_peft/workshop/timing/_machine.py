"""Description of the machine behind figures of speed: device name, driver, compiler."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from importlib import metadata

import torch

_MAKERS = ("nvidia", "geforce", "tesla", "quadro", "amd", "instinct")


def short_name(device: torch.device) -> str:
    """Return ``cpu``, or a GPU's name for files: ``h100`` of ``NVIDIA H100 80GB HBM3``."""
    return card(torch.cuda.get_device_name(device)) if device.type == "cuda" else "cpu"


def card(name: str) -> str:
    """Return the short form of a GPU's full name: its words up to the first with a digit."""
    words = [word for word in re.findall(r"[a-z0-9]+", name.lower()) if word not in _MAKERS]
    for count, word in enumerate(words, 1):
        if any(letter.isdigit() for letter in word):
            return "-".join(words[:count])
    return "-".join(words) or "gpu"


def card_versions(device: torch.device) -> dict[str, str]:
    """Return the versions beside a run's own that a GPU's figures depend on."""
    if device.type != "cuda":
        return {}
    found = {"cuda": str(torch.version.cuda or torch.version.hip), "driver": _driver()}
    for package in ("triton", "peft"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@cache
def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else "unknown"
