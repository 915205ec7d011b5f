"""What tests must not reach is out of reach."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from isolation import SCHEDULERS, without_schedulers


@pytest.mark.parametrize("name", SCHEDULERS)
def test_no_scheduler(name: str) -> None:
    assert shutil.which(name) is None


def test_a_folder_loses_its_schedulers_alone(tmp_path: Path) -> None:
    for name in ("mixed/sbatch", "mixed/tool", "plain/other"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("#!/bin/sh\necho here\n")
        path.chmod(0o755)
    (tmp_path / "links").mkdir()
    path = without_schedulers(f"{tmp_path}/mixed:{tmp_path}/plain:/none", tmp_path / "links")
    assert path.split(":")[1:] == [f"{tmp_path}/plain", "/none"]
    assert shutil.which("sbatch", path=path) is None
    tool = shutil.which("tool", path=path)
    assert tool is not None
    assert subprocess.run([tool], capture_output=True, text=True, check=True).stdout == "here\n"


def test_home_is_empty_and_ours() -> None:
    home = Path.home()
    assert home.name == "home"
    assert home.parent.name.startswith("hydra_peft-tests-")
    code = "import pathlib; print(pathlib.Path.home())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()) == home
    assert not [name for name in os.environ if name.startswith(("SLURM_", "XDG_"))]


def test_no_network() -> None:
    with socket.socket() as one, pytest.raises(OSError, match="tests use no network"):
        one.connect(("192.0.2.1", 80))  # RFC 5737: an address for documentation
    with socket.socket() as one, pytest.raises(ConnectionRefusedError):
        one.connect(("127.0.0.1", 9))
