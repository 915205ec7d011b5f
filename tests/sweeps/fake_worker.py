"""A worker whose jobs are told in their config what to do; it loads no torch."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from pathlib import Path

from hydra_peft.disk_errors import TakesNoMore
from hydra_peft.sweeps.job import ElsewhereRun, Job, JobEnd
from hydra_peft.sweeps.worker import serve


def do(job: Job) -> JobEnd:
    order = json.loads(job.config)
    act, folder = order["act"], Path(order["folder"])
    (folder / f"{job.name}.pid").write_text(str(os.getpid()))
    begun = time.monotonic()
    if act == "abort":
        os.abort()
    if act == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if act == "leave":
        os._exit(3)
    while not all(Path(path).exists() for path in order.get("after", ())):
        if time.monotonic() - begun > 60:
            return JobEnd(job, "failed", f"{job.name}: waited in vain", error="waited in vain")
        time.sleep(0.01)
    if act == "fail":
        return JobEnd(job, "failed", f"{job.name}: failed", error="failed")
    if act == "full":
        full = OSError(errno.ENOSPC, "No space left on device", "/some/file")
        raise TakesNoMore(full, "cannot write the cache /some/file.")
    if act == "print":
        os.write(1, b"printed by a job\n")
    if act == "babble":
        os.write(int(sys.argv[-1]), b'{"end": {"status": "splendid"}}\n')
        time.sleep(60)
    if act == "wait":
        try:
            (folder / f"{job.name}.waits").touch()
            time.sleep(60)
        except KeyboardInterrupt:
            (folder / f"{job.name}.checkpoint").touch()
            raise
    if act == "claimed" and not (folder / "free").exists():
        run = ElsewhereRun(str(folder), str(folder / "run"), "other")
        return JobEnd(job, "claimed", "claimed", elsewhere=run)
    time.sleep(order.get("seconds", 0))
    seen = {key: os.environ.get(key) for key in order.get("environment", ())}
    line = json.dumps({"pid": os.getpid(), "begun": begun, "ended": time.monotonic(), **seen})
    return JobEnd(job, "completed", line, metric=1.5)


if __name__ == "__main__":
    sys.exit(serve(do, int(sys.argv[-1])))
