"""protocol=official against a plain transcription of the released code's rules.

extremebird/Hydra, folder vtab1k: Xavier down-projections with biases, the task's scale, drop-path
0.1, ImageNet statistics, smaller last batches dropped, AdamW over everything, timm's cosine of
period 500 stepped once an epoch, maximum of the test evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from prepared_root import write_task
from safetensors.torch import load_file
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import Tensor, nn
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize, ToTensor

from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.backbones.weight_files import ASSETS
from hydra_peft.runs import training as training_module
from hydra_peft.runs.outcome import Outcome
from hydra_peft.training.progress import Step
from hydra_peft.training.seeding import derive_seed, generator, seed_everything

EPOCHS, STEPS, BATCH, LR, SCALE = 4, 5, 16, 1e-3, 3.0
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PlainBranch(nn.Module):
    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.down = nn.Linear(width_in, 2)
        self.up = nn.Linear(2, width_out)
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return SCALE * self.up(self.down(x))


class PlainHydra(nn.Module):
    def __init__(self, frozen: nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen
        self.parallel = PlainBranch(frozen.in_features, frozen.out_features)
        self.sequential = PlainBranch(frozen.out_features, frozen.out_features)

    def forward(self, x: Tensor) -> Tensor:
        out = self.frozen(x)
        return out + self.parallel(x) + self.sequential(out)


@pytest.fixture
def model() -> list[str]:
    """The original starts from the pretrained weights."""
    return []


def plain_model(classes: int) -> nn.Module:
    arguments = {**VIT_MINI, "drop_path_rate": 0.1, "num_classes": 0}
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, **arguments)
    model.load_state_dict(load_file(ASSETS / "vit_mini.safetensors"))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    seed_everything(derive_seed(0, "head"))
    model.reset_classifier(classes)
    seed_everything(derive_seed(0, "adapter"))
    for block in model.blocks:
        block.attn.proj = PlainHydra(block.attn.proj)
        block.mlp.fc2 = PlainHydra(block.mlp.fc2)
    return model


def read_split(folder: Path, name: str) -> tuple[Tensor, Tensor]:
    transform = Compose(
        [Resize((32, 32), InterpolationMode.BICUBIC), ToTensor(), Normalize(MEAN, STD)]
    )
    lines = [line.split() for line in (folder / f"{name}.txt").read_text().splitlines()]
    images = [transform(Image.open(folder / path).convert("RGB")) for path, _ in lines]
    return torch.stack(images), torch.tensor([int(label) for _, label in lines])


def transcription(folder: Path, warmup: int) -> tuple[list[float], list[int]]:
    """Losses of all steps, and correct test images after each epoch."""
    images, labels = read_split(folder, "train800val200")
    test_images, test_labels = read_split(folder, "test")
    model = plain_model(classes=10)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR, weight_decay=1e-4)
    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=500,
        warmup_t=warmup,
        lr_min=1e-5,
        warmup_lr_init=1e-6,
        cycle_decay=0.1,
    )
    order = generator(0, "batches")
    seed_everything(derive_seed(0, "training"))
    losses, scores = [], []
    for epoch in range(EPOCHS):
        model.train()
        rows = torch.randperm(len(images), generator=order)
        for step in range(len(images) // BATCH):
            batch = rows[step * BATCH : (step + 1) * BATCH]
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step(epoch)
        model.eval()
        with torch.no_grad():
            scores.append(int((model(test_images).argmax(1) == test_labels).sum()))
    return losses, scores


@pytest.mark.parametrize("warmup", [pytest.param(10, marks=pytest.mark.long), 1])
def test_same_losses_for_twenty_steps_and_the_same_maximum(
    do: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warmup: int
) -> None:
    folder = tmp_path / "data" / "svhn"
    write_task(folder, classes=10, train800=60, val200=STEPS * BATCH + 3 - 60, test=40)
    losses: list[float] = []
    original = training_module.train

    def spy(*arguments, **rest):  # type: ignore[no-untyped-def]
        for event in original(*arguments, **rest):
            if isinstance(event, Step):
                losses.append(event.loss.item())
            yield event

    monkeypatch.setattr(training_module, "train", spy)
    outcome = do(
        "dataset=svhn",
        "protocol=official",
        f"paths.data={tmp_path}/data",
        "data.allow_partial=true",
        f"train.batch_size={BATCH}",
        f"train.epochs={EPOCHS}" if warmup == 1 else f"train.epochs={warmup + 1}",
        f"scheduler.warmup_epochs={warmup}",
        "protocol.evaluate_every=1",
    )
    expected, scores = transcription(folder, warmup)
    assert len(expected) == 20
    assert losses[:20] == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.1  # not a constant that anything would equal
    record = outcome.record
    if warmup == 1:
        assert len(losses) == 20
        assert record.counts["correct"] == max(scores)
        assert record.selection["epoch"] == 1 + scores.index(max(scores))
    assert record.rule.startswith("best of ")
    assert outcome.record.data["partial"] is True
    assert outcome.record.protocol == "official"


def test_what_the_protocol_fills_in(compose_train: Callable[..., object]) -> None:
    from hydra_peft.config.check import check_config

    official = check_config(compose_train("dataset=eurosat", "protocol=official"))
    clean = check_config(compose_train("dataset=eurosat"))
    assert (official.train.batch_size, official.method.dropout, official.method.scale) == (  # type: ignore[attr-defined]
        64,
        0.2,
        0.1,
    )
    assert (clean.train.batch_size, clean.method.dropout, clean.method.scale) == (16, 0.0, 1.0)  # type: ignore[attr-defined]
    assert (official.train.drop_last, official.model.drop_path) == (True, 0.1)
    assert official.protocol.evaluate_every == 10
    assert official.data.normalization == "imagenet"
    paper = check_config(compose_train("dataset=eurosat", "protocol=paper"))
    assert (paper.train, paper.method, paper.scheduler) == (
        clean.train,
        clean.method,
        clean.scheduler,
    )
