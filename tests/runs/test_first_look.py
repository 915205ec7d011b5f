"""What is found out about a run before torch is loaded."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from hydra_peft import disk_errors
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.config.check import check_config
from hydra_peft.config.schema import RunConfig
from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError
from hydra_peft.runs.first_look import WIDEST, check_ranks, look_first

Compose = Callable[..., Any]


@pytest.fixture(autouse=True, scope="module")
def _short_tasks() -> None:
    """Tasks as they are, in the place of the folder's short ones."""


@pytest.fixture
def config(compose_train: Compose, tmp_path: Path) -> Callable[..., RunConfig]:
    def checked(*words: str) -> RunConfig:
        return check_config(compose_train(f"paths.runs={tmp_path}/runs", *words))

    return checked


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["method.rank=129"],
         "rank 129 of method 'hydra' does not fit vit_mini: it must be at most 128"),
        (["method.rank_sequential=129"], "rank 129 of method 'hydra'"),
        (["method=dora", "method.rank=129"], "rank 129 of method 'dora'"),
        (["method=fact_tk", "method.rank=129"], "rank 129 of method 'fact_tk'"),
        (["method=repadapter", "method.targets=[attn.q]"], "'attn.q' matches no linear layer of"),
        (["method=adapter", "method.targets=[mpl]"], "'mpl' matches no module with linear layers"),
        (["method=kadaptation", "method.targets=[attn.q]"], "'attn.q' matches no linear layer of"),
        (["method=seqlora", "+model.arguments.embed_dim=64", "method.rank=65"], "at most 64"),
        (["model=vit_base_patch16_224_in21k", "method.rank=20000"], "at most 16,384"),
        (["method.targets=[q_proj]"],
         "'q_proj' matches no linear layer of vit_mini, whose blocks.0 to blocks.4 have attn.qkv"),
        (["method.targets=[mlp.fc2,blocks.5.*]"], "'blocks.5.*' matches no linear layer of vit_mi"),
        (["model=vit_base_patch16_224_in21k", "method.targets=[blocks.12.mlp.fc1]"],
         "blocks.0 to blocks.11 have"),
        (["model=roberta_mini"], "digits has images, and the backbone takes none"),
        (["dataset=mini_glue/supersense", "model=vit_mini"], "supersense has texts, and the backb"),
        (["+model.arguments.img_size=33"],
         "model.arguments.img_size=33 is not allowed: that is set by model.image_size"),
        (["model.arguments={num_classes: 7}"], "num_classes=7 is not allowed: that is set by data"),
        (["+model.arguments.drop_path_rate=0.1"], "that is set by model.drop_path, so give it the"),
        (["+model.arguments.checkpoint_path=x"], "that is set by model.checkpoint, so give it th"),
        (["+model.arguments.in_chans=1"], "=1 is not allowed: images have three channels for ev"),
        (["+model.arguments.patch_size=[1,2,3]"], "a size is one number, or two for height and"),
        (["+model.arguments.patch_size="], "patch_size= is not allowed: it must be a number; lea"),
        (["+model.arguments.patch_size=null"], "patch_size=null is not allowed: it must be a numb"),
        (["+model.arguments.init_values=x"], "init_values=x is not allowed: it must be a number"),
        (["+model.arguments.depth=x"], "depth=x is not allowed: it must be a number; leave it out"),
        (["+model.arguments.drop_rate=[0.1,a]"], "a'] is not allowed: it must be a number; leave "),
        (["+model.arguments.patch_size=5"], "model.image_size=32 is not allowed: it must be a mul"),
        (["model.checkpoint=/nowhere/x.npz"], "/nowhere/x.npz is not there or is not a file"),
        (["model.checkpoint={tmp}/circle.npz"], "/circle.npz is one of links that lead to each ot"),
        (["dataset=svhn", "paths.data={tmp}/circle.npz"],
         "/svhn is below {tmp}/circle.npz, one of links that lead to each other"),
        (["dataset=svhn", "paths.data=/etc/hostname"], "/svhn is below /etc/hostname, a file; unp"),
        (["dataset=glue/rte", "model=roberta_mini", "paths.data=/etc/hostname"],
         "dataset glue/rte: /etc/hostname/glue is below /etc/hostname, a file: put the hub's"),
        (["model.checkpoint=/etc/hostname"], "unknown ending"),
        (["model.checkpoint={tmp}/bad.npz"], "cannot open {tmp}/bad.npz as .npz: it is truncated"),
        (["model.checkpoint={tmp}/bad.safetensors"], "bad.safetensors: truncated or not a safete"),
        (["+model.tokenizer=/nowhere"], "/nowhere is not there or is not a file, and texts need"),
        (["paths.runs={tmp}/task-is-file"], "cannot write at {tmp}/task-is-file/mini: there is a"),
        (["paths.runs={tmp}/task-is-link"], "/task-is-link/mini/digits is a link, and runs are"),
        (["paths.runs={tmp}/claims-are-file"], "cannot write at {tmp}/claims-are-file/.claims: "),
        (["paths.runs={tmp}/claims-are-link"], "leads out of {tmp}/claims-are-link/.claims by a"),
        (["dataset=svhn", "paths.data=/nowhere"], "no folder 'svhn' below /nowhere/vtab1k"),
        (["dataset.classes=11"], "labels from 0 to 9, but dataset.classes=11: set dataset.classes"),
        (["dataset.classes=9"], "labels from 0 to 9 in train, but dataset.classes=9"),
        (["dataset.sizes.test=5"], "has 797 images in test where its yaml says 5"),
        (["dataset.name=layout"], "task 'layout' is unknown: choose one of cells, "),
        (["dataset.benchmark=tuning"], "tuning is not allowed: tables pass over folders of that"),
        (["dataset.benchmark=a.superseded-1"], "tables pass over folders of that name; give it"),
        (["dataset.source=minni"], "dataset.source 'minni' is unknown (did you mean 'mini'?)"),
        (["train.batch_size=2000", "train.drop_last=true"],
         "train.drop_last=true leaves no batch of 1000 training examples: lower it, or set"),
        (["train.eval_after=99", "train.epochs=3"],
         "train.eval_after=99 changes nothing in a training of train.epochs=3: set it below"),
        (["train.eval_after=3", "train.epochs=3"], "train.eval_after=3 changes nothing"),
        (["dataset=mini_fewshot/digits", "train.batch_size=51", "train.drop_last=true"],
         "leaves no batch of 50 training examples"),
        (["dataset=mini_fewshot/digits", "protocol=validation", "train.batch_size=41",
          "train.drop_last=true"], "leaves no batch of 40 training examples"),
        (["dataset=mini_fewshot/digits", "protocol=validation", "dataset.shots=1"],
         "dataset.shots=1 leaves nothing of dataset digits to train on beside what is held out"),
        (["dataset.shots=3", "train.batch_size=31", "train.drop_last=true"], "no batch of 30 "),
        (["dataset.train_size=100", "train.batch_size=101", "train.drop_last=true"],
         "leaves no batch of 100 training examples"),
        (["protocol=validation", "train.batch_size=801", "train.drop_last=true"],
         "leaves no batch of 800 training examples"),
        (["paths.cache=/proc/x"],
         "cannot write at /proc: permission denied; let it be written to, or set "
         "paths.cache to another folder. What"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(
    config: Callable[..., RunConfig], tmp_path: Path, words: list[str], message: str
) -> None:
    (tmp_path / "circle.npz").symlink_to("circle.npz")
    for name in ("bad.npz", "bad.safetensors", "task-is-file/mini", "claims-are-file/.claims"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    for name in ("task-is-link/mini/digits", "claims-are-link/.claims"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).symlink_to(tmp_path)
    with pytest.raises(UserError) as caught:
        look_first(config(*(word.replace("{tmp}", str(tmp_path)) for word in words)))
    assert message.replace("{tmp}", str(tmp_path)) in str(caught.value)


def test_what_may_work_is_left_alone(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    partial = ["dataset.classes=11", "data.allow_partial=true"]
    targets = ["method.targets=[blocks.4.*,mlp.fc?]"]
    unknown = ["method.targets=[attn_pool.kv]", "+model.arguments.global_pool=map"]
    for words in (
        targets,
        unknown,
        ["method.rank=128"],
        ["method=linear"],
        ["method=adaptformer", "method.targets=[blocks.*.mlp,blocks.0.mlp]"],
        ["method=ssf", "method.targets=[norm1]"],
        ["model.pretrained=false"],
        ["+model.arguments.patch_size=[8,4]"],
        ["+model.arguments.patch_size=16"],
        ["train.batch_size=1000", "train.drop_last=true"],
        ["train.epochs=3", "train.eval_after=2"],
        ["train.epochs=0", "train.eval_after=2"],
        # the protocol's: who trains less has not asked for it
        ["train.epochs=1", "scheduler.warmup_epochs=0", "protocol.fills.eval_after=1"],
        ["protocol.tune=true", "train.epochs=3", "train.eval_after=9"],
        ["dataset=mini_fewshot/digits", "train.batch_size=50", "train.drop_last=true"],
        partial,
    ):
        look_first(config(*words))
    assert not list(tmp_path.iterdir())


def test_every_linear_layer_of_an_embedded_model_is_as_wide_as_its_features_on_one_side(
    config: Callable[..., RunConfig],
) -> None:
    base, own = EMBEDDED["vit_mini"]
    with torch.device("meta"):
        model = timm.create_model(base, num_classes=0, **own)
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    widest = max(min(layer.in_features, layer.out_features) for layer in layers)
    run = config(f"method.rank={widest}")
    check_ranks(run.model, run.method)
    with pytest.raises(UserError):
        check_ranks(run.model, dataclasses.replace(run.method, rank=widest + 1))
    assert widest < WIDEST


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("link/runs", "link: it is a link to {}/purged, which is not there"),
        ("file/runs", "file: there is a file of that name"),
        ("/proc/runs", "/proc: permission denied"),
        ("/proc", "/proc: permission denied"),
    ],
)
def test_a_folder_that_cannot_be_made(tmp_path: Path, where: str, message: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "purged")
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        check_writable(tmp_path / where)
    assert message.format(tmp_path) in str(caught.value)
    check_writable(tmp_path / "new" / "runs")
    assert not (tmp_path / "new").exists()


def test_a_folder_without_permission(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def try_to_write(folder: Path) -> None:
        if not os.stat(folder).st_mode & stat.S_IWUSR:
            raise PermissionError(errno.EACCES, "denied")

    # Whoever runs the tests: the superuser may write anywhere.
    monkeypatch.setattr(disk_errors, "_try_to_write", try_to_write)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match=f"cannot write at {tmp_path}: permission denied"):
            look_first(config())
    finally:
        tmp_path.chmod(0o700)
    done = tmp_path / "runs/mini/digits/hydra-r=2+2-seed0-0123456789ab-01234567"
    done.mkdir(parents=True)
    (tmp_path / "runs").chmod(0o500)
    look_first(config())  # perhaps done: nothing is to be written then
    with pytest.raises(UserError, match="permission denied"):
        look_first(config("seed=1"))
    (tmp_path / "runs").chmod(0o700)


def test_mistakes_are_told_without_torch(root: Path, tmp_path: Path) -> None:
    node = ("device=cpu", "precision=fp32")
    cases: list[list[str]] = [
        ["method.rank=100000"],
        ["optimizer.lr=-1"],
        ["model.checkpoint=/nowhere/x.npz"],
        ["dataset=svhn", f"paths.data={tmp_path}"],
        [f"paths.runs={tmp_path}/file/x"],
        ["paths.runs=/proc/x"],
        ["dataset.classes=11"],
        ["-m", "seed=0,1", "method.rank=2,100000"],
        ["-m", "seed=0,-1"],
        ["-m", "seed=interval(0,1)"],
        ["-m", *node, "hydra/launcher=ray"],
        ["-m", *node, "hydra/launcher=submitit_local", "hydra.launcher.tasks_per_node=2"],
    ]
    (tmp_path / "file").touch()
    paths = [f"paths.runs={tmp_path}/r", f"paths.cache={tmp_path}/c"]
    probe = (
        "import sys\n"
        "sys.modules['ray'] = None\n"
        "import hydra_memo\n"
        "hydra_memo.remember()\n"
        "from hydra.core.global_hydra import GlobalHydra\n"
        "from hydra_peft.cli import train\n"
        f"for words in {cases!r}:\n"
        f"    sys.argv = ['train.py', *{paths!r}, *words]\n"
        "    GlobalHydra.instance().clear()\n"
        "    assert train.main() == 2, words\n"
        "    assert not {'torch', 'timm'} & set(sys.modules), words\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{root}:{root}/tests"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("error: ") == len(cases)
    assert not (tmp_path / "r").exists()
