"""scripts/train.py as torchrun starts it: one run, two processes, one result."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from prepared_root import write_task

from hydra_peft.adaptation.injection import inject
from hydra_peft.cli import torchrun
from hydra_peft.config.check import check_config
from hydra_peft.config.quoting import override_value
from hydra_peft.errors import UserError
from hydra_peft.runs import run as run_module
from hydra_peft.runs import tuning
from hydra_peft.runs.run import run
from hydra_peft.runs.together import check_no_batch_norm
from hydra_peft.tensor_files import read_tensors
from hydra_peft.training.distributed import World

#: 83 images in batches of 41, 41 and 1: shares of 21 and 20, and of 1 and none
SHORT = ["dataset=svhn", "data.allow_partial=true", "train.batch_size=41", "train.epochs=2"]
#: a further split is scored beside the test split
SHORT += ["+dataset.splits.further=[odd]", "+dataset.sizes.odd=30"]
SHORT += ["scheduler.warmup_epochs=0", "train.clip_grad=0.5", "device=cpu"]
JOIN = "import sys; sys.argv = ['train.py', 'seed=1']; torchrun.together(sys.exit)"
VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

#: starts the entry point with something done at each step; {0} in the first process, {1} in others
STEPS = """
import os, pathlib, signal, sys, time
from hydra_peft.cli import train
from hydra_peft.runs import training
from hydra_peft.training.distributed import current
from hydra_peft.training.progress import Step

def disturbed(*arguments, stream=training.train, **rest):
    seen = []
    for event in stream(*arguments, **rest):
        if isinstance(event, Step):
            seen.append(event)
            if current().is_main:
                {0}
            else:
                {1}
        yield event

training.train = disturbed
sys.exit(train.main())
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_task(root / "svhn", classes=10, train800=60, val200=23, test=40, odd=30)
    return root


@pytest.fixture
def start(root: Path, data: Path, tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a script in two processes of one thread each."""

    def begin(
        *words: str, script: str | Path = "scripts/train.py", short: Sequence[str] = SHORT
    ) -> subprocess.Popen[str]:
        paths = [f"paths.runs={tmp_path}/runs", f"paths.cache={data}/cache", f"paths.data={data}"]
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += ["--nproc-per-node=2", str(script), *short, *paths, *words]
        env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=root, env=env, stdout=pipe, stderr=pipe, text=True)

    return begin


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def alone(compose_train: Callable[..., Any], data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Do the same run in this process alone; return its folder."""

    def do(*words: str, short: Sequence[str] = SHORT) -> Path:
        paths = [f"paths.runs={tmp_path}/one", f"paths.cache={data}/cache", f"paths.data={data}"]
        config = compose_train(*short, *paths, *words)
        return run(check_config(config)).folder

    return do


def record(folder: Path) -> dict[str, Any]:
    (path,) = folder.rglob("result.json")
    return json.loads(path.read_text())


def check_same_result(two: Path, one: Path, *, same_id: bool = True) -> None:
    (two,) = (path.parent for path in two.rglob("result.json"))
    losses = [
        [float(row["loss"]) for row in csv.DictReader((folder / "metrics.csv").open())]
        for folder in (two, one)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    ours, theirs = record(two), record(one)
    for key in ("scores", "counts"):
        assert ours[key] == theirs[key]
    assert ours["training"]["accuracy"] == theirs["training"]["accuracy"]
    assert (ours["config_id"] == theirs["config_id"]) == same_id
    tensors, expected = (read_tensors(f / "adapter.safetensors") for f in (two, one))
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-4)
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}


@pytest.mark.long
def test_two_processes_give_what_one_gives(
    start: Callable[..., subprocess.Popen[str]], alone: Callable[..., Path], tmp_path: Path
) -> None:
    origin = alone("method=lora", "seed=1")
    words = ("method=lora", f"init_from={override_value(str(origin))}")
    code, out, err = end(start(*words))
    assert code == 0, err
    assert out.count("test (last epoch") == 1
    assert "process 1" not in err
    check_same_result(tmp_path / "runs", alone(*words))
    assert list(record(tmp_path / "runs")["scores"]) == ["test", "odd"]
    assert len(list((tmp_path / "runs").rglob("tensorboard/*"))) == 1
    assert record(tmp_path / "runs")["hardware"]["processes"] == 2


@pytest.mark.long
def test_two_processes_at_texts_in_parts_give_what_one_gives_at_once(
    start: Callable[..., subprocess.Popen[str]], alone: Callable[..., Path], tmp_path: Path
) -> None:
    pytest.importorskip("transformers", reason="text encoders need transformers: hydra-peft[text]")
    from glue_files import words_for, write_parquet
    from tiny_texts import save_folder

    weights = save_folder(tmp_path / "tiny")
    write_parquet(tmp_path, "rte")
    still = ("hidden_dropout_prob", "attention_probs_dropout_prob")
    words = ["model=transformers", f"model.checkpoint={weights}", "method=hydra_glue"]
    words += [*(f"+model.arguments.{key}=0" for key in still), "head.dropout=0", "device=cpu"]
    words += ["train.batch_size=15", "train.epochs=2", *words_for("rte", tmp_path)]
    code, _, err = end(start(*words, "train.accumulate=2", short=()))
    assert code == 0, err
    assert record(tmp_path / "runs")["hardware"]["processes"] == 2
    check_same_result(tmp_path / "runs", alone(*words, "train.accumulate=2", short=()))
    check_same_result(tmp_path / "runs", alone(*words, short=()), same_id=False)


