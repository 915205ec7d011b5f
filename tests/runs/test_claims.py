"""Claims: one owner at any time, whatever stops, dies, breaks or lies about the time."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hydra_peft.errors import UserError
from hydra_peft.runs import _claim_files as files
from hydra_peft.runs import _machine
from hydra_peft.runs.claims import Claimed, ClaimLost, Held, Watch, claim, holder

PATIENCE = 0.6
BEAT = 0.05

# Holds a folder and answers what it is asked, a line each. Arguments: runs, folder, beat, host.
HOLD = """
import socket, sys
from pathlib import Path
from hydra_peft.runs.claims import ClaimLost, claim
runs, folder, beat, host = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
if host:
    socket.gethostname = lambda: host
with claim(runs, folder, beat_seconds=beat) as held:
    print("held", flush=True)
    for line in sys.stdin:
        try:
            held.check()
            print("mine", flush=True)
        except ClaimLost as error:
            print(error, flush=True)
"""

# Claims what it is told, at the moment it is told. Lines in: folder, moment of the monotonic clock,
# the claim judged dead; then one line that ends the claim. Argument: runs.
RACE = """
import contextlib, sys, time
from pathlib import Path
from hydra_peft.runs.claims import Claimed, claim
print("ready", flush=True)
for line in sys.stdin:
    folder, moment, dead = line.rstrip("\\n").split("\\t")
    with contextlib.ExitStack() as stack:
        while time.monotonic() < float(moment):
            pass
        try:
            stack.enter_context(claim(Path(sys.argv[1]), Path(folder), dead=dead or None))
            print("won", flush=True)
        except Claimed:
            print("lost", flush=True)
        sys.stdin.readline()
    print("done", flush=True)
"""


class Child:
    """A Python process that is spoken with in lines."""

    def __init__(self, code: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self.answer()

    def say(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def ask(self) -> str:
        self.say()
        return self.answer()

    def end(self) -> int:
        """Let it leave its claim and end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(20)


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def started(code: str, *arguments: object) -> Child:
        children.append(Child(code, *arguments))
        return children[-1]

    yield started
    for child in children:
        child.process.kill()
        child.process.wait(20)
        for pipe in (child.process.stdin, child.process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def folder(runs: Path) -> Path:
    return runs / "mini" / "shapes" / "lora-seed0"


def claim_file(runs: Path, folder: Path, generation: int = 1) -> Path:
    return runs / ".claims" / folder.relative_to(runs) / f"{generation:08d}.json"


def wait_until_dead(watch: Watch, seconds: float = 20) -> float:
    """Return after how many seconds the watched claim was dead."""
    begin = time.monotonic()
    while not watch.is_dead():
        assert time.monotonic() < begin + seconds
        time.sleep(0.02)
    return time.monotonic() - begin


def test_one_holds_and_says_who(runs: Path, folder: Path) -> None:
    assert holder(runs, folder) is None
    with claim(runs, folder) as held:
        held.check()
        found = holder(runs, folder)
        assert found is not None
        assert found.process is not None
        assert found.process.pid == os.getpid()
        said = f"lora-seed0 is being done by process {os.getpid()} on "
        with pytest.raises(Claimed, match=said), claim(runs, folder):
            pass
        held.check()
        with claim(runs, folder.with_name("lora-seed1")), claim(runs, folder / "inner"):
            held.check()
    assert holder(runs, folder) is None
    with pytest.raises(ClaimLost, match="released"):
        held.check()


def test_a_released_claim_is_made_again_and_old_files_go(runs: Path, folder: Path) -> None:
    for _ in range(5):
        with claim(runs, folder) as held:
            held.check()
    names = sorted(os.listdir(claim_file(runs, folder).parent))
    assert names == ["00000004.json", "00000005.json"]


def test_an_error_in_the_block_gives_the_claim_back(runs: Path, folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), claim(runs, folder):
        raise ZeroDivisionError
    assert holder(runs, folder) is None


def test_a_withdrawn_claim_leaves_nothing(runs: Path, folder: Path) -> None:
    with claim(runs, folder) as held:
        held.withdraw()
        held.check()
        with pytest.raises(Claimed), claim(runs, folder):
            pass
    assert list(runs.rglob("*")) == []
    other = folder.with_name("other")
    with claim(runs, other):
        with claim(runs, folder) as held:
            held.withdraw()
        assert [path.parent.name for path in runs.rglob("*.json")] == ["other"]
    assert list(runs.rglob("*.json")) != []


def test_what_is_not_its_own_is_not_withdrawn(runs: Path, folder: Path) -> None:
    place = claim_file(runs, folder).parent
    with claim(runs, folder):
        pass
    with claim(runs, folder) as held:
        held.withdraw()  # one that was there before stays, and with it the number of the next
    assert sorted(os.listdir(place)) == ["00000001.json", "00000002.json"]
    assert holder(runs, folder) is None
    other = folder.with_name("other")
    with claim(runs, other) as held:
        newer = claim_file(runs, other).read_bytes().replace(held._token.encode(), b"0" * 32)
        claim_file(runs, other).with_name("00000002.json").write_bytes(newer)
        held.withdraw()
    assert claim_file(runs, other).with_name("00000002.json").read_bytes() == newer
    inner = folder.with_name("third") / "inner"
    with claim(runs, inner) as held, claim(runs, inner.parent) as outer:
        outer.withdraw()
        outer._close()
        held.check()


def test_whoever_claims_while_another_withdraws_gets_it(runs: Path, folder: Path) -> None:
    at_it: list[Held] = []
    most = 0

    def claim_and_withdraw() -> None:
        nonlocal most
        for _ in range(60):
            with contextlib.suppress(Claimed), claim(runs, folder) as held:
                at_it.append(held)
                most = max(most, len(at_it))
                held.check()
                held.withdraw()
                at_it.remove(held)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(claim_and_withdraw) for _ in range(4)]:
            done.result()  # neither an error of the disk nor a claim that was lost
    assert most == 1


