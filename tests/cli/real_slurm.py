"""A SLURM of one node, started by hand in a folder of its own: no accounts, no cgroups, no root."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from isolation import ORIGINAL_PATH

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=2
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=1 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm_of_one_node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Start the daemons, point SLURM's commands to them, and stop all of it at the end."""
    # Tests cannot see this machine's schedulers; what follows talks to a cluster of its own.
    monkeypatch.setenv("PATH", os.environ[ORIGINAL_PATH])
    munged, slurmctld, slurmd = (_daemon(name) for name in ("munged", "slurmctld", "slurmd"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm")))
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(mode=0o755)
        folder.chmod(0o755)
        key = folder / "munge/key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        conf = folder / "slurm.conf"
        host = socket.gethostname().split(".")[0]
        known = {"host": host, "user": getpass.getuser()}
        conf.write_text(CONF.format(folder=folder, ports=_free_ports(2), **known))
        monkeypatch.setenv("SLURM_CONF", str(conf))
        files = [f"--{name}-file={folder}/munge/{name}" for name in ("key", "pid", "log", "seed")]
        socket_word = f"--socket={folder}/munge/socket"
        stack.enter_context(_running([munged, "--foreground", "--force", socket_word, *files]))
        _wait_for(folder / "munge/socket")
        stack.enter_context(_running([slurmctld, "-D", "-i"]))
        stack.enter_context(_running([slurmd, "-D"]))
        stack.callback(_end_jobs)
        _wait_until_idle(folder)
        yield folder


def _daemon(name: str) -> str:
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if found is None or shutil.which("sbatch") is None:
        pytest.skip(f"no SLURM to start here ({name}): apt-get install slurm-wlm munge")
    return found


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.05)


def _wait_until_idle(folder: Path) -> None:
    until = time.monotonic() + 30
    while "idle" not in _said("sinfo", "--noheader", "--format=%t"):
        logs = [path.read_text()[-2000:] for path in folder.glob("*.log")]
        assert time.monotonic() < until, "\n".join(logs)
        time.sleep(0.2)


def _end_jobs() -> None:
    """End every job, since what SLURM started outlives its daemons."""
    _said("scancel", "--state=PENDING", f"--user={os.getuid()}")
    # submitit's jobs pass over SIGTERM.
    _said("scancel", "--signal=KILL", "--full", f"--user={os.getuid()}")
    until = time.monotonic() + 20
    while _said("squeue", "--noheader") and time.monotonic() < until:
        time.sleep(0.2)


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    return done.stdout.strip()
