"""Jobs as tasks of Ray: given out again where a node dies, told once, asked for in sentences."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hydra_peft.config.schema import LauncherConfig
from hydra_peft.errors import UserError
from hydra_peft.sweeps import ray_jobs
from hydra_peft.sweeps.job import Job, JobEnd
from hydra_peft.sweeps.ray_jobs import MOST_LOST, Tasks


class _RayError(Exception):
    pass


class _TaskError(_RayError):
    cause = ValueError("a bug\nand its trace")


class _CancelledError(_RayError):
    pass


class FakeRay:
    """Gives what each job's tasks are to give, one after the other; an exception is raised."""

    exceptions = SimpleNamespace(
        RayError=_RayError, RayTaskError=_TaskError, TaskCancelledError=_CancelledError
    )

    def __init__(self, gives: dict[str, list[Any]]) -> None:
        self.gives = {name: list(found) for name, found in gives.items()}
        self.given: list[str] = []
        self.cancelled: list[str] = []

    def remote(self, job: Job, folder: str) -> str:
        assert folder == os.getcwd()
        self.given.append(job.name)
        return f"{job.name}#{len(self.given)}"

    def wait(self, references: list[str], **_: object) -> tuple[list[str], list[str]]:
        return references[:1], references[1:]

    def get(self, reference: str) -> JobEnd:
        name = reference.partition("#")[0]
        found = self.gives[name].pop(0)
        if isinstance(found, Exception):
            raise found
        return JobEnd(Job((name,)), found, f"{name}: {found}")

    def cancel(self, reference: str) -> None:
        self.cancelled.append(reference)


def jobs(*names: str) -> deque[Job]:
    return deque(Job((name,)) for name in names)


def test_a_job_whose_node_died_is_given_out_again_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    crashed: list[tuple[str, str]] = []
    monkeypatch.setattr(
        ray_jobs, "record_crash", lambda job, said: crashed.append((job.name, said))
    )
    died = _RayError("The node died.\nAnd more of it")
    ray = FakeRay(
        {
            "a": ["completed"],
            "b": [died, "completed"],
            "c": [_TaskError("long")],
            "d": [died] * MOST_LOST,
            "e": [_CancelledError()],
        }
    )
    ends = list(Tasks(ray, ray, jobs("a", "b", "c", "d", "e")).ends())
    told = {end.job.name: (end.status, end.line) for end in ends}
    assert len(ends) == len(told) == 5
    assert told["a"] == ("completed", "a: completed")
    assert told["b"] == ("completed", "b: completed")
    assert told["c"] == ("failed", "c: ValueError: a bug")
    sentence = f"its process on the Ray cluster died {MOST_LOST} times (_RayError: The node died.)."
    assert told["d"] == ("failed", f"d: {sentence}")
    assert crashed == [("d", sentence)]
    assert told["e"][0] == "interrupted"
    assert [ray.given.count(name) for name in "abcde"] == [1, 2, 1, MOST_LOST, 1]
    assert "b: its process on the Ray cluster died (_RayError: The node died.); it goes on" in (
        caplog.messages
    )


def test_what_is_under_way_is_cancelled_by_who_stops_asking() -> None:
    ray = FakeRay({"a": ["completed"], "b": [], "c": []})
    tasks = Tasks(ray, ray, jobs("a", "b", "c"))
    ends = tasks.ends()
    assert next(ends).job.name == "a"
    ends.close()
    tasks.cancel()
    assert ray.cancelled == ["b#2", "c#3"]


