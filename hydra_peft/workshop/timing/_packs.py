"""Packs of the models that suites compare: a step of several runs at once, and whole runs in one
pack."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function
from torch.nn import functional as F

from hydra_peft.backbones.architectures import input_size
from hydra_peft.packing.member import Member
from hydra_peft.packing.model import PackedModel
from hydra_peft.packing.pack import Pack
from hydra_peft.packing.together import compute_together
from hydra_peft.training.passes import Compute, Pass, compute_alone
from hydra_peft.training.seeding import RandomStreams
from hydra_peft.workshop.timing._models import CLASSES, adamw

TOGETHER, IN_TURN = "together", "one after another"


class PackedRun:
    """A run's pass on random images, and its optimizer.

    Attributes:
        one: the pass.
        optimizer: over what the model trains.
    """

    def __init__(
        self, model: nn.Module, batch_size: int, device: torch.device, precision: str
    ) -> None:
        self.optimizer = adamw(model)
        images = torch.randn(batch_size, 3, *input_size(cast(Any, model)), device=device)
        labels = torch.randint(0, CLASSES, (batch_size,), device=device)
        random = RandomStreams.seeded(0, 0, 0, device)
        with random:
            pass
        trained = [p for p in model.parameters() if p.requires_grad]

        def loss_of(outputs: Tensor) -> Tensor:
            return F.cross_entropy(outputs, labels)

        self.one = Pass(model, images, loss_of, trained, precision, device, random)


def packed_steps(runs: Sequence[PackedRun]) -> tuple[dict[str, Callable[[], None]], float]:
    """Return a step of all ``runs``, together and one by one, and how far their losses differ."""
    passes = [run.one for run in runs]
    packed = PackedModel([one.module for one in passes])

    def together() -> None:
        _step(runs, lambda: compute_together(packed, passes))

    def in_turn() -> None:
        for run in runs:
            _step([run], lambda run=run: compute_alone(run.one))  # type: ignore[misc]

    return {TOGETHER: together, IN_TURN: in_turn}, _difference(packed, passes)


def _step(runs: Sequence[PackedRun], compute: Callable[[], object]) -> None:
    for run in runs:
        run.optimizer.zero_grad(set_to_none=True)
    compute()
    with record_function("optimizer"):
        for run in runs:
            run.optimizer.step()


def _difference(packed: PackedModel, passes: Sequence[Pass]) -> float:
    """Return the largest difference of a run's loss together with others from that alone."""
    pairs = zip(
        compute_together(packed, passes), [compute_alone(one) for one in passes], strict=True
    )
    return max(abs(float(ours[0]) - float(own[0])) for ours, own in pairs)


def do_in_one_pack(works: Sequence[Callable[[Compute], object]]) -> None:
    """Do ``works`` as the members of one pack, whose steps are computed together.

    Args:
        works: whole runs; each gets what does its passes.

    Raises:
        BaseException: what the first of them that failed raised, when all have ended.
    """
    pack = Pack()
    errors: list[BaseException] = []

    def go(work: Callable[[Compute], object]) -> None:
        member = Member(pack)
        member.begin("one backbone")
        with pack.turn:
            try:
                work(member.compute)
            except BaseException as error:
                errors.append(error)
            finally:
                pack.leave()

    with pack.turn:
        for _ in works:
            pack.join()
    threads = [threading.Thread(target=go, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
