"""A sweep on a real SLURM: requeued by signal, killed outright, noticed, taken up again."""

from __future__ import annotations

import _thread
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from real_slurm import slurm_of_one_node

from hydra_peft.runs.claims import holder
from hydra_peft.sweeps import clusters, slurm_queue

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

SWEEP = [
    *("method=linear", "train.epochs=1,200", "seed=0,1", "scheduler.warmup_epochs=0"),
    *("train.batch_size=100", "train.checkpoint_every=10", "device=cpu", "precision=fp32", "-m"),
    *("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=null"),
    "hydra.launcher.gpus_per_node=null",
]
#: for everything together; the daemons are stopped after it too
SECONDS = 170


def told(runs: Path, until: float) -> None:
    """Tell one run to go, as SLURM does before a time limit, and kill another, once they train."""
    waiting = {"0": requeue, "1": kill}
    try:
        while waiting:
            assert time.monotonic() < until, f"seeds {list(waiting)} write no checkpoint"
            time.sleep(0.05)
            for folder in {path.parent.parent for path in runs.glob("mini/digits/*/*/step-*")}:
                seed = folder.name.split("-seed")[1][0]
                if seed in waiting:
                    waiting.pop(seed)(runs, folder)
    except BaseException:
        _thread.interrupt_main()
        raise


def requeue(runs: Path, folder: Path) -> None:
    process = process_of(runs, folder)
    job = dict(entry.split("=", 1) for entry in environment(process) if "=" in entry)
    name = f"{job['SLURM_ARRAY_JOB_ID']}_{job['SLURM_ARRAY_TASK_ID']}"
    # The job may be gone before the command has told all of it, which is then an error.
    subprocess.run(["scancel", "--signal=USR2", name], check=False)


def kill(runs: Path, folder: Path) -> None:
    os.kill(process_of(runs, folder), signal.SIGKILL)


def process_of(runs: Path, folder: Path) -> int:
    found = holder(runs, folder)
    assert found is not None
    assert found.process is not None
    return found.process.pid


def environment(process: int) -> list[str]:
    return Path(f"/proc/{process}/environ").read_text().split("\0")


@pytest.mark.long
def test_real_slurm(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from hydra.core.global_hydra import GlobalHydra

    from hydra_peft.cli.train import main

    monkeypatch.setattr(slurm_queue, "QUEUE_SECONDS", 2.0)
    monkeypatch.setattr(clusters, "RESULT_SECONDS", 4.0)
    monkeypatch.setenv("PYTHONPATH", str(root))
    runs, until = tmp_path / "runs", time.monotonic() + SECONDS
    paths = [f"paths.runs={runs}", f"paths.cache={tmp_path}/cache"]
    monkeypatch.setattr(sys, "argv", [str(root / "scripts/train.py"), *SWEEP, *paths])

    def typed() -> tuple[int, str, str]:
        before = signal.getsignal(signal.SIGTERM)
        GlobalHydra.instance().clear()
        signal.alarm(max(1, int(until - time.monotonic())))  # ends a wait that does not end
        try:
            return (main(), *capfd.readouterr())
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGTERM, before)

    signal.signal(signal.SIGALRM, signal.default_int_handler)
    with slurm_of_one_node(monkeypatch), ThreadPoolExecutor(1) as pool:
        telling = pool.submit(told, runs, until)
        code, out, err = typed()
        telling.result()
        assert code == 1
        assert out.count("test (last epoch") == 3
        assert " train.epochs=200 seed=1 " in err
        assert " ended without a result (FAILED), its log is " in err
        # submitit and sacct would have something to say every few seconds.
        assert "sacct" not in out + err
        assert "accounting" not in out + err
        again, out, err = typed()
    assert again == 0, err
    assert out.count("skipped") == 3
    results = [json.loads(path.read_text()) for path in runs.glob("mini/digits/*/result.json")]
    assert [result["status"] for result in results] == ["completed"] * 4
    assert sorted(result["seed"] for result in results if result["resumed"]) == [0, 1]
