"""One command, killed at random moments and typed again until it is done."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.runs.folder import METRICS
from hydra_peft.workshop.chaos.verdict import Witness

#: environment variable that marks the command's processes; children inherit it, whoever their
#: parent becomes
MARK = "HYDRA_PEFT_CHAOS"
#: part of the command line of a worker process
WORKER = "hydra_peft.sweeps.worker"
#: a sweep that does not end after so many more starts than kills never will
SPARE_STARTS = 20
#: seconds in which a killed command's workers must have noticed
ORPHAN_SECONDS = 90.0
#: between looks at what the sweep has written
LOOK_SECONDS = 0.2


@dataclass
class Story:
    """Report of a chaos run: kills by kind of process, starts, seconds, faults."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def disturb(
    command: Sequence[str], runs: Path, log: Path, *, kills: int, pause: float, seed: int
) -> Story:
    """Run ``command`` again and again until it ends by itself with 0, killing as it goes.

    Args:
        command: the sweep; typed the same each time.
        runs: its folder of runs, looked at all the time.
        log: where its output is appended.
        kills: processes to kill; after them the sweep is left alone.
        pause: mean seconds before a kill; moments are drawn from twice its range, for every
            second kill on average counted from the end of an epoch somewhere in the sweep.
        seed: of the moments and the choice of processes.

    Raises:
        UserError: the command does not end although nobody kills it any more.
    """
    draws, mark, story, witness = random.Random(seed), secrets.token_hex(8), Story(), Witness(runs)
    begun = time.monotonic()
    code = None
    while code != 0:
        if story.starts > kills + SPARE_STARTS:
            raise UserError(f"the sweep was started {story.starts} times and is not done: {log}")
        witness.look()
        story.starts += 1
        code = _one_start(command, witness, log, mark, draws, story, kills, pause)
        _wait_for_orphans(mark, story)
    witness.look()
    story.faults += witness.faults
    story.seconds = time.monotonic() - begun
    return story


def _one_start(
    command: Sequence[str],
    witness: Witness,
    log: Path,
    mark: str,
    draws: random.Random,
    story: Story,
    kills: int,
    pause: float,
) -> int:
    """Start the command, kill what is due, return its exit code."""
    # A given number of threads: where they follow the load, so do the last bits.
    environment = {**os.environ, MARK: mark, "OMP_NUM_THREADS": "1"}
    with log.open("ab") as output:
        output.write(f"\n--- start {story.starts}\n".encode())
        output.flush()
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            while story.kills.total() < kills:
                if draws.random() < 0.5:
                    _wait_for_an_epoch(process, witness)
                code = _wait(process, draws.uniform(0.0, 2.0 * pause), witness)
                if code is not None:
                    return code
                if victims := marked(mark):
                    victim = draws.choice(victims)
                    story.kills[victim.kind] += kill(victim)
            while (code := _wait(process, LOOK_SECONDS, witness)) is None:
                pass
            return code
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], seconds: float, witness: Witness) -> int | None:
    """Return the exit code; None if the process has none after ``seconds``. Looks meanwhile."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        witness.look()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=min(left, LOOK_SECONDS))
    return process.poll()


def _wait_for_an_epoch(process: subprocess.Popen[bytes], witness: Witness) -> None:
    """Wait until some run writes the line of an epoch, or the sweep is over.

    A sweep that is killed again and again while it starts shows nothing about what trains.
    """
    begun = time.time()
    while process.poll() is None:
        if any(_changed(path) > begun for path in witness.runs.rglob(METRICS)):
            return
        witness.look()
        time.sleep(LOOK_SECONDS)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _wait_for_orphans(mark: str, story: Story) -> None:
    """Wait until no process of the last start is left; one that stays is a fault."""
    until = time.monotonic() + ORPHAN_SECONDS
    while left := marked(mark):
        if time.monotonic() > until:
            story.faults.append(f"{len(left)} processes outlived their sweep")
            for process in left:
                kill(process)
        time.sleep(0.1)


@dataclass(frozen=True)
class Found:
    """A process: its id, and whether it is the command itself or a worker of it."""

    pid: int
    kind: str


def marked(mark: str) -> list[Found]:
    """Return the live processes with ``mark`` as their value of :data:`MARK`; Linux only."""
    found = []
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # A process that ends while it is looked at has nothing left to read.
        with contextlib.suppress(OSError):
            if wanted not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if "python" not in words[0]:
                continue  # git, asked for the commit
            kind = "worker" if any(WORKER in word for word in words) else "sweep"
            found.append(Found(int(entry.name), kind))
    return found


def kill(process: Found) -> bool:
    """Kill ``process`` as a power failure would (SIGKILL); return whether it was still there."""
    try:
        os.kill(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
