"""How entry points end, as a shell sees it."""

from __future__ import annotations

import errno
import importlib
import io
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from prepared_root import write_task

from hydra_peft.cli.guard import guarded
from hydra_peft.errors import UserError

PROBE = """
import sys
from hydra_peft.cli.guard import guarded

def main():
    print("first", flush=True)
    sys.stdin.readline()
    {body}
    return 0

sys.exit(guarded(main))
"""


def test_what_a_library_read_and_could_not_load_with_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "made_up_library.py").write_text("raise ValueError('bad\\nlog settings')")
    (tmp_path / "made_up_plugin.py").write_text("raise ValueError('a bug')")
    for place in (tmp_path, folder):
        monkeypatch.syspath_prepend(place)
    with monkeypatch.context() as limited:
        limited.setattr(resource, "getrlimit", lambda _: (3 * 2**30, -1))
        assert guarded(lambda: bool(importlib.import_module("made_up_library"))) == 2
        said = capsys.readouterr().err
        assert said.endswith("(bad log settings): raise the limit of 3 GiB (ulimit -v).\n")
    monkeypatch.setenv("TORCH_LOGS", "x")
    assert guarded(lambda: bool(importlib.import_module("made_up_library"))) == 2
    said = capsys.readouterr().err
    assert "made_up_library.py cannot be loaded (bad log settings): look at the env" in said
    assert "TORCH_LOGS" in said
    with pytest.raises(ValueError, match="a bug"):
        guarded(lambda: bool(importlib.import_module("made_up_plugin")))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("print('x' * 1_000_000)", 141),  # fails at once
        ("print('x')", 141),  # fails when it is flushed
        ("print('x'); sys.exit(0)", 141),  # as --help does
        ("import logging; logging.basicConfig(stream=sys.stdout); logging.error('x')", 0),
        ("pass", 0),
    ],
)
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, body: str, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROBE.format(body=body)],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"first\n"
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(b"\n", timeout=60)
    assert (process.returncode, err) == (code, b"")


def test_streams_that_are_closed_or_of_another_locale_take_all_that_is_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    monkeypatch.setattr(sys, "stderr", None)

    def main() -> int:
        sys.stdout.write("98.0 ± 0.1 → table\n")
        raise UserError("said to nobody")

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        assert guarded(main) == 2
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert written.getvalue() == b"98.0 \xb1 0.1 \\u2192 table\n"


def test_a_broken_pipe_of_ours_is_a_bug(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(body="raise BrokenPipeError('a worker died')")],
        cwd=tmp_path,
        input="\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "a worker died" in done.stderr


@pytest.mark.long
def test_a_sweep_stops_without_a_word_when_nobody_reads_it(root: Path, tmp_path: Path) -> None:
    write_task(tmp_path / "data" / "svhn", classes=10)
    words = "-m method=linear seed=0,1,2,3 train.epochs=1 scheduler.warmup_epochs=0 device=cpu"
    words += f" dataset=svhn data.allow_partial=true paths.data='{tmp_path}/data'"
    words += " optimizer.lr=0.123"
    places = f"paths.runs='{tmp_path}/runs' paths.cache='{tmp_path}/cache'"
    command = f"'{sys.executable}' '{root}/scripts/train.py' {words} {places} | head -c 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (141, "4")
    assert len(list(tmp_path.glob("runs/**/result.json"))) < 4


