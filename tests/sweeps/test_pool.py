"""Worker processes: what each costs when it dies, and that none is left behind."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest

from hydra_peft.disk_errors import disk_sentence
from hydra_peft.errors import UserError
from hydra_peft.sweeps import deferred, pool
from hydra_peft.sweeps.job import Job, JobEnd
from hydra_peft.sweeps.messages import encode_job
from hydra_peft.sweeps.pool import Pool
from hydra_peft.sweeps.slots import Slot
from hydra_peft.sweeps.worker import INTERRUPTED

FAKE = (sys.executable, str(Path(__file__).parent / "fake_worker.py"))
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Job]:
    def made(name: str, act: str = "work", **more: object) -> Job:
        return Job((name,), json.dumps({"act": act, "folder": str(tmp_path), **more}))

    return made


Order = Callable[..., Job]


def slots(count: int) -> list[Slot]:
    return [Slot(f"slot {number}", {"NUMBER": str(number)}) for number in range(count)]


def run(jobs: list[Job], count: int, crashed: list[tuple[Job, str]] | None = None) -> list[JobEnd]:
    def record(job: Job, sentence: str) -> None:
        if crashed is not None:
            crashed.append((job, sentence))

    with closing(Pool(jobs, slots(count), FAKE, record).ends()) as ends:
        return list(ends)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def pids(folder: Path) -> list[int]:
    return [int(path.read_text() or 0) for path in folder.glob("*.pid")]


def test_jobs_go_one_at_a_time_to_workers_that_stay(order: Order, tmp_path: Path) -> None:
    # The first two wait for each other: both workers work at the same time.
    both = [str(tmp_path / f"{n}.pid") for n in range(2)]
    jobs = [order(str(n), after=both, environment=["NUMBER"]) for n in range(6)]
    ends = run(jobs, 2)
    assert {end.job.name for end in ends} == set("012345")
    assert {(end.status, end.metric) for end in ends} == {("completed", 1.5)}
    done = [json.loads(end.line) for end in ends]
    assert len({(one["pid"], one["NUMBER"]) for one in done}) == 2
    for number in "01":
        mine = [one for one in done if one["NUMBER"] == number]
        mine.sort(key=lambda one: one["begun"])
        assert all(a["ended"] <= b["begun"] for a, b in pairwise(mine))


def test_ends_are_given_when_they_happen(order: Order, tmp_path: Path) -> None:
    go = tmp_path / "go"
    jobs = [order("slow", after=[str(go)]), order("fast")]
    with closing(Pool(jobs, slots(2), FAKE, lambda *_: None).ends()) as ends:
        assert next(ends).job.name == "fast"
        go.touch()
        assert next(ends).job.name == "slow"


def test_no_more_workers_than_jobs(order: Order) -> None:
    (end,) = run([order("only")], 8)
    assert end.status == "completed"


@pytest.mark.parametrize(
    ("act", "how"),
    [
        ("kill", "ended by signal 9 (killed; out of memory?)."),
        ("abort", "ended by signal 6 (aborted)."),
        ("leave", "ended with exit code 3."),
        ("babble", "ended by signal 9"),
    ],
)
def test_a_worker_that_dies_costs_its_own_job(order: Order, act: str, how: str) -> None:
    jobs = [order("a"), order("bad", act), order("b"), order("c")]
    crashed: list[tuple[Job, str]] = []
    ends = {end.job.name: end for end in run(jobs, 1, crashed)}
    assert {name: end.status for name, end in ends.items()} == {
        "a": "completed",
        "bad": "failed",
        "b": "completed",
        "c": "completed",
    }
    assert how in str(ends["bad"].error)
    assert ends["bad"].line == f"bad: {ends['bad'].error}"
    assert crashed == [(jobs[1], ends["bad"].error)]
    workers = [json.loads(ends[name].line)["pid"] for name in "abc"]
    assert workers[0] != workers[1] == workers[2]


def test_a_worker_that_is_killed_from_outside(order: Order, tmp_path: Path) -> None:
    begun = [str(tmp_path / "victim.waits")]
    jobs = [order("victim", "wait"), order("a", after=begun), order("b")]
    with closing(Pool(jobs, slots(2), FAKE, lambda *_: None).ends()) as ends:
        assert next(ends).job.name == "a"
        os.kill(int((tmp_path / "victim.pid").read_text()), signal.SIGKILL)
        rest = {end.job.name: end.status for end in ends}
    assert rest == {"victim": "failed", "b": "completed"}


def test_a_worker_that_is_asked_to_end_interrupts_its_job_only(
    order: Order, tmp_path: Path
) -> None:
    begun = [str(tmp_path / "victim.waits")]
    jobs = [order("victim", "wait"), order("a", after=begun), order("b")]
    with closing(Pool(jobs, slots(2), FAKE, lambda *_: None).ends()) as ends:
        assert next(ends).job.name == "a"
        os.kill(int((tmp_path / "victim.pid").read_text()), signal.SIGTERM)
        rest = {end.job.name: end.status for end in ends}
    assert rest == {"victim": "interrupted", "b": "completed"}
    assert (tmp_path / "victim.checkpoint").exists()


def test_workers_that_cannot_start_are_one_sentence(
    order: Order, capfd: pytest.CaptureFixture[str]
) -> None:
    command = (sys.executable, "-c", "raise SystemExit('no such module')")
    ends = Pool([order("a")], slots(1), command, lambda *_: None).ends()
    with pytest.raises(UserError, match="exit code 1 before its first job, three times in a row"):
        next(ends)
    assert capfd.readouterr().err.count("no such module") == 3


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            "class NoMemory:\n"
            "    def find_spec(self, name, *_):\n"
            "        if name.startswith('hydra_peft.sweeps.one_job'): raise MemoryError\n"
            "sys.meta_path.insert(0, NoMemory())\n",
            "there is not enough memory: take less at once, or free some.",
        ),
        (
            "import threading, types\n"
            "sys.modules['hydra_peft.sweeps.one_job'] = types.SimpleNamespace(do_job=None)\n"
            'def start(thread): raise RuntimeError("can\'t start new thread")\n'
            "threading.Thread.start = start\n",
            "no further thread can be started here: raise the limit of memory (ulimit -v) or of "
            "processes (ulimit -u), or end others.",
        ),
    ],
)
def test_a_worker_that_cannot_begin_says_so_in_one_line(code: str, sentence: str) -> None:
    code = f"import sys\n{code}from hydra_peft.sweeps import worker\nworker.main()"
    done = subprocess.run([sys.executable, "-c", code, "1"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == f"{sentence}\n"


def test_a_slot_that_cannot_start_leaves_the_work_to_the_others(
    order: Order, caplog: pytest.LogCaptureFixture
) -> None:
    start = f"import os, sys; os.environ['NUMBER'] == '0' and sys.exit(1); os.execv({FAKE[0]!r}, "
    command = (sys.executable, "-c", f"{start}[*{FAKE!r}, sys.argv[-1]])")
    jobs = [order(str(n), seconds=0.3, environment=["NUMBER"]) for n in range(4)]
    with closing(Pool(jobs, slots(2), command, lambda *_: None).ends()) as ends:
        assert {json.loads(end.line)["NUMBER"] for end in ends} == {"1"}
    assert "slot 0 cannot be used" in caplog.text


def slow_to_start(seconds: float, until_there: Path) -> tuple[str, ...]:
    start = (
        "import os, sys, time\n"
        f"until = time.monotonic() + {seconds}\n"
        f"while time.monotonic() < until and not os.path.exists({str(until_there)!r}):\n"
        "    time.sleep(0.01)\n"
        f"os.execv({FAKE[0]!r}, [*{FAKE!r}, sys.argv[-1]])"
    )
    return (sys.executable, "-c", start)


def test_a_worker_that_does_not_become_ready_is_told_of(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("START_SECONDS", "AGAIN_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(pool, name, 0.01)
    go, told = tmp_path / "go", []

    def warning(message: str, *values: object) -> None:
        told.append(message % values)
        if len(told) == 3:
            go.touch()

    monkeypatch.setattr(pool.log, "warning", warning)
    command = slow_to_start(20, go)
    with closing(Pool([order("a")], slots(1), command, lambda *_: None).ends()) as ends:
        (end,) = ends
    # It was not killed.
    pid = json.loads(end.line)["pid"]
    assert len(told) >= 3
    for sentence in told:
        assert f"slot 0 (process {pid})" in sentence
        assert f"'kill {pid}'" in sentence


def test_a_worker_that_does_not_become_ready_is_told_of_once_for_long(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "START_SECONDS", 0.0)
    monkeypatch.setattr(pool, "LOOK_SECONDS", 0.01)
    told: list[str] = []
    monkeypatch.setattr(pool.log, "warning", lambda text, *values: told.append(text % values))
    command = slow_to_start(0.3, tmp_path / "never")
    jobs = [order(str(n), seconds=0.1) for n in range(2)]
    with closing(Pool(jobs, slots(2), command, lambda *_: None).ends()) as ends:
        workers = {json.loads(end.line)["pid"] for end in ends}
    assert workers
    # Two that are late together are one sentence.
    assert len(told) == 1
    assert "slot 0 (process " in told[0]
    assert "slot 1 (process " in told[0]


def test_a_full_disk_stops_all(order: Order, tmp_path: Path) -> None:
    jobs = [order("other", "wait"), order("a"), order("bad", "full")]
    ends = Pool(jobs, slots(2), FAKE, lambda *_: None).ends()
    assert next(ends).job.name == "a"
    with pytest.raises(OSError, match="/some/file") as raised:
        next(ends)
    assert raised.value.errno == errno.ENOSPC
    assert disk_sentence(raised.value) == "cannot write the cache /some/file."
    assert (tmp_path / "other.checkpoint").exists()
    assert not any(map(is_running, pids(tmp_path)))


def at_one_look(
    order: Order, folder: Path, acts: dict[str, str], *, fail_fast: bool = False
) -> Iterator[JobEnd]:
    """Give the ends of jobs that do ``acts`` and have all ended when the pool looks again."""
    go = folder / "go"
    begun = [str(folder / f"{name}.pid") for name in acts]
    jobs = [order(name, act, after=[str(go)]) for name, act in acts.items()]
    jobs.append(order("first", after=begun))
    pool = Pool(jobs, slots(len(jobs)), FAKE, lambda *_: None, fail_fast=fail_fast)
    ends = pool.ends()
    assert next(ends).job.name == "first"
    go.touch()
    theirs = [worker.ends for worker in pool._workers if worker.job is not None]
    until(lambda: len(select.select(theirs, [], [], 0)[0]) == len(acts))
    yield from ends


def test_what_ended_together_with_a_failure_is_told(order: Order, tmp_path: Path) -> None:
    acts = {"bad": "fail", "good": "work", "worse": "fail"}
    told = {end.job.name: end.status for end in at_one_look(order, tmp_path, acts, fail_fast=True)}
    assert told == {"bad": "failed", "good": "completed", "worse": "failed"}


def test_a_failure_starts_no_other_job(order: Order, tmp_path: Path) -> None:
    jobs = [order("bad", "fail"), order("never"), order("either")]
    pool = Pool(jobs, slots(1), FAKE, lambda *_: None, fail_fast=True)
    with closing(pool.ends()) as ends:
        assert [end.job.name for end in ends] == ["bad"]
    assert [path.stem for path in tmp_path.glob("*.pid")] == ["bad"]


def test_what_ended_together_with_a_full_disk_is_told(order: Order, tmp_path: Path) -> None:
    ends = at_one_look(order, tmp_path, {"a": "work", "bad": "full", "b": "work"})
    assert sorted(next(ends).job.name for _ in range(2)) == ["a", "b"]
    with pytest.raises(OSError, match="/some/file"):
        next(ends)


def test_who_stops_asking_stops_the_workers(order: Order, tmp_path: Path) -> None:
    waits = str(tmp_path / "other.waits")
    jobs = [order("other", "wait"), order("a", after=[waits]), order("never")]
    with closing(Pool(jobs[:2], slots(2), FAKE, lambda *_: None).ends()) as ends:
        assert next(ends).job.name == "a"
    assert (tmp_path / "other.checkpoint").exists()
    assert not any(map(is_running, pids(tmp_path)))


def test_a_job_that_does_not_stop_is_killed_in_the_end(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "GRACE_SECONDS", 0.0)
    jobs = [order("x", "wait"), order("a", after=[str(tmp_path / "x.waits")])]
    with closing(Pool(jobs, slots(2), FAKE, lambda *_: None).ends()) as ends:
        next(ends)
        os.kill(int((tmp_path / "x.pid").read_text()), signal.SIGSTOP)
    assert not any(map(is_running, pids(tmp_path)))


def test_what_jobs_print_is_no_output_of_the_sweep(
    order: Order, capfd: pytest.CaptureFixture[str]
) -> None:
    run([order("a", "print")], 1)
    assert capfd.readouterr() == ("", "printed by a job\n")


def test_claimed_jobs_are_come_back_to(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra_peft.runs.claims import claim

    for module in (deferred, pool):
        monkeypatch.setattr(module, "POLL_SECONDS", 0.1)
    jobs = [order("theirs", "claimed"), order("a"), order("b")]
    with closing(Pool(jobs, slots(1), FAKE, lambda *_: None).ends()) as ends:
        with claim(tmp_path, tmp_path / "run"):
            assert [next(ends).job.name for _ in range(2)] == ["a", "b"]
            (tmp_path / "free").touch()
            last: list[JobEnd] = []
            waiting = Thread(target=lambda: last.extend(ends))
            waiting.start()
            time.sleep(1.5)
            assert not last  # as long as the claim is held
        waiting.join(30)
    assert [(end.job.name, end.status) for end in last] == [("theirs", "completed")]


PARENT = """
import json, sys
from contextlib import closing
from hydra_peft.cli.guard import guarded
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.pool import Pool
from hydra_peft.sweeps.slots import Slot