def test_the_heartbeat_counts_and_ends_with_the_block(runs: Path, folder: Path) -> None:
    with claim(runs, folder, beat_seconds=0.01):
        assert [thread.name for thread in threading.enumerate()].count("claim") == 1
        deadline = time.monotonic() + 20
        while json.loads(claim_file(runs, folder).read_text())["beat"] < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert "claim" not in [thread.name for thread in threading.enumerate()]
    assert [path.name for path in claim_file(runs, folder).parent.iterdir()] == ["00000001.json"]


@pytest.mark.parametrize("where", [".", "..", "../other", "a/../.."])
def test_only_what_is_below_the_runs_is_claimed(runs: Path, where: str) -> None:
    with pytest.raises(ValueError, match="not below"), claim(runs, runs / where):
        pass
    assert not runs.exists()


def test_a_link_does_not_lead_claims_elsewhere(runs: Path, folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (runs / ".claims").mkdir(parents=True)
    (runs / ".claims" / "mini").symlink_to(elsewhere)
    with pytest.raises(UserError, match="by a link"), claim(runs, folder):
        pass
    assert not list(elsewhere.iterdir())


def test_runs_that_cannot_be_written_say_so(runs: Path, folder: Path) -> None:
    runs.mkdir()
    (runs / ".claims").write_text("not a folder")
    with pytest.raises(OSError, match=r"\.claims"), claim(runs, folder):
        pass


@pytest.mark.parametrize("where", ["nowhere", "nowhere/runs", "file/runs"])
def test_a_place_where_no_folder_can_be_made_is_an_error_and_nobodys_claim(
    tmp_path: Path, where: str
) -> None:
    (tmp_path / "nowhere").symlink_to(tmp_path / "purged")
    (tmp_path / "file").touch()
    runs = tmp_path / where
    with pytest.raises(OSError, match=r"nowhere|file") as caught, claim(runs, runs / "a"):
        pass
    assert not isinstance(caught.value, Claimed)


def test_folders_that_are_removed_again_and_again_are_an_error(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.mkdir

    def removed_at_once(path: Path, *args: Any, **options: Any) -> None:
        make(path, *args, **options)
        path.rmdir()

    monkeypatch.setattr(Path, "mkdir", removed_at_once)
    with pytest.raises(FileNotFoundError), claim(runs, folder):
        pass


def test_a_claim_that_cannot_be_read_is_not_waited_for_for_ever(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied", str(runs))

    now = itertools.count()
    with claim(runs, folder):
        monkeypatch.setattr("hydra_peft.runs.claims.time.monotonic", lambda: float(next(now)))
        watch = Watch(runs, folder, patience=9)
        with monkeypatch.context() as patch:
            patch.setattr(files, "latest", refuse)
            assert [watch.is_dead() for _ in range(5)] == [False] * 5
        assert not watch.is_dead()  # it could be read in between
        monkeypatch.setattr(files, "latest", refuse)
        with pytest.raises(PermissionError):
            any(watch.is_dead() for _ in range(20))


def test_a_claim_survives_another_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    with claim(Path("runs"), Path("runs/a")) as held:
        monkeypatch.chdir(tmp_path / "other")
        held.check()
    assert holder(tmp_path / "runs", tmp_path / "runs/a") is None


def test_one_of_eight_racing_processes_wins(
    runs: Path, folder: Path, start: Callable[..., Child]
) -> None:
    children = [start(RACE, runs) for _ in range(8)]
    assert [child.first for child in children] == ["ready"] * 8
    for number in range(50):
        # Now a folder that was never claimed, now one whose last claim was released.
        target = folder.with_name(f"run{number}") if number % 2 else folder
        moment = time.monotonic() + 0.01
        for child in children:
            child.say(f"{target}\t{moment}\t")
        assert sorted(child.answer() for child in children) == ["lost"] * 7 + ["won"]
        for child in children:
            child.say()
        assert [child.answer() for child in children] == ["done"] * 8


def test_a_killed_holder_is_followed_at_once(
    runs: Path, folder: Path, start: Callable[..., Child]
) -> None:
    child = start(HOLD, runs, folder, BEAT, "")
    assert child.first == "held"
    with pytest.raises(Claimed), claim(runs, folder):
        pass
    child.process.kill()
    # Not waited for: what is left is a zombie, as below a pool that has not looked yet.
    os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)
    assert holder(runs, folder) is None
    with claim(runs, folder) as held:
        held.check()
    child.process.wait(20)


def test_a_number_used_again_is_another_process(runs: Path, folder: Path) -> None:
    here = _machine.this_process()
    if here.started is None:
        pytest.skip("this system does not tell when a process started")
    write(runs, folder, pid=os.getpid(), started=here.started - 1)
    with claim(runs, folder) as held:
        held.check()


def write(runs: Path, folder: Path, **values: object) -> None:
    """Write a claim of this machine with some values of its own."""
    here = _machine.this_process()
    content = json.loads(files.encode("ab" * 16, here, 0, "2024-01-01T00:00:00+00:00", False))
    path = claim_file(runs, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, **values}))


