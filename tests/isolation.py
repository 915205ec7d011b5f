"""Isolation of the tests from this machine's schedulers, home folder and network."""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import socket
import tempfile
from pathlib import Path

#: commands that would talk to a cluster
SCHEDULERS = ("sbatch", "srun", "salloc", "squeue", "scontrol", "scancel", "sacct", "sinfo")
#: variables that a program takes a folder of the user's from, or the job it is part of
_PREFIXES = ("XDG_", "SLURM_", "SBATCH_", "HF_", "TORCH_HOME", "HYDRA_PEFT_TEST_")
#: an address where nothing listens
_NOWHERE = "http://127.0.0.1:9"
#: holds the PATH from before; set where this was done
ORIGINAL_PATH = "HYDRA_PEFT_TESTS_ORIGINAL_PATH"
#: holds a folder that all processes of one call of pytest share
PLACE = "HYDRA_PEFT_TESTS_PLACE"


def isolate() -> None:
    """Give this process, and what it starts, an own home and PATH, and no network but loopback."""
    _loopback_alone()
    if ORIGINAL_PATH in os.environ:  # a worker of pytest-xdist: what started it has done the rest
        return
    place = tempfile.mkdtemp(prefix="hydra_peft-tests-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith(_PREFIXES)]:
        if name != "HYDRA_PEFT_REQUIRE_BROWSER":
            del os.environ[name]
    path = os.environ.get("PATH", os.defpath)
    os.environ |= {
        ORIGINAL_PATH: path,
        PLACE: place,
        "HOME": f"{place}/home",
        "PATH": without_schedulers(path, Path(place)),
        "HF_HUB_OFFLINE": "1",
        "http_proxy": _NOWHERE,
        "https_proxy": _NOWHERE,
        "no_proxy": "localhost,127.0.0.1,::1",
    }
    Path(place, "home").mkdir()


def without_schedulers(path: str, place: Path) -> str:
    """Return ``path`` without schedulers' commands: a folder that has one becomes one of links.

    Args:
        path: as in ``PATH``.
        place: an empty folder that the links are made in.
    """
    folders = []
    for number, folder in enumerate(path.split(os.pathsep)):
        if not any(os.path.lexists(os.path.join(folder, name)) for name in SCHEDULERS):
            folders.append(folder)
            continue
        links = place / f"bin{number}"
        links.mkdir()
        for entry in os.scandir(folder):
            if entry.name not in SCHEDULERS:
                (links / entry.name).symlink_to(entry.path)
        folders.append(str(links))
    return os.pathsep.join(folders)


def _loopback_alone() -> None:
    connect = socket.socket.connect

    def checked(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            assert isinstance(address, tuple)
            host = str(address[0])
            if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
                raise OSError(f"a test wants to reach {host}: tests use no network.")
        connect(self, address)  # type: ignore[arg-type]

    socket.socket.connect = checked  # type: ignore[method-assign, assignment]
