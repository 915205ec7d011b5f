"""The local launcher with real jobs: same results, and a crash that costs one of them."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from hydra_peft.backbones import backbones
from hydra_peft.sweeps import local, sequential
from hydra_peft.sweeps.job import Job

MakeJob = Callable[..., Job]


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def sizes() -> None:
    """All images: workers are other processes."""


def results(folder: Path) -> list[dict]:
    found = [json.loads(path.read_text()) for path in folder.glob("runs/**/result.json")]
    return sorted(found, key=lambda record: record["seed"])


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children() -> list[int]:
    paths = Path("/proc/self/task").glob("*/children")
    return [int(word) for path in paths for word in path.read_text().split()]


def test_the_parent_keeps_no_backbone_while_workers_run(make_job: MakeJob) -> None:
    values = {"arguments": {}, "drop_path": 0.0, "checkpoint": None, "pretrained": True, "seed": 0}
    model, _ = backbones.build_backbone("vit_mini", **values)
    kept = [weakref.ref(template) for template, _ in backbones._template.found.values()]
    assert kept
    with closing(local.launch_jobs([make_job()])):
        gc.collect()
        assert [template() for template in kept] == [None] * len(kept)
    again, _ = backbones.build_backbone("vit_mini", **values)
    assert again.state_dict().keys() == model.state_dict().keys()


@pytest.mark.long
def test_workers_get_the_results_of_this_process(make_job: MakeJob, tmp_path: Path) -> None:
    jobs = [make_job(f"seed={seed}", "launcher.cpu_slots=1") for seed in range(2)]
    with closing(local.launch_jobs(jobs)) as launched:
        ends = list(launched)
    assert [(end.job, end.status) for end in ends] == [(job, "completed") for job in jobs]
    theirs = results(tmp_path)
    (tmp_path / "runs").rename(tmp_path / "theirs")
    ours = list(sequential.launch_jobs(jobs))
    assert [end.metric for end in ours] == [end.metric for end in ends]
    for a, b in zip(theirs, results(tmp_path), strict=True):
        assert (a["scores"], a["training"]) == (b["scores"], b["training"])
        assert a["config_id"] == b["config_id"]
    assert "error" not in ends[0].line


@pytest.mark.long
def test_a_killed_worker_fails_its_run_and_the_next_job_is_done(
    make_job: MakeJob, tmp_path: Path
) -> None:
    long = make_job(
        "seed=0",
        "train.epochs=100000",
        "method=lora",
        "train.batch_size=100",
        "launcher.cpu_slots=1",
    )
    short = make_job("seed=1", "launcher.cpu_slots=1")
    before = set(children())
    with closing(local.launch_jobs([long, short])) as launched:
        ends: list = []
        thread = Thread(target=lambda: ends.extend(launched))
        thread.start()
        until(lambda: [record["status"] for record in results(tmp_path)] == ["running"])
        (worker,) = set(children()) - before
        os.kill(worker, signal.SIGKILL)
        thread.join()
    assert [end.status for end in ends] == ["failed", "completed"]
    sentence = "the process ended by signal 9 (killed; out of memory?)."
    assert ends[0].line == f"{long.name}: {sentence}"
    failed, completed = results(tmp_path)
    assert (failed["status"], failed["error"]) == ("failed", sentence)
    assert completed["status"] == "completed"


SHORT = [
    "train.epochs=1",
    "scheduler.warmup_epochs=0",
    "train.batch_size=500",
    "method=linear",
    "device=cpu",
    "hydra/launcher=local",
    "launcher.cpu_slots=2",
]


def command(root: Path, tmp_path: Path, *words: str) -> list[str]:
    paths = [f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
    return [sys.executable, str(root / "scripts/train.py"), "-m", *SHORT, *paths, *words]


@pytest.mark.long
def test_from_the_command_line(root: Path, tmp_path: Path) -> None:
    # A folder with modules of the user's own: workers do not import them.
    (tmp_path / "torch.py").write_text("raise ImportError('not yours')")
    done = subprocess.run(
        command(root, tmp_path, "seed=0,1,2"), capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("test (last epoch") == 3
    assert [record["status"] for record in results(tmp_path)] == ["completed"] * 3


@pytest.mark.long
def test_ctrl_c_interrupts_what_is_under_way(root: Path, tmp_path: Path) -> None:
    words = command(root, tmp_path, "seed=0,1")
    once = {"train.epochs=1": "train.epochs=100000", "method=linear": "method=lora"}
    process = subprocess.Popen(
        [once.get(word, word) for word in words],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    both = ["running"] * 2
    until(
        lambda: (
            [record["status"] for record in results(tmp_path)] == both or process.poll() is not None
        )
    )
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().strip().splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in err.decode()
    assert [record["status"] for record in results(tmp_path)] == ["interrupted"] * 2
