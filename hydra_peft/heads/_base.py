"""The interface of a task head: options that a config sets, and what is attached to a backbone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

from hydra_peft.errors import UserError
from hydra_peft.limits import check_limits

if TYPE_CHECKING:
    from torch import nn  # configs name heads and must not wait for torch


@dataclass(frozen=True)
class Head(ABC):
    """``head``: maps a backbone's features to a task's outputs; every method trains it.

    A head is one module of :mod:`hydra_peft.heads`, named as the head, which binds its class to
    ``HEAD``; and one yaml of the same name in ``conf/head``. Nothing else lists it.
    """

    name: ClassVar[str]
    #: whether a head on a frozen backbone may be trained on its inputs, computed once: false where
    #: what it computes depends on more than the tensor that it is called with
    takes_features: ClassVar[bool] = True
    #: what a fresh head starts from: ``random`` values that :meth:`attach` draws; vectors of the
    #: classes out of the training images (``shots``) or of prompts (``text``), see
    #: :mod:`hydra_peft.heads._class_vectors`
    starts_from: ClassVar[str] = "random"
    #: the option of ``conf/head`` that is this head where nothing is trained: a classifier of its
    #: own, whose rows have that name; empty where its start means nothing
    untrained: ClassVar[str] = ""
    #: options that are the task's, such as its texts: whether the head fits a model they do not say
    of_task: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self), "head.")

    @property
    def chosen_as(self) -> str:
        """How it is chosen, for messages: ``head=text_prompts or head=zero_shot``."""
        options = dict.fromkeys(filter(None, (self.name, self.untrained)))
        return " or ".join(f"head={option}" for option in options)

    @property
    def least_batch(self) -> int:
        """Fewest examples that it can be trained on at once; a smaller last batch is left out."""
        return 1

    @property
    def whatever_task(self) -> tuple[str, dict[str, Any]]:
        """Name and options that decide, whatever the task, whether it fits a model."""
        return self.name, {k: v for k, v in vars(self).items() if k not in self.of_task}

    def check_outputs(self, outputs: int) -> None:  # noqa: B027 - optional
        """Check that the task's options give so many outputs.

        Raises:
            UserError: they do not.
        """

    @abstractmethod
    def attach(self, backbone: nn.Module, outputs: int) -> tuple[str, ...]:
        """Put a fresh head onto ``backbone`` in place.

        Random numbers come from torch's global generator, which the caller has seeded. A run that
        is rebuilt attaches its head in the same way, and then loads its tensors.

        Args:
            backbone: has ``reset_classifier(outputs)``, as timm's models have.
            outputs: width of what the model is to give, ``[batch, outputs]``.

        Returns:
            Names of the modules that make up the head: they are trained, counted apart from the
            adapter, saved with it, and methods leave them alone.

        Raises:
            UserError: the options do not fit this backbone.
        """

    def identity(self) -> dict[str, Any]:
        """Return name and options, as a run's identity hashes them."""
        return {"name": self.name, **asdict(self)}


def put_linear(backbone: nn.Module, outputs: int) -> tuple[str, ...]:
    """Give ``backbone`` the linear classifier that its architecture has; return its names."""
    from hydra_peft.adaptation.heads import find_head

    cast(Any, backbone).reset_classifier(outputs)
    return find_head(backbone)


def put_in_place_of_linear(
    backbone: nn.Module, outputs: int, build: Callable[[int], nn.Module]
) -> tuple[str, ...]:
    """Put modules of a head's own where ``backbone`` has its linear classifier; return their names.

    Args:
        build: called with the width of the features that the classifier is called with, once for
            each classifier (distilled DeiT has two).

    Raises:
        UserError: the backbone's classifier is not linear.
    """
    from torch import nn

    from hydra_peft.adapters.surgery import replace_module

    names = put_linear(backbone, outputs)
    for name in names:
        linear = backbone.get_submodule(name)
        if not isinstance(linear, nn.Linear):
            raise UserError(
                f"{type(backbone).__name__} ends in '{name}', a {type(linear).__name__}, where "
                "this head takes the place of a linear layer: choose head=linear or another model."
            )
        replace_module(backbone, linear, build(linear.in_features))
    return names