@pytest.mark.parametrize("key", ["host", "boot_id", "namespace"])
def test_whether_a_process_elsewhere_lives_is_not_known(runs: Path, folder: Path, key: str) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(20)
    write(runs, folder, pid=ended.pid)
    assert holder(runs, folder) is None
    write(runs, folder, pid=ended.pid, **{key: 1 if key == "namespace" else "elsewhere"})
    assert holder(runs, folder) is not None
    with pytest.raises(Claimed), claim(runs, folder):
        pass


def test_without_proc_only_the_heartbeat_decides(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_machine, "_stat", lambda _: None)
    with claim(runs, folder) as held:
        held.check()
        assert json.loads(claim_file(runs, folder).read_text())["started"] is None
        assert holder(runs, folder) is not None
    write(runs, folder, pid=2**31 - 1)
    with pytest.raises(Claimed), claim(runs, folder):
        pass


def test_another_machine_is_followed_when_its_heart_stops(
    runs: Path, folder: Path, start: Callable[..., Child]
) -> None:
    child = start(HOLD, runs, folder, BEAT, "elsewhere")
    assert child.first == "held"
    patience = 1.5  # a busy machine may well keep a process waiting for some beats
    watch = Watch(runs, folder, patience=patience)
    end = time.monotonic() + 1.5 * patience
    while time.monotonic() < end:
        assert not watch.is_dead()
        time.sleep(0.02)
    child.process.kill()
    child.process.wait(20)
    with pytest.raises(Claimed, match="elsewhere"), claim(runs, folder):
        pass
    assert wait_until_dead(watch) >= patience / 2
    # Two observers have come to the same end: one of them gets it.
    observers = [start(RACE, runs) for _ in range(2)]
    moment = time.monotonic() + 0.02
    for observer in observers:
        observer.say(f"{folder}\t{moment}\t{watch.dead}")
    assert sorted(observer.answer() for observer in observers) == ["lost", "won"]


