"""Runs whose head starts from class vectors, has BatchNorm before it, or is not trained at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.cli import evaluate
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import build_model, load_backbone
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.task_splits import load_splits
from hydra_peft.tensor_files import read_tensors
from hydra_peft.training.seeding import generator

Do = Callable[..., Outcome]
Configure = Callable[..., RunConfig]
ELEVATERS = ["optimizer=sgd", "optimizer.lr=0.005", "optimizer.weight_decay=0.01"]
ELEVATERS += ["scheduler=constant", "head.norm=batch", "train.eval_after=1"]


@pytest.fixture
def model(shallow: list[str]) -> list[str]:
    return shallow


def pixels(split: Split) -> Tensor:
    images = split.in_memory(torch.device("cpu")).inputs["image"]
    assert isinstance(images, Tensor)
    return images.float() / 127.5 - 1


@torch.no_grad()
def test_untrained_prototypes_are_the_nearest_mean_by_cosine(do: Do, configure: Configure) -> None:
    words = ["head=prototypes", "train.epochs=0"]
    config = configure("method=linear", *words)
    outcomes = [do(f"method={name}", *words) for name in ("linear", "hydra")]
    train, scored = load_splits(config, (32, 32), torch.device("cpu"), described=lambda _: None)
    model = load_backbone(config.model, config.seed)[0].eval()
    shots = F.normalize(model(pixels(train)), dim=1)
    means = torch.stack([F.normalize(shots[train.targets == c].mean(0), dim=0) for c in range(10)])
    outputs = 10 * F.normalize(model(pixels(scored["test"])), dim=1) @ means.T
    for outcome in outcomes:
        kept = read_tensors(outcome.folder / "predictions.safetensors")
        assert torch.allclose(kept["outputs"], outputs, atol=1e-4)
        record = outcome.record
        assert (record.status, record.selection["epoch"], record.training) == ("completed", 0, {})
        assert record.counts["correct"] == int((outputs.argmax(1) == kept["targets"]).sum()) > 5


def test_it_is_trained_from_there_saved_and_scored_again(
    do: Do,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["method=lora", "head=prototypes", "head.norm=batch"]
    untrained, trained = do(*words, "train.epochs=0"), do(*words)
    before, after = (read_tensors(o.folder / "adapter.safetensors") for o in (untrained, trained))
    assert before["head.linear.weight"].norm(dim=1) == pytest.approx([1.0] * 10, abs=1e-5)
    assert not before["head.norm.running_mean"].any()
    assert after["head.norm.running_mean"].any()
    moved = (after["head.linear.weight"] - before["head.linear.weight"]).abs().max()
    assert 0 < moved < 0.5
    words = ["evaluate.py", f"run={trained.folder}", f"cache={shared_cache}", "device=cpu"]
    monkeypatch.setattr("sys.argv", words)
    assert evaluate.main() == 0
    assert f"{trained.record.score:.4f}%" in capsys.readouterr().out


class PlainHydra(nn.Module):
    """extremebird/Hydra, elevater/evaluation/Hydra_model.py: both branches with biases."""

    def __init__(self, frozen: nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen
        wide, narrow = frozen.in_features, frozen.out_features
        self.down = nn.ModuleList([nn.Linear(wide, 2), nn.Linear(narrow, 2)])
        self.up = nn.ModuleList([nn.Linear(2, narrow), nn.Linear(2, narrow)])
        for down, up in zip(self.down, self.up, strict=True):
            nn.init.normal_(down.weight, std=0.02)
            for tensor in (down.bias, up.weight, up.bias):
                nn.init.zeros_(tensor)

    def forward(self, x: Tensor) -> Tensor:
        out = self.frozen(x)
        return out + self.up[0](self.down[0](x)) + self.up[1](self.down[1](out))


def plain_model(backbone: nn.Module) -> nn.Sequential:
    """Return the release's model: tower with Hydra, BatchNorm without parameters, linear head."""
    for parameter in backbone.parameters():
        parameter.requires_grad_(False)
    for block in backbone.blocks:
        block.mlp.fc2 = PlainHydra(block.mlp.fc2)
    norm, linear = nn.BatchNorm1d(128, affine=False), nn.Linear(128, 10)
    return nn.Sequential(backbone, norm, linear)