def main():
    jobs = [Job((n,), json.dumps({"act": "wait", "folder": sys.argv[1]})) for n in "ab"]
    slots = [Slot(n, {}) for n in "ab"]
    with closing(Pool(jobs, slots, sys.argv[2:], lambda *_: None).ends()) as ends:
        for end in ends:
            print(end)
    return 0

sys.exit(guarded(main))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), *FAKE],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    until(lambda: len(pids(tmp_path)) == 2 and all(pids(tmp_path)))
    workers = pids(tmp_path)
    assert all(map(is_running, workers))
    # As a terminal does it: to the whole group, of which workers are no part.
    os.killpg(parent.pid, number)
    out, err = parent.communicate(timeout=30)
    until(lambda: not any(map(is_running, workers)))
    assert {path.stem for path in tmp_path.glob("*.checkpoint")} == {"a", "b"}
    if number != signal.SIGKILL:
        assert parent.returncode == 130
        assert err.decode() == "error: interrupted; what was complete before is kept.\n"
        assert out == b""


HURRIED = """
import queue, sys, threading, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from fake_worker import do
from hydra_peft.sweeps import worker

made, write = [], worker._write

class Jobs(queue.SimpleQueue):
    def __init__(self):
        made.append(self)

def when_read(ends, line):
    write(ends, line)
    if sys.argv[2] == "all":
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join()
    while sys.argv[2] == "next" and made[0].empty():
        time.sleep(0.001)

queue.SimpleQueue = Jobs
worker._write = when_read
sys.exit(worker.serve(do, 2))
"""


