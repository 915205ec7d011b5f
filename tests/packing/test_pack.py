"""Runs in a pack against the same runs alone: losses, gradients, random numbers, and who leaves."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import timm
import torch
from torch import Tensor, nn

import hydra_peft
from hydra_peft.data.split import Split
from hydra_peft.packing import together
from hydra_peft.packing.model import why_alone
from hydra_peft.packing.pack import Pack
from hydra_peft.packing.together import agrees
from hydra_peft.tasks import build_task
from hydra_peft.training.batches import Feed, Normalizer
from hydra_peft.training.loop import Recipe, train
from hydra_peft.training.passes import Compute, Pass, compute_alone
from hydra_peft.training.progress import DivergedError, Progress, Step

CPU = torch.device("cpu")


@dataclass
class Run:
    """One run on its own data."""

    method: str
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    classes: int = 3
    images: int = 12
    batch: int = 4
    lr: float = 0.05
    drop_path: float = 0.2
    accumulate: int = 1
    norm: bool = False
    device: str = "cpu"

    def __post_init__(self) -> None:
        torch.manual_seed(1)
        vit = timm.create_model(
            "vit_tiny_patch16_224",
            img_size=16,
            patch_size=8,
            embed_dim=24,
            depth=2,
            num_heads=2,
            num_classes=1,
            drop_path_rate=self.drop_path,
        )
        torch.manual_seed(self.seed + 5)
        vit.reset_classifier(self.classes)
        if self.norm:
            vit.head = nn.Sequential(nn.BatchNorm1d(24), nn.Linear(24, self.classes))
        hydra_peft.inject(vit, self.method, **self.options)
        self.model: nn.Module = vit.to(self.device)
        draw = torch.Generator().manual_seed(self.seed)
        images = torch.randint(0, 256, (self.images, 3, 16, 16), generator=draw, dtype=torch.uint8)
        targets = torch.arange(self.images) % self.classes
        self.data = Split({"image": images.to(self.device)}, targets.to(self.device))
        self.losses: list[float] = []
        self.error: Exception | None = None

    def go(self, compute: Compute, epochs: int) -> None:
        """Train; keep the losses."""
        optimizer = torch.optim.SGD([p for p in self.model.parameters() if p.requires_grad], lr=0)
        recipe = Recipe(
            epochs,
            self.batch,
            drop_last=False,
            learning_rate=lambda *_: self.lr,
            seed=self.seed,
            accumulate=self.accumulate,
        )
        task = build_task("classification", outputs=self.classes, metrics=["accuracy"])
        normalize = Normalizer((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), torch.device(self.device))
        feed = Feed(self.model, self.data, {}, normalize)
        stream = train(
            self.model,
            task,
            feed,
            recipe,
            optimizer=optimizer,
            progress=Progress(),
            compute=compute,
        )
        try:
            self.losses += [float(step.loss) for step in stream if isinstance(step, Step)]
        except (DivergedError, ZeroDivisionError) as error:
            self.error = error

    def tensors(self) -> dict[str, Tensor]:
        """What was trained, and what was counted beside it."""
        trained = {n: p.detach() for n, p in self.model.named_parameters() if p.requires_grad}
        return trained | dict(self.model.named_buffers())


def packed(runs: Sequence[Run], epochs: int) -> list[int]:
    """Do ``runs`` in one pack; return how many shared each pass that one of them took part in."""
    pack, together = Pack(), []

    def member(run: Run) -> None:
        def compute(one: Pass) -> tuple[Tensor, Tensor]:
            found, count = pack.compute(one, "weights")
            together.append(count)
            return found

        with pack.turn:
            try:
                run.go(compute, epochs)
            finally:
                pack.leave()

    with pack.turn:
        for _ in runs:
            pack.join()
    threads = [threading.Thread(target=member, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return together


LORA = {"rank": 2, "dropout": 0.3}
HYDRA = {"rank_parallel": 1, "rank_sequential": 3, "scale": 0.5}
RUNS: dict[str, Callable[[], list[Run]]] = {
    "methods, ranks, targets": lambda: [
        Run("lora", LORA, seed=1),
        Run("hydra", HYDRA, seed=2),
        Run("seqlora", {"rank": 4, "targets": ["attn.qkv"], "bias": False}, seed=3),
    ],
    "data, classes, batches, rates": lambda: [
        Run("lora", LORA, seed=1, classes=2, lr=0.02),
        Run("lora", LORA, seed=1, classes=5, images=10),
        Run("hydra", HYDRA, seed=2, batch=3),
    ],
    "without a low-rank form": lambda: [
        Run("dora", {"rank": 2}, seed=1),
        Run("lora", {"rank": 2, "init": "pissa", "targets": ["mlp.fc2"]}, seed=2),
        Run("ia3", {}, seed=3),
    ],
    "heads that count batches": lambda: [
        Run("lora", LORA, seed=1, norm=True, lr=1e-3),
        Run("hydra", HYDRA, seed=2, norm=True, classes=2, lr=1e-3),
        Run("lora", LORA, seed=3),
    ],
    "dropout at the input": lambda: [
        Run("lora", {**LORA, "dropout_at": "input"}, seed=1),
        Run("lora", LORA, seed=2),
    ],
}


@pytest.mark.parametrize("name", RUNS)
def test_a_packed_run_is_the_same_run(name: str) -> None:
    alone, together = RUNS[name](), RUNS[name]()
    for run in alone:
        run.go(compute_alone, 3)
    shared = packed(together, 3)
    assert max(shared) == len(together)
    for one, other in zip(together, alone, strict=True):
        assert one.losses == pytest.approx(other.losses, abs=1e-5)
        for tensor, value in one.tensors().items():
            torch.testing.assert_close(value, other.tensors()[tensor], rtol=0, atol=1e-5)


def test_a_pack_of_compiled_models_computes_uncompiled() -> None:
    compiled: list[object] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        compiled.append(graph)
        return graph.forward

    alone, together = RUNS["methods, ranks, targets"](), RUNS["methods, ranks, targets"]()
    for run in together:
        for block in cast(Any, run.model).blocks:
            block.compile(backend=backend)
    for run in alone:
        run.go(compute_alone, 1)
    packed(together, 1)
    assert not compiled
    for one, other in zip(together, alone, strict=True):
        assert one.losses == pytest.approx(other.losses, abs=1e-5)
    together[0].go(compute_alone, 2)
    assert compiled


@pytest.mark.gpu
def test_a_packed_run_is_the_same_run_on_a_gpu() -> None:
    def runs() -> list[Run]:
        return [
            Run("lora", LORA, seed=1, device="cuda"),
            Run("hydra", HYDRA, seed=2, device="cuda", classes=5),
            Run("seqlora", {"rank": 4}, seed=3, device="cuda", batch=3),
        ]

    alone, together = runs(), runs()
    for run in alone:
        run.go(compute_alone, 3)
    assert max(packed(together, 3)) == 3
    for one, other in zip(together, alone, strict=True):
        assert one.losses == pytest.approx(other.losses, abs=1e-4)


@pytest.mark.long
def test_a_packed_run_is_the_same_run_after_200_steps() -> None:
    def runs() -> list[Run]:
        return [
            Run("lora", LORA, seed=1, images=40, lr=0.01),
            Run("seqlora", {"rank": 4}, seed=2, images=40, classes=4, lr=0.01),
            Run("hydra", HYDRA, seed=3, images=40, lr=0.01),
        ]

    alone, together = runs(), runs()
    for run in alone:
        run.go(compute_alone, 20)
    packed(together, 20)
    for one, other in zip(together, alone, strict=True):
        assert len(one.losses) == 200
        assert one.losses == pytest.approx(other.losses, abs=1e-5)


def test_a_run_that_diverges_does_not_disturb_the_others() -> None:
    def runs() -> list[Run]:
        return [Run("lora", {"rank": 2}, seed=s, lr=1e30 if s == 2 else 0.05) for s in range(4)]

    alone, together = runs(), runs()
    for run in alone:
        run.go(compute_alone, 3)
    shared = packed(together, 3)
    assert {4, 3} <= set(shared)  # who diverged has left after its epoch
    for one, other in zip(together, alone, strict=True):
        assert str(one.error) == str(other.error)
        if one.error is None:
            assert one.losses == pytest.approx(other.losses, abs=1e-5)
    assert [run.error is None for run in together] == [True, True, False, True]


@pytest.mark.parametrize(
    ("error", "at_once"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), {2}),
        (RuntimeError("not enough memory: you tried to allocate 9 bytes"), {2}),
        (MemoryError(), {2}),
        (RuntimeError("an unknown fault"), {1}),
    ],
)
def test_what_fails_at_once_is_done_in_parts_or_alone_and_nothing_counts_twice(
    error: Exception, at_once: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs() -> list[Run]:
        return [Run("lora", LORA, seed=s, accumulate=2, norm=s == 1) for s in range(4)]

    whole = together.compute_together

    def fails(model: Any, passes: Sequence[Pass]) -> Any:
        found = whole(model, passes)  # gradients are there, and numbers drawn
        if len(passes) > 2:
            raise error
        return found

    alone, packed_runs = runs(), runs()
    for run in alone:
        run.go(compute_alone, 3)
    monkeypatch.setattr(together, "compute_together", fails)
    assert set(packed(packed_runs, 3)) == at_once
    for one, other in zip(packed_runs, alone, strict=True):
        assert one.losses == pytest.approx(other.losses, abs=1e-5)
        for tensor, value in one.tensors().items():
            torch.testing.assert_close(value, other.tensors()[tensor], rtol=0, atol=1e-5)


def test_whatever_fails_wakes_all_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_peft.packing.pack._group", lambda _: 1 // 0)
    runs = [Run("lora", LORA, seed=s) for s in range(2)]
    assert packed(runs, 1) == []
    assert [type(run.error) for run in runs] == [ZeroDivisionError, ZeroDivisionError]


def test_what_cannot_be_shared_is_computed_alone() -> None:
    together = [Run("lora", LORA), Run("full"), Run("bitfit"), Run("adapter")]
    assert set(packed(together, 1)) == {1}
    assert why_alone(together[0].model) is None
    assert "trains the backbone" in str(why_alone(together[1].model))
    assert "parameters of the backbone" in str(why_alone(together[2].model))
    assert "more than linear layers" in str(why_alone(together[3].model))


class Mixing(nn.Module):
    """A model whose examples depend on each other."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        return self.head(x - x.mean(0))


def test_a_model_that_mixes_examples_is_found_out_and_left_as_it_was() -> None:
    from hydra_peft.packing.model import PackedModel
    from hydra_peft.training.seeding import RandomStreams

    torch.manual_seed(0)
    first = Mixing()
    hydra_peft.inject(first, "lora", rank=1, targets=["body"])
    models = [first, copy.deepcopy(first)]
    passes = []
    for model in models:
        random = RandomStreams.seeded(0, 0, 0, CPU)
        with random:
            pass
        trained = [p for p in model.parameters() if p.requires_grad]
        inputs = torch.randn(3, 4)
        passes.append(Pass(model, inputs, lambda out: out.sum(), trained, "fp32", CPU, random))
    before = copy.deepcopy(first.state_dict())
    assert not agrees(PackedModel(models), passes)
    for name, value in first.state_dict().items():
        assert torch.equal(value, before[name]), name
