"""Runs in turn in one process, whose passes through one frozen backbone are done together."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from hydra_peft.packing.model import why_alone
from hydra_peft.packing.together import Answer, Together
from hydra_peft.training.passes import Pass


@dataclass
class _Request:
    """A pass that a member waits for."""

    one: Pass
    key: Hashable
    answer: Answer | None = None


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
        self._together = Together()

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
        self._together.forget()  # the models of those who left
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
        self.turn.wait_for(lambda: request.answer is not None)
        assert request.answer is not None, "waited for"
        if request.answer.error is not None:
            raise request.answer.error
        assert request.answer.found is not None, "or there is an error"
        return request.answer.found, request.answer.together

    def _compute_if_complete(self) -> None:
        if not self._waiting or len(self._waiting) < self._members:
            return
        waiting, self._waiting = self._waiting, []
        try:
            self._answer(waiting)
        except BaseException as error:
            for request in waiting:  # nobody else would ever wake them
                request.answer = request.answer or Answer(error=error)
        self.turn.notify_all()
        self._after_pass()

    def _answer(self, waiting: Sequence[_Request]) -> None:
        groups: dict[Hashable, list[_Request]] = {}
        for request in waiting:
            groups.setdefault(_group(request), []).append(request)
        self._together.begin_step()
        for key, group in groups.items():
            answers = self._together.answers(key, [request.one for request in group])
            for request, answer in zip(group, answers, strict=True):
                request.answer = answer


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