def test_a_verdict_is_void_after_another_beat(
    runs: Path, folder: Path, start: Callable[..., Child]
) -> None:
    child = start(HOLD, runs, folder, BEAT, "elsewhere")
    child.process.send_signal(signal.SIGSTOP)
    watch = Watch(runs, folder, patience=0.2)
    wait_until_dead(watch)
    child.process.send_signal(signal.SIGCONT)
    verdict = watch.dead
    deadline = time.monotonic() + 20
    while watch.is_dead():
        assert time.monotonic() < deadline
    with pytest.raises(Claimed), claim(runs, folder, dead=verdict):
        pass
    assert child.ask() == "mine"


def test_a_stopped_holder_finds_out_that_it_was_followed(
    runs: Path, folder: Path, start: Callable[..., Child]
) -> None:
    # A heart that has no time to beat: what is asked looks for itself.
    child = start(HOLD, runs, folder, 1000, "")
    assert child.ask() == "mine"
    child.process.send_signal(signal.SIGSTOP)
    watch = Watch(runs, folder, patience=PATIENCE)
    assert wait_until_dead(watch) >= PATIENCE
    with claim(runs, folder, dead=watch.dead) as held:
        child.process.send_signal(signal.SIGCONT)
        assert f"was taken over by process {os.getpid()} on" in child.ask()
        assert child.end() == 0
        held.check()
        found = holder(runs, folder)
        assert found is not None
        assert found.generation == 2
    assert json.loads(claim_file(runs, folder).read_text())["state"] == "held"


def test_a_long_gap_between_two_looks_is_no_silence(runs: Path, folder: Path) -> None:
    write(runs, folder, host="elsewhere")
    watch = Watch(runs, folder, patience=0.3)
    for _ in range(3):
        assert not watch.is_dead()
        time.sleep(0.35)
    wait_until_dead(watch)


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_jumping_clocks_change_nothing(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    write(runs, folder, host="elsewhere", since="2001-01-01T00:00:00+00:00")
    now = time.time()
    os.utime(claim_file(runs, folder), (now + jump, now + jump))
    watch = Watch(runs, folder, patience=PATIENCE)
    assert not watch.is_dead()
    monkeypatch.setattr(time, "time", lambda: now + jump)
    assert not watch.is_dead()
    assert wait_until_dead(watch) >= 0.9 * PATIENCE
    with claim(runs, folder, dead=watch.dead) as held:
        monkeypatch.setattr(time, "time", lambda: now - jump)
        held.check()
        with pytest.raises(Claimed), claim(runs, folder):
            pass


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"schema": 1, "tok',
        b"\xff\xfe",
        b"[" * 4000,
        b"7",
        b"{}",
        b"x" * 100_000,
        {"schema": 2},
        {"pid": "1"},
        {"pid": -1},
        {"pid": True},
        {"pid": 2**40},
        {"started": -1},
        {"host": "a\x1b[2J"},
        {"host": "h" * 300},
        {"host": None},
        {"token": 5},
        {"beat": 1.5},
        {"state": "free"},
    ],
    ids=lambda content: str(content)[:20],
)
def test_a_damaged_claim_is_of_somebody_unknown(
    runs: Path, folder: Path, content: bytes | dict[str, object]
) -> None:
    if isinstance(content, dict):
        write(runs, folder, **content)
    else:
        write(runs, folder)
        claim_file(runs, folder).write_bytes(content)
    found = holder(runs, folder)
    assert found is not None
    assert found.process is None
    said = f"somebody unknown .*{claim_file(runs, folder)} is damaged: remove that file"
    with pytest.raises(Claimed, match=said), claim(runs, folder):
        pass
    watch = Watch(runs, folder, patience=0.05)
    wait_until_dead(watch)
    with claim(runs, folder, dead=watch.dead) as held:
        held.check()


def test_what_is_no_file_is_not_opened(runs: Path, folder: Path, tmp_path: Path) -> None:
    path = claim_file(runs, folder)
    path.parent.mkdir(parents=True)
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    for make in (lambda: path.symlink_to(outside), lambda: os.mkfifo(path)):
        make()
        found = holder(runs, folder)
        assert found is not None
        assert found.process is None
        assert str(path) in str(found)
        path.unlink()
    assert outside.read_text() == "{}"


def test_removed_claims_are_lost(runs: Path, folder: Path) -> None:
    with claim(runs, folder) as held:
        claim_file(runs, folder).unlink()
        with pytest.raises(ClaimLost, match="no longer in"):
            held.check()
        with claim(runs, folder) as other:
            with pytest.raises(ClaimLost):
                held.check()
            other.check()
    # The one who lost it has not released the other's.
    assert json.loads(claim_file(runs, folder).read_text())["state"] == "released"
    assert json.loads(claim_file(runs, folder).read_text())["token"] == other._token


