"""``scripts/status.py``: what it prints, on a terminal and elsewhere, and how it ends."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import announce, epochs, folder_name, put
from hypothesis import given
from hypothesis import strategies as st

from hydra_peft.cli import status
from hydra_peft.cli.terminal import clean, shortened, width
from hydra_peft.runs.claims import claim
from hydra_peft.sweeps.status import STATES, SeenRun, Snapshot, Survey


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["status.py", *arguments])
    return status.main()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A sweep of 20 jobs, of which 8 have begun."""
    folder = tmp_path / "runs"
    announce(folder, "a", "2026-01-01T00:00:00+00:00", [folder_name(s) for s in range(20)])
    for seed in range(4):
        put(folder, "completed", seed)
    put(folder, "failed", 4, error="RuntimeError: out of memory")
    put(folder, "diverged", 5, error="the loss became nan in epoch 3: lower optimizer.lr.")
    put(folder, "interrupted", 6, error="interrupted by the user.")
    epochs(put(folder, "running", 7), 40.0, 40.0, 40.0)
    return folder


def section(printed: str, title: str) -> list[list[str]]:
    """The cells of the table under ``title``, its header first."""
    _, _, rest = printed.partition(f"\n\n{title}\n")
    lines = rest.split("\n\n")[0].splitlines()
    return [re.split(r" {2,}", line.strip()) for line in lines]


MORNING, MIDNIGHT = datetime(2026, 1, 1, 1, 50), datetime(2026, 1, 1, 23, 50)


@pytest.mark.parametrize("now", [MORNING, MIDNIGHT])
@pytest.mark.parametrize("columns", [30, 40, 60, 80])
def test_a_narrow_terminal_loses_whole_columns_and_no_state(
    runs: Path, columns: int, now: datetime
) -> None:
    with claim(runs, runs / folder_name(7)):
        snapshot = Survey(runs).look()
    text = status.lines(snapshot, everything=False, columns=columns, now=now)
    head = text[: text.index("")]
    assert max(map(width, text)) <= columns
    assert not any(line.endswith((",", "…")) for line in head)
    said = "".join(head).replace(" ", "").replace(",", "")
    whole = status.lines(snapshot, everything=False, columns=None, now=now)
    whole_head = "".join(whole[: whole.index("")])
    assert said == whole_head.replace(" ", "").replace(",", "")
    (header, row) = section("\n".join(text), "running")
    assert header[-1] == "ETA"
    assert row[-1] == "0:18:00"


