"""Sweeps through hydra-submitit-launcher: submitit's local executor, and a SLURM of one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_slurm
import pytest

from hydra_peft.cli.clusters import check_for_nodes
from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError
from hydra_peft.sweeps.job import Composition

pytest.importorskip("hydra_plugins.hydra_submitit_launcher")

SHORT = [
    "train.epochs=1",
    "scheduler.warmup_epochs=0",
    "train.batch_size=500",
    "method=linear",
    "device=cpu",
    "precision=fp32",
]
Train = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def train(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Call the script with arguments."""
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(root, tmp_path, *arguments), capture_output=True, text=True, check=False
        )

    return call


def command(root: Path, tmp_path: Path, *words: str) -> list[str]:
    """Return the command with ``words`` and those of ``SHORT`` whose keys they do not give."""
    given = {word.partition("=")[0] for word in words}
    usual = [*SHORT, f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
    usual = [word for word in usual if word.partition("=")[0] not in given]
    return [sys.executable, str(root / "scripts/train.py"), *usual, *words]


@pytest.fixture
def here(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Train:
    """Call the entry point in this process, for what submits nothing."""

    monkeypatch.setenv("PATH", str(tmp_path))  # where no scheduler can be found

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        from hydra.core.global_hydra import GlobalHydra

        from hydra_peft.cli.train import main

        words = command(root, tmp_path, *arguments)[1:]
        monkeypatch.setattr(sys, "argv", words)
        before = signal.getsignal(signal.SIGTERM)
        GlobalHydra.instance().clear()
        try:
            code = main()
            return subprocess.CompletedProcess(words, code, *capfd.readouterr())
        finally:
            signal.signal(signal.SIGTERM, before)
            GlobalHydra.instance().clear()

    return call


def results(tmp_path: Path) -> list[dict]:
    return [json.loads(p.read_text()) for p in sorted(tmp_path.glob("runs/**/result.json"))]


@pytest.mark.long
def test_one_job_diverges_and_the_other_completes(train: Train, tmp_path: Path) -> None:
    words = ("method=hydra", "train.batch_size=100", "optimizer.lr=1e-3,1e6")
    sweep = ("-m", "hydra/launcher=submitit_local", *words)
    done = train(*sweep)
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("test (last epoch") == 1
    assert "hydra r=2+2 seed 0: diverged: " in done.stderr
    assert "1 of the runs did not complete: " in done.stderr
    assert "optimizer.lr=1000000.0" in done.stderr
    assert sorted(r["status"] for r in results(tmp_path)) == ["completed", "diverged"]
    # Pickles lie there: nobody else may put one in.
    assert (tmp_path / "runs/.submitit").stat().st_mode & 0o077 == 0
    submitted = len(list(tmp_path.glob("runs/.submitit/*/*_submitted.pkl")))
    again = train(*sweep)
    assert again.returncode == 1
    assert again.stdout.count("skipped") == 1
    assert "sweep.retry=all starts it again" in again.stderr
    assert len(list(tmp_path.glob("runs/.submitit/*/*_submitted.pkl"))) == submitted == 2


@pytest.mark.long
def test_a_job_that_is_told_to_go_continues_where_it_is_started_again(
    train: Train, root: Path, tmp_path: Path
) -> None:
    long = ["train.epochs=8", "train.batch_size=100", "train.checkpoint_every=1"]
    long += ["method=hydra", "method.dropout=0.1"]
    sweep = command(root, tmp_path, *long, "-m", "hydra/launcher=submitit_local")
    with subprocess.Popen(sweep, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and not list(tmp_path.glob("runs/**/step-*")):
            time.sleep(0.05)
        (claim,) = (tmp_path / "runs/.claims").rglob("*.json")
        os.kill(json.loads(claim.read_text())["pid"], signal.SIGUSR2)
        out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert out.count(b"test (last epoch") == 1
    (log,) = tmp_path.glob("runs/.submitit/*/*_log.err")
    assert "Caught signal SIGUSR2" in log.read_text()
    (result,) = results(tmp_path)
    assert result["status"] == "completed"
    assert result["resumed"][0]["at_step"] >= 10
    assert train(*long, f"paths.runs={tmp_path}/undisturbed").returncode == 0
    one, other = (
        next(tmp_path.glob(f"{name}/**/adapter.safetensors")).read_bytes()
        for name in ("runs", "undisturbed")
    )
    assert one == other


@pytest.mark.long
def test_slurm(train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = fake_slurm.install(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(commands))
    sweep = ("-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "seed=0,1")
    done = train(*sweep)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("test (last epoch") == 2
    assert [r["status"] for r in results(tmp_path)] == ["completed"] * 2
    (script,) = commands.glob("*.sh")
    flags = dict(fake_slurm.FLAG.findall(script.read_text()))
    assert flags["array"] == "0-1%2"
    assert flags["gpus-per-node"] == "1"
    assert flags["signal"] == "USR2@120"
    assert flags["time"] == "240"
    assert (commands / "threads").read_text() == "1 1"
    again = train(*sweep)
    assert again.returncode == 0
    assert again.stdout.count("skipped") == 2
    assert len(list(commands.glob("*.sh"))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "hydra/launcher=slurm"], "there is no SLURM on this machine"),
        (["hydra/launcher=slurm"], "hydra/launcher=slurm is for sweeps"),
        (["-m", "hydra/launcher=slurm", "device=auto"], "add device=cuda, or device=cpu"),
        (
            ["-m", "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2"],
            "hydra.launcher.tasks_per_node=2: a job is one process",
        ),
        (
            ["-m", "hydra/launcher=slurm", "hydra.launcher.gpus_per_node=a100:1"],
            "gpus_per_node=a100:1 is not allowed: it must be a whole number, or be left out",
        ),
    ],
)
def test_mistakes_start_nothing(
    here: Train, tmp_path: Path, arguments: list[str], message: str
) -> None:
    done = here(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert results(tmp_path) == []
    assert not list(tmp_path.glob("runs/.sweeps/*"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["device=cuda"], r"add device=cuda precision=bf16 .*, or device=cpu precision=fp32"),
        (["precision=bf16"], "add device=cuda, or device=cpu"),
        (["protocol=official"], "add device=cuda, or device=cpu"),
        (["protocol=official", "device=cuda"], ""),
        (["device=cuda", "precision=bf16"], ""),
    ],
)
def test_what_nodes_have_is_not_guessed(
    compose_train: Callable[..., Any], overrides: list[str], message: str
) -> None:
    composition = Composition.of(overrides, check_config(compose_train(*overrides)))
    if not message:
        check_for_nodes([composition])
        return
    with pytest.raises(UserError, match=message):
        check_for_nodes([composition])


def test_nodes_with_gpus_are_planned_for_where_there_is_none(here: Train, tmp_path: Path) -> None:
    dry = ("-m", "device=cuda", "precision=bf16", "sweep.dry_run=true", "seed=0,1")
    done = here(*dry, "hydra/launcher=slurm")
    assert done.returncode == 0, done.stderr
    assert "2 new" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_without_the_extra_nothing_starts(root: Path, tmp_path: Path) -> None:
    hidden = (
        "import sys; sys.modules['hydra_plugins.hydra_submitit_launcher'] = None\n"
        "import hydra_plugins; hydra_plugins.__path__ = []\n"
        "from hydra_peft.cli.train import main; sys.exit(main())"
    )
    for launcher in ("slurm", "submitit_slurm", "submitit_local"):
        done = subprocess.run(
            [sys.executable, "-c", hidden, "-m", f"hydra/launcher={launcher}"],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert done.returncode == 2, done.stderr
        assert "pip install 'hydra-peft[slurm]'" in done.stderr
        assert done.stderr.count("\n") == 1


def test_variables_of_slurm_alone_do_not_join_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    from hydra_peft.cli.torchrun import is_one_of_many

    for name, value in {"NTASKS": "4", "PROCID": "1", "LOCALID": "1", "NNODES": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert not is_one_of_many()
