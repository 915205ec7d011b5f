"""Runs in turn in one process, whose passes through one frozen backbone are done together."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function

from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.packing.model import PackedModel, why_alone
from hydra_peft.training.devices import autocast, exact_float32
from hydra_peft.training.passes import Pass, compute_alone

log = logging.getLogger("hydra_peft")

#: largest difference of packed outputs from a run's own, as a share of the largest output
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}
#: of what is trained, while that is looked at
_SPREAD = 0.05


@dataclass
class _Request:
    """A pass that a member waits for."""

    one: Pass
    key: Hashable
    together: int = 0
    found: tuple[Tensor, Tensor] | None = None
    error: BaseException | None = field(default=None, repr=False)


class Pack:
    """Turns of the members of a pack: one at a time works, all wait for the pass of a step.

    Each member is a thread, which holds :attr:`turn` whatever it does but while it waits for its
    pass; so runs need not know of each other. When all members wait, the last to come does the
    passes of all: those of one key together.

    Args:
        after_pass: called after the passes of a step, by whoever did them; may let others join.

    Attributes:
        turn: held by who works.
        stopped: set when all are to write a checkpoint and leave.
    """

    def __init__(self, after_pass: Callable[[], None] = lambda: None) -> None:
        self.turn = threading.Condition()
        self.stopped = threading.Event()
        self._after_pass = after_pass
        self._members = 0
        self._waiting: list[_Request] = []
        self._models: dict[Hashable, tuple[tuple[int, ...], PackedModel]] = {}
        self._agrees: dict[Hashable, bool] = {}

    @property
    def members(self) -> int:
        """How many take turns now."""
        return self._members

    def join(self) -> None:
        """Become a member; to be called with the turn."""
        self._members += 1

    def leave(self) -> None:
        """Be a member no more; to be called with the turn."""
        self._members -= 1
        self._models.clear()  # they hold the models of those who left
        self._compute_if_complete()

    def compute(self, one: Pass, key: Hashable) -> tuple[tuple[Tensor, Tensor], int]:
        """Do a pass with those of all others of an equal ``key``, see :data:`Compute`.

        Args:
            key: of frozen weights, shapes and precision; passes of different keys are done apart.

        Returns:
            Loss and outputs, and how many runs shared the pass.
        """
        request = _Request(one, key)
        self._waiting.append(request)
        self._compute_if_complete()
        self.turn.wait_for(lambda: request.found is not None or request.error is not None)
        if request.error is not None:
            raise request.error
        assert request.found is not None, "waited for"
        return request.found, request.together

    def _compute_if_complete(self) -> None:
        if not self._waiting or len(self._waiting) < self._members:
            return
        waiting, self._waiting = self._waiting, []
        groups: dict[Hashable, list[_Request]] = {}
        for request in waiting:
            groups.setdefault(_group(request), []).append(request)
        self._models = {key: model for key, model in self._models.items() if key in groups}
        for key, group in groups.items():
            self._serve(key, group)
        self.turn.notify_all()
        self._after_pass()

    def _serve(self, key: Hashable, group: Sequence[_Request]) -> None:
        try:
            found = self._together(key, [request.one for request in group])
        except torch.OutOfMemoryError:
            log.warning("%d runs together need more memory than there is: one by one", len(group))
            self._models.clear()
            torch.cuda.empty_cache()
            found = None
        for request in group:
            request.together = 1 if found is None else len(group)
            try:
                request.found = compute_alone(request.one) if found is None else found.pop(0)
            except BaseException as error:
                request.error = error

    def _together(self, key: Hashable, passes: list[Pass]) -> list[tuple[Tensor, Tensor]] | None:
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
        return compute_together(model, passes)

    def _model(self, key: Hashable, modules: Sequence[nn.Module]) -> PackedModel:
        members = tuple(map(id, modules))
        known = self._models.get(key)
        if known is None or known[0] != members:
            known = members, PackedModel(modules)
            self._models[key] = known
        return known[1]


def _group(request: _Request) -> Hashable:
    """Return what passes that are done together have in common."""
    one = request.one
    if not isinstance(one.inputs, Tensor) or _why_alone(one.module) is not None:
        return id(request)
    shape = (one.inputs.shape[1:], one.inputs.dtype)
    return (request.key, shape, one.module.training, one.precision, str(one.device))


def _why_alone(model: nn.Module) -> str | None:
    kept = vars(model).get("_hydra_peft_why_alone", False)
    if kept is False:
        kept = why_alone(model)
        object.__setattr__(model, "_hydra_peft_why_alone", kept)
    return kept


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
    computed wrongly. Adapters start as nothing, so all that is trained has other values meanwhile.
    """
    trained = [parameter for one in passes for parameter in one.parameters]
    kept = [parameter.clone() for parameter in trained]
    draw = torch.Generator(passes[0].device).manual_seed(0)
    for parameter in trained:
        parameter.normal_(std=_SPREAD, generator=draw)
    try:
        # What is compiled would be compiled again for this.
        with torch.compiler.set_stance("force_eager"):
            said = _outputs(model, _rehearsed(passes))
            own = [_own_outputs(one) for one in _rehearsed(passes)]
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        log.debug("not packed: %s", error)
        return False
    finally:
        for parameter, values in zip(trained, kept, strict=True):
            parameter.copy_(values)
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
