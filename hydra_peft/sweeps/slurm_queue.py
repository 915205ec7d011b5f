"""The states of jobs in SLURM's queue, as ``squeue`` tells them, accounting or none."""

from __future__ import annotations

import logging
import os
import subprocess
import time

log = logging.getLogger("hydra_peft")

#: between two questions to SLURM's controller, which all users of a cluster share
QUEUE_SECONDS = 30.0
#: how long a controller that is restarted or overrun may take to answer
_ANSWER_SECONDS = 60.0
#: base states in which a job is over (SLURM's squeue manual, "job state codes")
_OVER = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"}
_OVER |= {"OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"}
GONE = "no longer in the queue"


class SlurmQueue:
    """Tells which of this user's jobs are over; asks at most every :data:`QUEUE_SECONDS`.

    ``sacct`` would say the same only where the cluster keeps accounts.
    """

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._answered = False
        self._asked = float("-inf")
        self._failing = False
        self._held: set[str] = set()

    def over(self, job_id: str) -> str | None:
        """Return the end of a SLURM job; None while it waits, runs, or while nobody can tell.

        Args:
            job_id: as ``sbatch`` gave it, ``123`` or, of an array, ``123_4``.

        Returns:
            SLURM's word, such as ``FAILED``, or :data:`GONE` of a job that it has forgotten, which
            it does some minutes after the end.
        """
        if time.monotonic() - self._asked >= QUEUE_SECONDS:
            self._ask()
        if not self._answered:
            return None
        state = self._states.get(job_id, GONE)
        if "held" in self._reasons.get(job_id, "").lower() and job_id not in self._held:
            self._held.add(job_id)
            log.warning(
                "job %s is held (%s): 'scontrol release %s' lets it start, 'scancel %s' ends it.",
                *(job_id, self._reasons[job_id], job_id, job_id),
            )
        return state if state == GONE or state in _OVER else None

    def ask_anew(self) -> None:
        """Ask at the next look: jobs were submitted since the last answer."""
        self._asked = float("-inf")

    def _ask(self) -> None:
        """Ask for all jobs of this user: a question for one that is forgotten is an error."""
        command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
        self._asked = time.monotonic()
        try:
            answer = subprocess.run(
                [*command, "--format=%i|%T|%r"],
                capture_output=True,
                text=True,
                check=True,
                timeout=_ANSWER_SECONDS,
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._answered = False
            if not self._failing:
                said = " ".join(str(getattr(error, "stderr", None) or error).split())[:200]
                log.warning("squeue does not answer (%s): jobs that die go unnoticed.", said)
            self._failing = True
            return
        self._answered, self._failing = True, False
        rows = [line.strip().split("|", 2) for line in answer.stdout.splitlines()]
        self._states = {row[0]: row[1] for row in rows if len(row) == 3}
        self._reasons = {row[0]: row[2] for row in rows if len(row) == 3}
