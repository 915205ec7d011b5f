"""What a fine-tuning method is: options, and what it does to a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from hydra_peft.limits import check_limits

if TYPE_CHECKING:
    from torch import nn  # tables read options and must not wait for torch


@dataclass(frozen=True)
class Method(ABC):
    """One fine-tuning method. The dataclass fields of a subclass are its options, and what their
    annotations say of :class:`~hydra_peft.limits.Limits` is checked.

    A method is one module of :mod:`hydra_peft.methods`, named as the method, which binds its
    class to ``METHOD``; and one yaml of the same name in ``conf/method``. Nothing else lists it.
    """

    name: ClassVar[str]
    #: whether the backbone stays in evaluation mode while the rest trains
    backbone_in_eval: ClassVar[bool] = False
    #: whether the backbone's own weights are trained
    trains_backbone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self))

    @abstractmethod
    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Change ``model``, in which everything but the head is frozen, in place.

        Args:
            model: the backbone with its head.
            head: names of the head's modules, which a method leaves alone.

        Returns:
            Names of the layers that now carry an adapter.

        Raises:
            UserError: the options do not fit this model.
        """

    @property
    def label(self) -> str:
        """Short name with the options that tell sizes apart, for tables: ``hydra r=2+2``."""
        return self.name

    def identity(self) -> dict[str, Any]:
        """The options as they act, so that two spellings of one setting are the same setting."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def options_of(cls, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Return options that have this :meth:`identity`, for :func:`build_method`."""
        return {key: value for key, value in identity.items() if key != "name"}
