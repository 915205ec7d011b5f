"""Base class of fine-tuning methods: typed options, and the change they make to a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from hydra_peft.limits import check_limits

if TYPE_CHECKING:
    import torch
    from torch import nn  # tables read options and must not wait for torch


@dataclass(frozen=True)
class Preparation(ABC):
    """Phases before the run that counts, in which a method chooses options of its own.

    First a model with ``method`` is trained on the part of the training data that is not held out.
    Then options are chosen by what this model scores on the held-out part, where it computes as a
    model with these options. Last comes the run that counts, from its own start. The phases are
    done by :mod:`hydra_peft.runs.preparing`, which resumes each.

    Attributes:
        method: what is trained first; it has no preparation itself.
        changes: what this training has in the place of the run's values, by dotted key.
        chooses: names of the options that are chosen.
        asked: the words that ask for it, such as ``method.search=evolution``.
    """

    method: Method
    changes: Mapping[str, Any]
    chooses: tuple[str, ...]
    asked: str

    @abstractmethod
    def candidates(
        self, model: nn.Module, random: torch.Generator
    ) -> Generator[dict[str, Any], float, None]:
        """Yield options to score, each at most once; what is sent back is their score.

        The same scores give the same candidates: a search that was cut off is done again, with the
        scores that it had.

        Args:
            model: the trained one.
            random: generator on the CPU, the same for this run's seed.
        """

    @abstractmethod
    def show(self, model: nn.Module, options: Mapping[str, Any]) -> None:
        """Make ``model`` compute in evaluation mode as a model with ``options``."""


@dataclass(frozen=True)
class Method(ABC):
    """One fine-tuning method. The dataclass fields of a subclass are its options, and what their
    annotations say of :class:`~hydra_peft.limits.Limits` is checked.

    What :meth:`apply` leaves with ``requires_grad`` is what the method trains: parameters of the
    adapters that it puts in, and any of the backbone's own (biases, norms). A parameter that
    adapters share is counted, optimised and saved once. What is trained of the backbone is saved
    with the adapter and loaded over a fresh backbone's values; the rest of the backbone has to be
    the same there, bit for bit.

    A method is one module of :mod:`hydra_peft.methods`, named as the method, which binds its
    class to ``METHOD``; and one yaml of the same name in ``conf/method``. Nothing else lists it.
    """

    name: ClassVar[str]
    #: whether the backbone stays in evaluation mode while the rest trains
    backbone_in_eval: ClassVar[bool] = False
    #: options that came after runs of the method were recorded; their defaults are what held before
    added: ClassVar[tuple[str, ...]] = ()
    #: whether all of the backbone is trained, running statistics included, and saved
    trains_backbone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self))

    @abstractmethod
    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Change ``model``, in which everything but the head is frozen, in place.

        Layers that carry an adapter are replaced by an :class:`~hydra_peft.adapters.base.Adapter`
        around them. Random numbers come from torch's global generator.

        Args:
            model: the backbone with its head.
            head: names of the head's modules, which a method leaves alone.

        Returns:
            Names of the layers that now carry an adapter.

        Raises:
            UserError: the options do not fit this model.
        """

    def before_step(  # noqa: B027 - optional
        self, model: nn.Module, step: int, random: torch.Generator
    ) -> None:
        """Change what ``model`` computes in training step ``step``, as methods do that drop layers.

        Called only where a subclass defines it. Evaluation, saving and merging do not know of it:
        what it sets acts where ``module.training`` is true, and on nothing that is trained.

        Args:
            model: the adapted model.
            step: number of the step, from 0 over all epochs.
            random: generator on the CPU, the same for this step of a run with this seed in every
                process and after resuming: what is drawn from it needs no saving.
        """

    def preparation(self) -> Preparation | None:
        """Return the phases before the run, None where the options are taken as they are."""
        return None

    def ranks(self) -> tuple[int, ...]:
        """Ranks that every adapted layer has to have room for, for a first look without torch."""
        return ()

    def linear_targets(self) -> tuple[str, ...]:
        """Name patterns that each have to match a linear layer, for a first look without torch."""
        return ()

    def module_targets(self) -> tuple[str, ...]:
        """Name patterns that each have to match a module with linear layers in it, for the same."""
        return ()

    @property
    def label(self) -> str:
        """Short name with the options that tell sizes apart, for tables: ``hydra r=2+2``."""
        return self.name

    def identity(self) -> dict[str, Any]:
        """The options as they act, so that two spellings of one setting are the same setting.

        Options that came later are in it where they differ from what held before.
        """
        before = self.added_options()
        own = asdict(self).items()
        return {"name": self.name, **{k: v for k, v in own if k not in before or v != before[k]}}

    @classmethod
    def added_options(cls) -> dict[str, Any]:
        """Return the defaults of :attr:`added`: what older files, which lack these, mean."""
        found: dict[str, Any] = {}
        for option in fields(cls):
            if option.name in cls.added:
                make = option.default_factory
                found[option.name] = option.default if make is MISSING else make()
        return found

    @classmethod
    def options_of(cls, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Return options that have this :meth:`identity`, for :func:`build_method`."""
        return {key: value for key, value in identity.items() if key != "name"}