def test_a_sweep_says_how_long_it_takes_and_when_it_ends(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(runs, runs / folder_name(7)):
        (sweep,) = Survey(runs).look().sweeps
    # 27 epochs of 40 s, then 13 jobs (12 waiting, one to resume) of 49 s, one after the other.
    text = "sweep of 2026-01-01 00:00 UTC: 4 of 20 done, 2 failed, 14 left"
    assert (
        status._sweep(sweep, MIDNIGHT)
        == f"{text}, about 29 min, ends at 00:18 local time, on 2026-01-02"
    )
    assert status._sweep(sweep, MORNING) == f"{text}, about 29 min, ends at 02:18 local time"
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # put forward at 02:00 on March 29
    time.tzset()
    night = datetime(2026, 3, 29, 1, 50)
    assert status._sweep(sweep, night) == f"{text}, about 29 min, ends at 03:18 local time"
    monkeypatch.undo()
    time.tzset()
    idle = dataclasses.replace(sweep, running=0)
    assert status._sweep(idle, MORNING) == f"{text}, about 29 min, nothing is running"
    for seconds in (None, 1e12):
        unknown = dataclasses.replace(sweep, seconds=seconds)
        assert status._sweep(unknown, MORNING) == f"{text}, time unknown"


def test_the_sections_say_what_there_is(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with claim(runs, runs / folder_name(7)):
        assert call(monkeypatch, f"runs={runs}") == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == (
        "done 4, running 1, to resume 1, failed 1, diverged 1, waiting 12"
    )
    assert printed.splitlines()[1].startswith("sweep of 2026-01-01 00:00 UTC: 4 of 20 done")
    header, row = section(printed, "running")
    cells = dict(zip(header, row, strict=True))
    assert cells == {
        "task": "mini/digits",
        "method": "hydra r=2+2",
        "seed": "7",
        "id": f"{7:012x}",
        "epoch": "3/30",
        "loss": "0.3333",
        "examples/s": "25",
        "ETA": "0:18:00",
        "on": os.uname().nodename,
    }
    _, failed, diverged = section(printed, "failed")
    assert failed[-1] == "RuntimeError: out of memory"
    assert diverged[-1].startswith("diverged: the loss became nan in epoch 3")
    _, resume = section(printed, "to resume")
    assert resume[-1] == "interrupted by the user."
    _, *waiting, more = section(printed, "waiting")
    assert [row[-1] for row in waiting] == [f"seed={i}" for i in range(8, 18)]
    assert "and 2 more" in more[0]
    assert "\ndone\n" not in printed


def test_a_killed_run_is_to_resume(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, f"runs={runs}")
    _, _, killed = section(capsys.readouterr().out, "to resume")
    assert killed[-2:] == ["3/30", "killed"]


def test_all_lists_everything(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(monkeypatch, f"runs={runs}", "all=true")
    printed = capsys.readouterr().out
    assert len(section(printed, "waiting")) == 1 + 12
    header, *done = section(printed, "done")
    assert len(done) == 4
    assert dict(zip(header, done[0], strict=True))["score"] == "98.25"
    assert done[0][-1] == "2026-01-01 12:30"


def test_broken_records_are_counted_and_the_first_ones_named(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(30, 45):
        (put(runs, seed=seed) / "result.json").write_text("{")
    call(monkeypatch, f"runs={runs}")
    counts, _, *rest = capsys.readouterr().out.splitlines()
    assert counts.startswith("done 4,")
    assert all(line.startswith("warning: mini/digits/hydra") for line in rest[:10])
    assert rest[10:12] == ["  and 5 more warnings (all=true lists them)", ""]
    call(monkeypatch, f"runs={runs}", "all=true")
    assert capsys.readouterr().out.count("warning: ") == 15


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["runs=/nowhere/at/all"], "/nowhere/at/all is not a folder"),
        (["wach=true"], "did you mean 'watch'?"),
        (["watch=maybe"], "watch=maybe is not allowed"),
        (["every=0"], "every=0 is not allowed"),
        (["every=2"], "every= is how often watch=true draws: add that"),
        (["watch=true", "every=999999999999"], "at most 86400 seconds"),
    ],
)
def test_a_mistake_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    assert call(monkeypatch, *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert sentence in captured.err


def test_nothing_in_a_folder_commands_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202eabc\r\nnext \ud800"
    put(tmp_path, "failed", 1, task=evil, method_label=evil, error=evil, config_id=evil)
    put(tmp_path, "completed", 2, started=evil)
    announce(tmp_path, "a", evil, [], {"jobs": [{"folder": "a/b/c", "overrides": evil}]})
    announce(tmp_path, evil[:4], "", [f"a/b/{evil}"])
    odd = tmp_path / "mini" / "digits" / "\x1b[31m\udcff"
    odd.mkdir()
    (odd / "result.json").write_text("{")
    assert call(monkeypatch, f"runs={tmp_path}", "all=true") == 0
    printed = capsys.readouterr().out
    assert printed.count("\nwarning: ") == 3
    assert printed.count("next") >= 3
    assert not re.search(r"^\s*next", printed, re.MULTILINE)  # it stays in its line
    bad = {char for char in printed if unicodedata.category(char)[0] == "C"} - {"\n"}
    assert not bad
    printed.encode()


texts = st.text(max_size=60)


@given(st.lists(st.tuples(texts, texts, texts, st.sampled_from(STATES))), st.integers(1, 120))
def test_lines_fit_any_terminal(rows: list[tuple[str, ...]], columns: int) -> None:
    runs = [
        SeenRun(folder=a, state=state, task=a, method=b, seed=1, config_id=b, error=c, overrides=c)
        for a, b, c, state in rows
    ]
    snapshot = Snapshot(runs, [row[0] for row in rows])
    for line in status.lines(snapshot, everything=True, columns=columns, now=MORNING):
        assert width(line) <= columns
        assert clean(line) == line


def test_shortened_counts_columns_and_not_characters() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
    assert shortened("日本語", 6) == "日本語"
    assert shortened("日本語", 5) == "日本…"
    assert shortened("日本語", 4) == "日…"
    assert shortened("e\u0301" * 4, 4) == "e\u0301" * 4


def script(root: Path, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    # Where these are set they count more than the terminal's own size.
    kept = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
    return subprocess.Popen(
        [sys.executable, str(root / "scripts" / "status.py"), *arguments],
        env={**kept, "PYTHONPATH": str(root), "TERM": "xterm"},
        **options,
    )


def test_watching_without_a_terminal_prints_again_and_again(root: Path, runs: Path) -> None:
    process = script(
        root,
        f"runs={runs}",
        "watch=true",
        "every=1",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    counts = (line for line in process.stdout if line.startswith(b"done "))
    assert next(counts).startswith(b"done 4,")
    put(runs, "completed", 8)
    while not next(counts).startswith(b"done 5,"):
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert b"\x1b" not in out


def _until(terminal: int, condition: Any, seconds: float = 30.0) -> bytes:
    """What comes from ``terminal`` until it fulfils ``condition``."""
    read, end = b"", time.monotonic() + seconds
    while not condition(read):
        assert time.monotonic() < end, read
        if select.select([terminal], [], [], 0.2)[0]:
            read += os.read(terminal, 65536)
    return read


def test_watching_on_a_terminal_draws_in_place(root: Path, runs: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
    process = script(
        root, f"runs={runs}", "watch=true", "every=1", stdout=theirs, stderr=theirs, stdin=theirs
    )
    try:
        drawn = _until(ours, lambda read: read.count(b"\x1b[J") >= 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        os.close(theirs)
        os.close(ours)
    frame = drawn.decode().split("\x1b[J")[0]
    assert frame.startswith("\x1b[H")
    lines = frame.removeprefix("\x1b[H").replace("\x1b[K", "").splitlines()
    assert len(lines) <= 11
    assert all(width(line) <= 60 for line in lines)
    assert "more lines" in lines[-1]
    assert any(line.startswith("done 4, running 0, to resume 2") for line in lines)
    assert any(line.endswith("…") for line in lines)


def test_a_reader_without_our_characters_gets_a_replacement(root: Path, runs: Path) -> None:
    put(runs, "failed", 9, error="größe 日本")
    process = subprocess.run(
        [sys.executable, str(root / "scripts" / "status.py"), f"runs={runs}"],
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, b"")
    assert b"gr??e ??" in process.stdout


def test_it_loads_nothing_heavy(root: Path, runs: Path) -> None:
    probe = (
        "import sys\n"
        "from hydra_peft.cli.status import main\n"
        f"sys.argv = ['status.py', 'runs={runs}']\n"
        "assert main() == 0\n"
        "names = {'torch', 'timm', 'numpy', 'pandas', 'hydra', 'omegaconf', 'tensorboard'}\n"
        "assert not names & set(sys.modules), names & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("done 4,")