def hurried(until_read: str) -> subprocess.Popen[bytes]:
    """Start a worker that goes on from what it says only when ``all`` or the ``next`` is read."""
    folder = str(Path(__file__).parent)
    return subprocess.Popen(
        [sys.executable, "-c", HURRIED, folder, until_read],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_parent_that_is_gone_before_its_job_is_begun(order: Order, tmp_path: Path) -> None:
    worker = hurried("all")
    _, said = worker.communicate(encode_job(order("a")), timeout=30)
    assert worker.returncode == INTERRUPTED
    assert b"completed" not in said
    assert not pids(tmp_path)


def test_a_parent_that_is_gone_in_the_job_after_the_first(order: Order, tmp_path: Path) -> None:
    worker = hurried("next")
    assert worker.stdin is not None
    assert worker.stderr is not None
    worker.stdin.write(encode_job(order("a")))
    worker.stdin.flush()
    said = [json.loads(worker.stderr.readline()) for _ in range(2)]
    assert said[1]["end"]["status"] == "completed"
    # It comes before the worker is through with telling of the first.
    worker.stdin.write(encode_job(order("b", "wait")))
    worker.stdin.flush()
    until(lambda: (tmp_path / "b.pid").exists())
    _, last = worker.communicate(timeout=30)
    assert worker.returncode == INTERRUPTED
    assert json.loads(last)["end"]["status"] == "interrupted"
    assert (tmp_path / "b.checkpoint").exists()
