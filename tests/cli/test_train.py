"""The train entry point as a user meets it: sweeps, and every mistake in one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prepared_root import write_task

SHORT = ["train.epochs=1", "scheduler.warmup_epochs=0", "train.batch_size=100", "device=cpu"]


Cli = Callable[..., tuple[int, str, str]]


def results(tmp_path: Path) -> list[dict]:
    return [json.loads(p.read_text()) for p in sorted(tmp_path.glob("runs/**/result.json"))]


def test_a_sweep_over_methods_and_ranks(cli: Cli, tmp_path: Path) -> None:
    arguments = ("-m", "method=lora,hydra", "method.rank=2,3", "seed=1")
    code, out, _ = cli(*arguments)
    assert code == 0
    done = {(r["method_label"], r["seed"]) for r in results(tmp_path)}
    labels = ("lora r=2", "lora r=3", "hydra r=2+2", "hydra r=3+3")
    assert done == {(label, 1) for label in labels}
    assert out.count("test (last epoch") == 4
    code, out, _ = cli(*arguments)
    assert code == 0
    assert out.count("skipped") == 4


def test_one_failing_job_does_not_stop_the_others(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra_peft.runs import task_splits

    original = task_splits.load_data

    def fail(dataset, *rest, **options):  # type: ignore[no-untyped-def]
        if dataset.name == "digits":
            raise RuntimeError("the disk made a noise")
        return original(dataset, *rest, **options)

    monkeypatch.setattr(task_splits, "load_data", fail)
    code, out, err = cli("-m", "dataset=mini/digits,mini/texture")
    assert code == 1
    assert "dataset=mini/digits" in err
    assert "the disk made a noise" in err
    assert "1 of the runs did not complete" in err
    assert out.count("test (last epoch") == 1
    assert [r["task"] for r in results(tmp_path)] == ["texture"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["method.rnak=3"], "unknown key 'method.rnak' (did you mean 'rank'?); known here: "),
        (
            ["logger=csv", "logger.csv.foo=1"],
            "unknown key 'logger.csv.foo': logger.csv has no options.",
        ),
        (["optimiser.lr=1"], "unknown key 'optimiser.lr' (did you mean 'optimizer.lr'?)"),
        (["sed=1"], "unknown key 'sed' (did you mean 'seed'?)"),
        (["method=loar"], "unknown method 'loar' (did you mean 'lora'?): choose one of "),
        (["dataset=mini/digts"], "unknown dataset 'mini/digts' (did you mean 'mini/digits'?)"),
        (["dataset=digits"], "unknown dataset 'digits' (did you mean 'mini/digits' or"),
        (["method=linear", "method.rank=2"], "compacter,…; known here: name, recipe."),
        (["logger.wandb.project=x"], "is of logger=wandb, which is not chosen: add logger=wandb."),
        (
            ["model=resnet50"],
            "any of timm's without batch norms as model=timm model.arch",
        ),
        (["+dataset.metrics=f2"], "where a list is meant: put it in brackets, as [f2]."),
        (["model=vit_maxi"], "unknown model 'vit_maxi' (did you mean 'vit_mini'?)"),
        (["method.rank=0"], "method.rank=0 is not allowed: it must be at least 1"),
        (["method.rank=10000"], "rank 10000 of method 'hydra' does not fit vit_mini"),
        (["method=lora", "method.targets=[attn.prj]"], "blocks.4 have attn.qkv, attn.proj"),
        (["model.checkpoint=/nowhere/ViT-B_16.npz"], "/nowhere/ViT-B_16.npz is not there"),
        (["+experiment=dmo"], "unknown experiment 'dmo' (did you mean 'demo'?)"),
        (["method.rank"], "cannot understand the override 'method.rank'"),
        (["seed=[1"], "cannot understand the override 'seed=[1'"),
        (
            ["method=linear", "method.rank=2"],
            "unknown key 'method.rank': it is of method=",
        ),
        (["model.architecture=vit_bse"], "is unknown to timm; near names"),
        (["method=null"], "a group needs the name of an option"),
        (["experiment=demo"], "add it with a plus, as +experiment=..."),
        (["recipe=mini"], "'recipe' is nothing to choose here: each data set names its own"),
        (["dataset.metrics=[f1]"], "add it with a plus, as +dataset.metrics=..."),
        (["dataset.source_options=1"], "unknown key 'dataset.source_options'"),
        (["dataset.recipe.lr.adapter=1"], "would change the task's recommendation"),
        (["method.recipe=full"], "would change the task's recommendation"),
        (["recipe@dataset.recipe=neutral"], "would change the task's recommendation"),
        (["protocol.fills.init=xavier"], "would change the protocol under its name"),
        (["protocol=clean", "protocol.name=official"], "would give one protocol another's name"),
        (["++protocol.name=mine"], "write a new one as conf/protocol/<name>.yaml"),
        (["protocol.evaluate_every=1"], "would change the protocol under its name: choose another"),
        (["-m", "protocol.selection=last,best"], "'protocol.selection=last,best' would change"),
        (["method=linear", "method.name=lora"], "would give one method another's name"),
        (["optimizer.name=sgd"], "would give one optimizer another's name"),
        (["head.name=prototypes"], "would give one head another's name"),
        (["dataset.name=cells"], "would give one dataset another's name"),
        (["model.name=vit_base"], "choose one as model=<name>"),
        (["dataset.benchmark=vtab1k"], "write a new one as conf/dataset/<name>.yaml"),
        (["dataset=mini/cells", "++dataset.group=x"], "would give one dataset another's name"),
        (["method.targets={a: 1}"], "a list is written as method.targets=[a,b]"),
        (["optimizer.betas={a: 1}"], "a list is written as optimizer.betas=[a,b]"),
        (['+protocol.grid={"method.rank":[2]}'], "as in '+protocol.grid={method.rank:[2]}'"),
        (["+model.arguments.embed_dim=-1"], "embed_dim=-1 is not allowed: it must be at least 1"),
        (
            ["protocol.tune=true", "+protocol.grid.method.targets=[[attn.proj],[foo]]"],
            "protocol.grid.method.targets[1]: method.targets: 'foo' matches no linear layer",
        ),
        (
            ["method=ia3", "method.feedforward=[x]"],
            "method.feedforward: 'x' matches no layer that ",
        ),
        (["method=ia3", "method.feedforward=[x]"], " that method.targets=["),
        (["model.checkpoint=/etc/hostname"], "unknown ending"),
        (["+model.arguments.global_pool=''"], "logits are needed"),
        (["paths.runs=/tmp/" + "x" * 300], "a name has at most 255 bytes"),
    ],
)
def test_mistakes_are_one_sentence_and_start_nothing(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = cli(*arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert out == ""
    assert results(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["method=lora,loar"], "unknown method 'loar'"),
        (["method.rank=2,10000"], "job 'train.epochs=1 "),
        (["method=lora,linear", "method.rank=2"], "unknown key 'method.rank'"),
    ],
)
def test_a_sweep_with_one_bad_job_starts_none(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, err = cli("-m", *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert results(tmp_path) == []


def test_globs_choose_every_option_of_a_group(cli: Cli, tmp_path: Path) -> None:
    code, _, err = cli("-m", "method=glob(*lora)", "train.batch_size=500")
    assert code == 0, err
    assert {r["method"]["name"] for r in results(tmp_path)} == {"lora", "seqlora"}


def test_paths_may_start_with_a_tilde(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("paths.runs=~/mine/runs", "paths.cache=~/mine/cache", "method=linear")
    assert (code, err) == (0, "")
    assert len(list(tmp_path.glob("mine/runs/**/result.json"))) == 1
    assert list(tmp_path.glob("mine/cache/*"))
    assert not list(tmp_path.glob("~*"))
    code, _, err = cli("model.checkpoint=~/ViT-B_16.npz")
    assert code == 2
    assert f"{tmp_path}/ViT-B_16.npz is not there" in err


def test_truncated_weights(cli: Cli, tmp_path: Path, root: Path) -> None:
    content = (root / "hydra_peft/assets/vit_mini.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(content[:-1000])
    code, _, err = cli(f"model.checkpoint={tmp_path}/w.safetensors")
    assert code == 2
    assert "truncated or not a safetensors file" in err
    assert results(tmp_path) == []


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_weights_of_another_model_stop_a_sweep_before_its_first_job(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    from hydra_peft.backbones import backbones

    arrays = {"embedding/kernel": np.zeros((2, 2), np.float32)}
    path = tmp_path / f"other{suffix}"
    np.savez(path, **arrays) if suffix == ".npz" else save_file(arrays, path)
    opened: list[Path] = []
    original = backbones.check_checkpoint
    monkeypatch.setattr(
        backbones,
        "check_checkpoint",
        lambda model, file, **how: (opened.append(file), original(model, file, **how)),
    )
    monkeypatch.setattr(backbones, "load_checkpoint", lambda *_: pytest.fail("read in full"))
    code, out, err = cli("-m", "method=lora,hydra,linear", "seed=0,1", f"model.checkpoint={path}")
    assert (code, out) == (2, "")
    assert str(path) in err
    assert err.count("\n") == 1
    assert opened == [path]
    assert results(tmp_path) == []


def environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


# In the quick tests a signal comes to a run in their own process: test_resume.py, test_start.py.
@pytest.mark.long
def test_ctrl_c_in_the_middle_of_a_run(root: Path, tmp_path: Path) -> None:
    write_task(tmp_path / "svhn", classes=10)
    command = [
        sys.executable,
        str(root / "scripts/train.py"),
        *("dataset=svhn", "data.allow_partial=true", f"paths.data={tmp_path}"),
        *("model.pretrained=false", "+model.arguments.depth=1"),
        "train.epochs=10000",
        f"paths.runs={tmp_path}/runs",
        f"paths.cache={tmp_path}/cache",
        "device=cpu",
    ]
    # From another working directory: scripts do not depend on it.
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=environment())
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        logs = list(tmp_path.glob("runs/**/metrics.csv"))
        if logs and logs[0].read_text().count("\n") > 1:
            break
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.decode().strip().splitlines()[-1].startswith("error: interrupted")
    assert "Traceback" not in err.decode()
    (result,) = results(tmp_path)
    assert result["status"] == "interrupted"


@pytest.mark.long
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_typed_again_gives_the_same_bits(
    root: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    command = [
        sys.executable,
        str(root / "scripts/train.py"),
        "train.epochs=8",
        "train.batch_size=100",
        "train.checkpoint_every=1",
        "method.dropout=0.1",
        f"paths.cache={tmp_path}/cache",
        "device=cpu",
    ]
    stopped = [*command, f"paths.runs={tmp_path}/runs"]
    process = subprocess.Popen(stopped, stderr=subprocess.PIPE, text=True, env=environment())
    deadline = time.monotonic() + 120
    written = "runs/mini/digits/*/checkpoints/step-*"
    while time.monotonic() < deadline and not list(tmp_path.glob(written)):
        time.sleep(0.05)
    process.send_signal(signum)
    _, err = process.communicate(timeout=60)
    (result,) = results(tmp_path)
    if signum == signal.SIGTERM:
        assert process.returncode == 130
        assert "typing the same command again resumes it" in err
        assert result["status"] == "interrupted"
    else:
        assert result["status"] == "running"
    subprocess.run(stopped, check=True, env=environment(), capture_output=True)
    whole = [*command, f"paths.runs={tmp_path}/undisturbed"]
    subprocess.run(whole, check=True, env=environment(), capture_output=True)
    (resumed,) = results(tmp_path)
    assert resumed["status"] == "completed"
    assert resumed["resumed"][0]["at_step"] >= 10
    one, other = (
        next(tmp_path.glob(f"{name}/**/adapter.safetensors")).read_bytes()
        for name in ("runs", "undisturbed")
    )
    assert one == other


def test_without_optuna_nothing_starts(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    drawn = ("protocol.tune=true", "protocol.search=optuna", "protocol.trials=2")
    for arguments in (drawn, ("-m", "protocol.tune=false,true", *drawn[1:])):
        code, out, err = cli(*arguments)
        assert (code, out) == (2, "")
        assert "pip install 'hydra-peft[search]'" in err
        assert err.count("\n") == 1
        assert results(tmp_path) == []


# test_package.py looks at what modules import, in the quick tests.
@pytest.mark.long
def test_using_the_library_does_not_load_the_runner() -> None:
    probe = (
        "import sys, torch, hydra_peft\n"
        "model = torch.nn.Sequential(torch.nn.Linear(4, 4))\n"
        "hydra_peft.inject(model, 'lora', targets=['0'], rank=1)\n"
        "heavy = {'timm', 'tensorboard', 'matplotlib', 'hydra', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
