"""The interface of an optimizer: options that a config sets, and what they build."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.limits import LearningRate, Limits, Words, check_limits

if TYPE_CHECKING:
    import torch  # configs name optimizers and must not wait for torch

BEFORE = ("decay", "all")
#: ELEVATER's search tries decays of up to 1e6
WeightDecay = Annotated[float, Limits(least=0, most=1e6, logarithmic=True)]


@dataclass(frozen=True)
class Optimizer(ABC):
    """``optimizer``: how parameters move, over adapter and head as one group.

    An optimizer is one module of :mod:`hydra_peft.optimizers` that binds its class to
    ``OPTIMIZER``, and one yaml in ``conf/optimizer``.

    Attributes:
        lr: the peak that the schedule rises to.
        weight_decay: applied to what ``decay`` says.
        decay: ``all`` parameters, biases too, as the paper's VTAB code does; or ``weights``, all
            but biases and norms, as transformers does.
    """

    name: ClassVar[str]

    lr: LearningRate
    weight_decay: WeightDecay
    decay: Annotated[str, Words("all", "weights")] = field(default="all", kw_only=True)

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self), "optimizer.")

    @abstractmethod
    def build(self, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return the torch optimizer over ``parameters``."""

    def build_for(
        self, model: torch.nn.Module, parameters: Sequence[torch.nn.Parameter]
    ) -> torch.optim.Optimizer:
        """Return the torch optimizer over ``parameters`` of ``model``.

        Where ``decay`` leaves out some of them it has two groups, both in the model's order.
        """
        optimizer = self.build(parameters)
        if self.decay == "all":
            return optimizer
        (group,) = optimizer.param_groups
        spared = spared_parameters(model)
        parts = (
            [p for p in group["params"] if p not in spared],
            [p for p in group["params"] if p in spared],
        )
        optimizer.param_groups.clear()
        for params, weight_decay in zip(parts, (self.weight_decay, 0.0), strict=True):
            if params:
                optimizer.add_param_group({**group, "params": params, "weight_decay": weight_decay})
        return optimizer

    def identity(self) -> dict[str, Any]:
        """Return name and options, as a run's identity hashes them.

        ``decay`` came later: it is left out where it is ``all``, which held before.
        """
        options = asdict(self)
        return {"name": self.name, **{k: v for k, v in options.items() if (k, v) != BEFORE}}


def spared_parameters(model: torch.nn.Module) -> set[torch.nn.Parameter]:
    """Return the biases and the norms' parameters of ``model``, by transformers' rule.

    Those are all of modules that are norms, and those with "bias" in their name.
    """
    from torch import nn

    norms = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)
    found = {p for n, p in model.named_parameters() if "bias" in n.rpartition(".")[2]}
    for module in model.modules():
        if isinstance(module, norms):
            found |= set(module.parameters(recurse=False))
    return found