def test_the_heartbeat_stops_by_itself_when_the_claim_is_lost(runs: Path, folder: Path) -> None:
    with claim(runs, folder, beat_seconds=0.01) as held:
        content = claim_file(runs, folder).read_bytes()
        claim_file(runs, folder, 2).write_bytes(content.replace(b'"token": "', b'"token": "0'))
        assert held._thread is not None
        held._thread.join(20)
        assert not held._thread.is_alive()
        claim_file(runs, folder, 2).unlink()
        with pytest.raises(ClaimLost):  # what was lost once stays so
            held.check()


def test_a_slow_claimant_is_not_fooled_by_a_removed_generation(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has seen generation 1 released; until it creates the second, the fourth is held."""
    with claim(runs, folder):
        pass
    create, others = files.create, []

    def slowly(place: Path, generation: int, token: str, content: bytes) -> bool:
        monkeypatch.setattr(files, "create", create)
        for _ in range(2):
            with claim(runs, folder):
                pass
        others.append(claim(runs, folder))
        others[0].__enter__()
        assert not claim_file(runs, folder, 2).exists()
        made = create(place, generation, token, content)
        assert made
        return made

    monkeypatch.setattr(files, "create", slowly)
    with pytest.raises(Claimed) as caught, claim(runs, folder):
        pass
    assert caught.value.holder is not None
    assert caught.value.holder.generation == 4
    others[0].__exit__(None, None, None)


def test_a_file_system_without_links(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with claim(runs, folder) as held:
        held.check()
        place = claim_file(runs, folder).parent
        assert [path.name for path in place.iterdir()] == ["00000001.json"]
        assert not files.create(place, 1, "cd" * 16, b"other")
        held.check()
        with pytest.raises(Claimed), claim(runs, folder):
            pass
    with claim(runs, folder) as held:
        held.check()


def test_a_link_that_was_made_though_the_answer_was_lost(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", twice)
    with claim(runs, folder) as held:
        held.check()


def test_a_full_disk_stops_neither_heart_nor_release(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with claim(runs, folder, beat_seconds=0.01) as held:
        monkeypatch.setattr(files, "_write_new", full)
        with pytest.raises(OSError, match="No space"), claim(runs, folder / "other"):
            pass
        deadline, before = time.monotonic() + 20, held._beat
        while json.loads(claim_file(runs, folder).read_text())["beat"] < before + 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        held.check()
    assert json.loads(claim_file(runs, folder).read_text())["state"] == "released"


def test_a_failing_disk_does_not_end_the_run(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def fail(*_: object) -> None:
        tried.set()
        raise OSError(5, "Input/output error")

    with claim(runs, folder, beat_seconds=0.01) as held:
        with monkeypatch.context() as patch:
            patch.setattr(files, "rewrite", fail)
            patch.setattr(files, "latest", fail)
            assert tried.wait(20)
            held.check()
        deadline = time.monotonic() + 20
        while json.loads(claim_file(runs, folder).read_text())["beat"] == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        held.check()


def test_what_a_killed_claimant_left_is_removed(runs: Path, folder: Path) -> None:
    place = claim_file(runs, folder).parent
    place.mkdir(parents=True)
    (place / f".{'ef' * 16}.tmp").write_bytes(b"half")
    (place / "notes.txt").write_text("a person's own")
    with claim(runs, folder):
        assert sorted(os.listdir(place)) == ["00000001.json", "notes.txt"]


def test_cost(runs: Path, folder: Path) -> None:
    """A claim is part of what a job costs beyond its training: under 50 ms for all of it."""
    seconds = []
    for _ in range(20):
        begin = time.perf_counter()
        with claim(runs, folder) as held:
            held.check()
        seconds.append(time.perf_counter() - begin)
    assert sorted(seconds)[10] < 0.05


def test_a_claim_needs_no_torch() -> None:
    code = "import sys, hydra_peft.runs.claims; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_who_made_a_claim_releases_it(
    runs: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process forked inside the block leaves it with a copy of what is held."""
    with claim(runs, folder) as held:
        with monkeypatch.context() as patch:
            pid = os.getpid()
            patch.setattr(os, "getpid", lambda: pid + 1)
            Held._close(held)
        held.check()