def test_nothing_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    # Workers of a sweep print to 2: they could not start, or wrote into whatever was opened there.
    probe = PROBE.replace("sys.stdin.readline()", "import subprocess").format(
        body="with open('file', 'w'): subprocess.run(['sh', '-c', 'echo x; echo y >&2'], stdout=2)"
    )
    for closed in ("<&- >&- 2>&-", "2>&- >/dev/null"):
        done = subprocess.run(
            ["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, probe],
            cwd=tmp_path,
            check=False,
        )
        assert (done.returncode, (tmp_path / "file").read_text()) == (0, "")


def test_tables_are_written_though_nobody_reads_them(root: Path, tmp_path: Path) -> None:
    command = f"'{sys.executable}' '{root}/scripts/tables.py' table=8 runs=none out=out | head -n 1"
    script = f"set -o pipefail; {command}; echo code $?"
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("### Table 8")
    assert done.stdout.splitlines()[-1] in ("code 0", "code 141")  # head may be the faster one
    assert (tmp_path / "out/table8.csv").is_file()


@pytest.mark.parametrize(
    ("module", "words", "name"),
    [
        ("tables", [], "tables"),
        ("figures", ["figure=all"], "figures"),
        ("report", [], "page.html"),
        ("check_data", [], "checked.json"),
        ("bench", ["layer"], "layer.json"),
        ("chaos", [], "chaos.json"),
        ("prepare_data", ["vtab1k", "task=svhn", "source=/"], "vtab1k"),
        ("prepare_weights", ["minilm", "download=true"], "weights"),
    ],
)
def test_where_nothing_can_be_written_is_told_before_anything_is_done(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: str,
    words: list[str],
    name: str,
) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "folder" / name
    monkeypatch.setattr(sys, "argv", [f"{module}.py", *words, f"out={out}"])
    assert importlib.import_module(f"hydra_peft.cli.{module}").main() == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"cannot write at {tmp_path}/file: there is a file of that name" in told.err
    assert "set out to another folder" in told.err


def test_a_full_disk_names_the_key_of_the_script(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "/x/report.html")

    for words, key in (((), "paths.runs"), (("out",), "out")):
        assert guarded(full, *words) == 2
        expected = f"cannot write at /x/report.html: the disk is full; make room, or set {key} to"
        assert expected in capsys.readouterr().err


def test_names_of_files_are_utf_8(tmp_path: Path) -> None:
    # Classes would be called otherwise than the folders that they are read from.
    for utf8, code in (("0", 2), ("1", 0)):
        done = subprocess.run(
            [sys.executable, "-c", PROBE.format(body="pass")],
            cwd=tmp_path,
            env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": utf8, "PYTHONCOERCECLOCALE": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code
        assert ("takes the names of files for ascii here" in done.stderr) == (utf8 == "0")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "body",
    ["print('x' * 1_000_000)", "print('x')", "print('x'); sys.exit()",
     "import logging; logging.basicConfig(stream=sys.stdout); logging.error('x')"],
)  # fmt: skip
def test_what_is_printed_into_a_full_disk(tmp_path: Path, body: str) -> None:
    probe = PROBE.replace('print("first", flush=True)', "pass").format(body=body)
    for buffered in ("", "1"):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-c", probe, "--info"],  # which is logged
                cwd=tmp_path,
                env={**os.environ, "PYTHONUNBUFFERED": buffered},
                stdin=subprocess.DEVNULL,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert done.returncode == 2
        assert done.stderr.startswith("error: cannot write: the disk is full; make room, or set ")
        assert "or send what is printed elsewhere" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_mistake_told_into_a_full_disk_keeps_its_code(tmp_path: Path) -> None:
    probe = PROBE.format(body="from hydra_peft.errors import UserError; raise UserError('x')")
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-c", probe]
        assert subprocess.run(words, cwd=tmp_path, stderr=full, check=False).returncode == 2


def test_after_too_little_memory_nothing_else_is_printed(root: Path) -> None:
    text = (
        "import atexit, sys\n"
        "from hydra_peft.cli.guard import guarded\n"
        "atexit.register(lambda: [][0])  # as torch's own, which finds no memory either\n"
        "def main(): raise MemoryError\n"
        "sys.exit(guarded(main))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "error: there is not enough memory: take less at once, or free some.\n"


def test_too_little_memory_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    no_memory = "error: there is not enough memory{}: take less at once, or free some.\n"
    for size, said in ((10**17, " for another 1,066 PiB"), (2**62, "")):
        assert guarded(lambda: len(torch.empty(size, 3))) == 2  # noqa: B023
        assert capsys.readouterr().err == no_memory.format(said)
    with pytest.raises(RuntimeError, match="is invalid for input of size 3"):
        guarded(lambda: len(torch.zeros(3).view(2)))
