"""One pass for several runs at once: in parts where memory is short, alone where it differs."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function

from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.memory_errors import memory_sentence
from hydra_peft.packing.model import PackedModel
from hydra_peft.training.devices import autocast, exact_float32
from hydra_peft.training.passes import Pass, compute_alone

log = logging.getLogger("hydra_peft")

#: largest difference of packed outputs from a run's own, as a share of the largest output
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
#: of what is trained, while that is looked at
_SPREAD = 0.05
_Found = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Answer:
    """What came of a pass.

    Attributes:
        found: loss and outputs, see :data:`~hydra_peft.training.passes.Compute`.
        together: how many runs shared it.
        error: why there is none.
    """

    found: _Found | None = None
    together: int = 1
    error: BaseException | None = field(default=None, repr=False)


class Together:
    """Passes of several runs, step after step, each by one model made of theirs."""

    def __init__(self) -> None:
        self._models: dict[Hashable, PackedModel] = {}
        self._former: dict[Hashable, PackedModel] = {}
        self._agrees: dict[Hashable, bool] = {}
        self._most: dict[Hashable, int] = {}

    def forget(self) -> None:
        """Let go of all models."""
        self._models.clear()
        self._former.clear()

    def begin_step(self) -> None:
        """Keep the models of the step before, and no older ones."""
        self._former, self._models = self._models, {}

    def answers(self, key: Hashable, passes: Sequence[Pass]) -> list[Answer]:
        """Do ``passes``, which have ``key`` in common; what fails of one is that one's answer.

        As many are done at once as memory has room for, which is remembered.
        """
        answers: list[Answer] = []
        while left := passes[len(answers) :]:
            part = left[: self._most.get(key, len(left))]
            if (found := self._found(key, part)) is not None:
                answers += found
        return answers

    def _found(self, key: Hashable, part: Sequence[Pass]) -> list[Answer] | None:
        """Do the passes of ``part``; None where they are too many, from now on."""
        too_many, failed = False, ""
        try:
            if (found := self._at_once(key, part)) is not None:
                return [Answer(one, len(part)) for one in found]
        except Exception as error:
            too_many = memory_sentence(error) is not None
            failed = str(error) or type(error).__name__
        if too_many:  # here, where what the error held on to is free
            self._fewer(key, len(part))
            return None
        answers = [_alone(one) for one in part]
        if failed and all(answer.error is None for answer in answers):
            self._agrees[key] = False
            log.warning("runs cannot be computed at once (%s): one by one", failed)
        return answers

    def _fewer(self, key: Hashable, count: int) -> None:
        self._most[key] = count // 2
        log.warning("%d runs at once need more memory than there is: %d", count, count // 2)
        self.forget()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _at_once(self, key: Hashable, passes: Sequence[Pass]) -> list[_Found] | None:
        """Do ``passes`` at once; None where each is to be done alone."""
        if len(passes) == 1 or not self._agrees.get(key, True):
            return None
        model = self._model(key, [one.module for one in passes])
        if key not in self._agrees:
            self._agrees[key] = agrees(model, passes)
            if not self._agrees[key]:
                kind = type(unwrap(passes[0].module)).__name__
                log.warning("runs at once do not compute %s as each alone: one by one", kind)
                return None
        with _undone_on_error(model, passes):
            return compute_together(model, passes)

    def _model(self, key: Hashable, modules: Sequence[nn.Module]) -> PackedModel:
        members = (key, *map(id, modules))
        model = self._former.get(members) or self._models.get(members) or PackedModel(modules)
        self._models[members] = model
        return model


def _alone(one: Pass) -> Answer:
    try:
        return Answer(compute_alone(one))
    except BaseException as error:
        return Answer(error=error)


@contextlib.contextmanager
def _undone_on_error(model: PackedModel, passes: Sequence[Pass]) -> Iterator[None]:
    """Give gradients, buffers and random numbers back as they were where what is done within fails.

    Backward has added to some gradients by then, each run has drawn for some layers, and batch
    norms of heads have counted the batch.
    """
    parameters = [parameter for one in passes for parameter in one.parameters]
    kept = [(p, p.grad) for p in parameters if p.grad is not None]
    drawn = [one.random.drawn() for one in passes]
    buffers = _copies(model.buffers)
    for parameter, _ in kept:
        parameter.grad = None
    try:
        yield
    except BaseException:
        _put_back(buffers)
        for parameter in parameters:
            parameter.grad = None
        for parameter, before in kept:
            parameter.grad = before
        for one, state in zip(passes, drawn, strict=True):
            one.random.draw_again(state)
        raise
    for parameter, before in kept:
        parameter.grad = before if parameter.grad is None else before.add_(parameter.grad)


def _copies(tensors: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return [(tensor, tensor.clone()) for tensor in tensors]


@torch.no_grad()
def _put_back(copies: Sequence[tuple[Tensor, Tensor]]) -> None:
    for tensor, values in copies:
        tensor.copy_(values)


def _outputs(model: PackedModel, passes: Sequence[Pass]) -> list[Tensor]:
    numbers = [one.random.torch_alone for one in passes]
    with autocast(passes[0].device, passes[0].precision):
        return model([one.inputs for one in passes], numbers)


@exact_float32()
def compute_together(model: PackedModel, passes: Sequence[Pass]) -> list[tuple[Tensor, Tensor]]:
    """Do the passes of several runs at once, by the ``model`` made of theirs.

    Returns:
        Of each run the loss, float ``[]``, and the outputs, detached; gradients are added to those
        of its parameters.
    """
    with record_function("forward"):
        outputs = _outputs(model, passes)
        with autocast(passes[0].device, passes[0].precision):
            losses = [one.loss_of(out) for one, out in zip(passes, outputs, strict=True)]
    with record_function("backward"):
        # One root a run, no sum: what is not finite in one stays there.
        torch.autograd.backward(losses)
    return [(loss.detach(), out.detach()) for loss, out in zip(losses, outputs, strict=True)]


@torch.no_grad()
@exact_float32()
def agrees(model: PackedModel, passes: Sequence[Pass]) -> bool:
    """Return whether ``passes`` together give the outputs of each alone.

    A model whose examples depend on each other, or whose layers see rows in another order, would be
    computed wrongly. Adapters start as nothing, so all that is trained has other values meanwhile;
    these and the buffers that count batches are put back.
    """
    trained = [parameter for one in passes for parameter in one.parameters]
    kept = _copies([*trained, *model.buffers])
    draw = torch.Generator(passes[0].device).manual_seed(0)
    for parameter in trained:
        parameter.normal_(std=_SPREAD, generator=draw)
    try:
        # What is compiled would be compiled again for this.
        with torch.compiler.set_stance("force_eager"):
            said = _outputs(model, _rehearsed(passes))
            own = [_own_outputs(one) for one in _rehearsed(passes)]
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        if memory_sentence(error) is not None:
            raise
        log.debug("not packed: %s", error)
        return False
    finally:
        _put_back(kept)
    tolerance = TOLERANCE[passes[0].precision]
    return all(_near(*pair, tolerance) for pair in zip(said, own, strict=True))


def _rehearsed(passes: Sequence[Pass]) -> list[Pass]:
    """Return ``passes`` with random numbers that are drawn again later."""
    return [dataclasses.replace(one, random=one.random.twin()) for one in passes]


def _own_outputs(one: Pass) -> Tensor:
    with one.random.torch_alone(), autocast(one.device, one.precision):
        outputs: Tensor = one.module(one.inputs)
    return outputs


def _near(said: Tensor, own: Tensor, tolerance: float) -> bool:
    if said.shape != own.shape:
        return False
    return bool((said - own).abs().max() <= tolerance * own.abs().max())