@pytest.mark.long
def test_torchrun_is_terminated_and_the_same_command_resumes(
    start: Callable[..., subprocess.Popen[str]], alone: Callable[..., Path], tmp_path: Path
) -> None:
    reached, script = tmp_path / "reached", tmp_path / "slow.py"
    wait = f"len(seen) == 4 and (pathlib.Path({str(reached)!r}).touch(), time.sleep(3))"
    script.write_text(STEPS.format(wait, "pass"))
    process = start("method=hydra", script=script)
    limit = time.monotonic() + 90
    while not reached.exists() and time.monotonic() < limit and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    code, _, err = end(process)
    assert code != 0
    assert err.count("interrupted in epoch 2 after step 1; typing the same command again") == 1
    assert record(tmp_path / "runs")["status"] == "interrupted"
    code, out, err = end(start("method=hydra"))
    assert code == 0, err
    assert "skipped" not in out
    assert [entry["at_step"] for entry in record(tmp_path / "runs")["resumed"]] == [4]
    check_same_result(tmp_path / "runs", alone("method=hydra"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("raise RuntimeError('a noise in the second')", "RuntimeError: a noise in the second"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "one of 2 processes ended without a word"),
    ],
    ids=["raises", "is killed"],
)
def test_a_process_that_fails_ends_the_run(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, how: str, sentence: str
) -> None:
    script = tmp_path / "failing.py"
    script.write_text(STEPS.format("pass", how))
    code, out, err = end(start("method=lora", script=script))
    assert code != 0
    assert out == ""
    failed = record(tmp_path / "runs")
    assert failed["status"] == "failed"
    assert sentence in failed["error"]
    assert f"error: {failed['error'].removeprefix('PeerLost: ')}" in err


# What refuses them is tried below, in the tests' own process.
@pytest.mark.long
def test_a_sweep_is_refused_once_and_nothing_is_started(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    _, out, err = end(start("-m", "method=lora,hydra"))
    assert out == ""
    assert err.count("error: torchrun trains one run in several processes, but '-m'") == 1
    assert err.count("error: ") == 1
    assert "exitcode  : 2" in err
    assert not (tmp_path / "runs").exists()


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(VARIABLES, ("0", "2", "0", "localhost", "1"), strict=True):
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("many")
def test_words_of_sweeps_are_refused() -> None:
    for word in ("-m", "--multirun", "hydra/launcher=local", "hydra.mode=MULTIRUN"):
        with pytest.raises(UserError, match="torchrun trains one run"):
            torchrun.check_words(["method=lora", word])
    torchrun.check_words(["method=lora", "seed=1"])


@pytest.mark.usefixtures("many")
def test_processes_that_cannot_meet_are_refused_before_they_look_for_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "5")
    with pytest.raises(UserError, match="RANK=5 of WORLD_SIZE=2 is no process of torchrun's"):
        torchrun.check_words(["method=lora"])
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(sys, "argv", ["train.py", "-m", "seed=0,1"])
    monkeypatch.setattr(torchrun, "PATIENCE_SECONDS", 0.0)  # for the first one, which says it
    assert torchrun.together(lambda: pytest.fail("called")) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_search_for_the_others_is_told_and_can_be_interrupted(sent: signal.Signals) -> None:
    with socket.create_server(("localhost", 0)) as place:
        port = str(place.getsockname()[1])
    code = f"from hydra_peft.cli import torchrun; torchrun.PATIENCE_SECONDS = 0.1; {JOIN}"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MASTER_PORT": port},
    )
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        assert said.startswith(f"waiting for the 2 processes of this run at localhost:{port};")
        process.send_signal(sent)
        assert process.wait(timeout=60) == -sent
    finally:
        process.kill()


@pytest.mark.usefixtures("many")
def test_one_process_is_no_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    assert torchrun.is_one_of_many()
    monkeypatch.delenv("LOCAL_RANK")
    assert not torchrun.is_one_of_many()  # others than torchrun set some of them
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert not torchrun.is_one_of_many()
    before = signal.getsignal(signal.SIGTERM)
    assert torchrun.together(lambda: 3) == 3
    signal.signal(signal.SIGTERM, before)


def test_tuning_and_too_small_batches_are_refused(
    compose_train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.size = 4
    monkeypatch.setattr(tuning, "current", lambda: world)
    monkeypatch.setattr(run_module, "current", lambda: world)
    config = check_config(compose_train(*SHORT, "protocol.tune=true"))
    with pytest.raises(UserError, match=r"protocol\.tune=true does more than one"):
        tuning.run_protocol(config)
    small = dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=3))
    with pytest.raises(UserError, match=r"train\.batch_size=3 leaves nothing for some of 4"):
        run(small)
    parts = dataclasses.replace(config.train, batch_size=7, accumulate=2)
    with pytest.raises(UserError, match=r"some of 4 processes with train\.accumulate=2: it counts"):
        run(dataclasses.replace(config, train=parts))


def test_models_that_normalise_over_the_batch_are_refused(
    compose_train: Callable[..., Any],
) -> None:
    world = World()
    world.size = 2
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    inject(model, "full", head="0")
    full, lora = (check_config(compose_train(*SHORT, f"method={m}")) for m in ("full", "lora"))
    with pytest.raises(UserError, match="1 of vit_mini normalises over the batch"):
        check_no_batch_norm(model, full, world)
    check_no_batch_norm(model, full, World())
    parts = check_config(compose_train(*SHORT, "method=full", "train.accumulate=3"))
    with pytest.raises(UserError, match=r"which train\.accumulate=3 computes parts: train this"):
        check_no_batch_norm(model, parts, World())
    check_no_batch_norm(model, lora, world)