def test_twenty_steps_equal_a_plain_transcription_of_the_release(
    do: Do, configure: Configure
) -> None:
    words = ["method=hydra_mlp", *ELEVATERS, "train.batch_size=22", "train.epochs=5"]
    config = configure(*words)
    train, _ = load_splits(config, (32, 32), torch.device("cpu"), described=lambda _: None)
    images, labels = pixels(train), train.targets
    assert len(images) == 4 * 22 + 1  # a batch of one image, which is skipped
    plain = plain_model(load_backbone(config.model, config.seed)[0])
    outcome = do(*words)
    saved = read_tensors(outcome.folder / "adapter.safetensors")
    _start_alike(plain, config)
    parameters = [p for p in plain.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.005, momentum=0.9, weight_decay=0.01)
    order, done = generator(config.seed, "batches"), 0
    plain.train()
    for _ in range(5):
        rows = torch.randperm(len(images), generator=order)
        for at in range(0, len(images), 22):
            mine = rows[at : at + 22]
            if len(mine) == 1:
                continue
            loss = F.cross_entropy(plain(images[mine]), labels[mine])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
        plain.eval()  # to validate; train() is never called again
    assert done == 20
    norm, linear = plain[1], plain[2]
    assert torch.allclose(saved["head.norm.running_mean"], norm.running_mean, atol=1e-5)
    assert torch.allclose(saved["head.norm.running_var"], norm.running_var, rtol=1e-4)
    assert int(saved["head.norm.num_batches_tracked"]) == 4  # of the first epoch alone
    assert torch.allclose(saved["head.linear.weight"], linear.weight, atol=1e-5)
    assert torch.allclose(saved["head.linear.bias"], linear.bias, atol=1e-5)
    own = plain[0].blocks[1].mlp.fc2
    branches = ("parallel", "sequential")
    for name, down, up in zip(branches, own.down, own.up, strict=True):
        at = f"blocks.1.mlp.fc2.{name}"
        assert torch.allclose(saved[f"{at}.down.weight"], down.weight, atol=1e-5)
        assert torch.allclose(saved[f"{at}.up.weight"], up.weight, atol=1e-5)
        assert up.weight.abs().max() > 1e-4
    # With train() in every epoch it is another model.
    other = do(*words, "train.eval_after=null")
    moving = read_tensors(other.folder / "adapter.safetensors")
    assert int(moving["head.norm.num_batches_tracked"]) == 20
    assert not torch.allclose(moving["head.linear.weight"], linear.weight, atol=1e-3)


def _start_alike(plain: nn.Module, config: RunConfig) -> None:
    """Draw the transcription's layers as the run draws its own."""
    backbone = load_backbone(config.model, config.seed)[0]
    built = build_model(
        backbone,
        config.method,
        head=config.head,
        classes=10,
        seed=config.seed,
        device=torch.device("cpu"),
        normalization="backbone",
    ).model
    plain[2].load_state_dict(built.head.linear.state_dict())
    for block, theirs in zip(plain[0].blocks, built.blocks, strict=True):
        own, other = block.mlp.fc2, theirs.mlp.fc2
        for place, name in enumerate(("parallel", "sequential")):
            branch = other.get_submodule(name)
            own.down[place].load_state_dict(branch.down.state_dict())
            own.up[place].load_state_dict(branch.up.state_dict())


def test_a_batch_that_has_no_statistics_is_refused(do: Do) -> None:
    with pytest.raises(
        UserError, match=r"train.batch_size=1 of 89 training examples gives batches"
    ):
        do("method=linear", "head.norm=batch", "train.batch_size=1")