def test_without_ray_or_a_cluster_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    said = r"needs the package ray, .*: pip install 'hydra-peft\[ray\]'"
    with pytest.raises(UserError, match=said):
        ray_jobs.connect(LauncherConfig())

    def refuse(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nPlease ...")

    nowhere = SimpleNamespace(is_initialized=lambda: False, init=refuse)
    monkeypatch.setitem(sys.modules, "ray", nowhere)
    said = r"launcher\.address=auto: no Ray cluster answers .*instance.*\): begin one by `ray start"
    with pytest.raises(UserError, match=said):
        ray_jobs.connect(LauncherConfig())

    def limited(**_: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(nowhere, "init", limited)
    with pytest.raises(UserError, match=r"local: Ray does not start on this .*startup.*ulimit -a"):
        ray_jobs.connect(LauncherConfig(address="local"))


@pytest.mark.parametrize(
    ("has", "device", "changes", "slots"),
    [
        ({"CPU": 7.0, "GPU": 2.0}, "cpu", {"cpus": 2}, 3),
        ({"CPU": 64.0, "GPU": 2.0}, "cuda", {"gpu_fraction": 0.25}, 8),
        ({"CPU": 3.0, "GPU": 2.0}, "cuda", {"gpu_fraction": 0.1}, 3),
        ({"CPU": 8.0}, "cuda", {}, None),
    ],
)
def test_slots_are_what_the_cluster_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
    has: dict[str, float],
    device: str,
    changes: dict[str, Any],
    slots: int | None,
) -> None:
    ray = SimpleNamespace(is_initialized=lambda: True, cluster_resources=lambda: has)
    monkeypatch.setitem(sys.modules, "ray", ray)
    launcher = dataclasses.replace(LauncherConfig(), **changes)
    configs: Any = [SimpleNamespace(launcher=launcher, device=device)] * 2
    if slots is None:
        with pytest.raises(UserError, match=r"has 8 CPUs and 0 GPUs, and a job asks for 1 and 1 "):
            ray_jobs.slots_of(configs)
    else:
        assert ray_jobs.slots_of(configs) == slots


def _children(pid: int) -> list[int]:
    """Return the processes below ``pid``, the deepest last."""
    parents: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = place.read_text().rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(place.parent.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found[1:]


_START = "import sys; from ray.scripts.scripts import main; sys.argv[0] = 'ray'; main()"


@pytest.fixture
def cluster() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Give the address of a cluster of two nodes of one CPU on this machine, and both."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'hydra-peft[ray]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    nodes: list[subprocess.Popen[bytes]] = []
    # Ray gives its workers little of a busy machine.
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as place:
        own = ["--num-cpus=1", "--object-store-memory=100000000", "--block", "--num-gpus=0"]
        head = ["--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={place}"]
        try:
            for words in (head, [f"--address={address}"]):
                node = subprocess.Popen(
                    [sys.executable, "-c", _START, "start", *words, *own],
                    env=env,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
                nodes.append(node)
                assert node.stdout is not None
                said = b""
                while b"Ray runtime started" not in said:
                    line = node.stdout.readline()
                    assert line, said.decode()
                    said += line
            yield address, nodes
        finally:
            for node in nodes:
                kill(node)


def kill(node: subprocess.Popen[bytes]) -> None:
    """Kill a node: the process that holds it, its raylet and its workers."""
    for pid in [node.pid, *_children(node.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.wait()


@pytest.mark.long
def test_a_sweep_outlives_a_node_nothing_is_lost_and_nothing_done_twice(
    cluster: tuple[str, list[subprocess.Popen[bytes]]], tmp_path: Path, root: Path
) -> None:
    address, nodes = cluster
    words = [
        *("hydra/launcher=ray", f"launcher.address={address}", "device=cpu", "precision=fp32"),
        *("method=lora", "model.pretrained=false", "+model.arguments.depth=1", "train.epochs=4"),
        *("scheduler.warmup_epochs=0", "train.checkpoint_every=1", "seed=range(0,8)"),
        *(f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"),
    ]
    sweep = subprocess.Popen(
        [sys.executable, str(root / "scripts" / "train.py"), "-m", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        until = time.monotonic() + 400
        while not _any_run_of(nodes[1], tmp_path / "runs"):
            assert time.monotonic() < until
            assert sweep.poll() is None, sweep.communicate()
            time.sleep(0.2)
        kill(nodes[1])
        out, err = sweep.communicate(timeout=400)
    finally:
        sweep.kill()
    assert sweep.returncode == 0, err
    assert "its process on the Ray cluster died" in err
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").rglob("result.json")]
    assert sorted(record["seed"] for record in records) == list(range(8))
    assert {record["status"] for record in records} == {"completed"}
    assert [bool(record["resumed"]) for record in records].count(True) == 1
    assert not list((tmp_path / "runs").rglob("*.superseded*"))
    for seed in range(8):
        assert out.count(f"seed {seed}: ") == 1


def _any_run_of(node: subprocess.Popen[bytes], runs: Path) -> bool:
    """Whether a process of the node is in the middle of a run: after its first epoch."""
    here = set(_children(node.pid))
    for claim in (runs / ".claims").rglob("*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = json.loads(claim.read_text())
            pid = (found.get("process") or found)["pid"]
            folder = runs / claim.parent.relative_to(runs / ".claims")
            lines = (folder / "metrics.csv").read_text().splitlines()
            if pid in here and len(lines) in (2, 3):
                return True
    return False
