"""Any parallel and any sequential adapter together: the closing idea of the Hydra paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from hydra_peft.errors import UserError, placed
from hydra_peft.methods._base import Method
from hydra_peft.plain_text import quoted

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hydra_peft.adapters.base import Adapter


@dataclass(frozen=True)
class BranchesMethod(Method):
    """Two methods on one backbone (arXiv 2309.06922, section 5: other adapters as branches).

    Where both adapt the same layer with output f, their changes add up:
    ``h = f + (P(x) - f) + (S(x) - f)``, so what the sequential one reads is f, as in Hydra, which
    ``lora`` and ``seqlora`` give. Elsewhere each acts where it acts alone. It merges where both do.

    Attributes:
        parallel: name of the method that acts beside layers, such as lora or adaptformer.
        sequential: name of the method that acts behind layers, such as seqlora, ssf or adapter.
        parallel_options, sequential_options: their options; those left out have their defaults.
    """

    name: ClassVar[str] = "branches"
    parallel: str = "lora"
    sequential: str = "ssf"
    parallel_options: dict[str, Any] = field(default_factory=dict)
    sequential_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.methods()

    def methods(self) -> tuple[Method, Method]:
        """Return the parallel and the sequential method.

        Raises:
            UserError: an unknown one, one that combines others itself or trains all of the
                backbone, or an option that one of them refuses.
        """
        from hydra_peft.methods import build_method

        found = []
        for key in ("parallel", "sequential"):
            name = getattr(self, key)
            if name == self.name:
                raise UserError(f"method.{key}={name}: branches are two other methods.")
            with placed(f"method.{key}={quoted(name, str)}:"):
                method = build_method(name, **getattr(self, f"{key}_options"))
            if method.trains_backbone:
                raise UserError(f"method.{key}={name} trains the whole backbone and is no branch.")
            found.append(method)
        return found[0], found[1]

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put both methods' adapters in, one :class:`~hydra_peft.adapters.branches.Branches` where
        they adapt the same layer."""
        from hydra_peft.adapters.base import Adapter
        from hydra_peft.adapters.branches import Branches
        from hydra_peft.adapters.prompts import PromptedBlock
        from hydra_peft.adapters.surgery import replace_module

        parallel, sequential = self.methods()
        behind = self._adapters(model, head, sequential)
        for adapter in behind:  # so that the other method finds the model as it was
            replace_module(model, adapter, adapter.base)
        beside = {id(adapter.base): adapter for adapter in self._adapters(model, head, parallel)}
        for adapter in behind:
            base = adapter.base
            if (other := beside.get(id(base))) is None:
                replace_module(model, base, adapter)
            elif isinstance(other, PromptedBlock) or isinstance(adapter, PromptedBlock):
                raise UserError(
                    f"branches {parallel.label} and {sequential.label} both stand around whole "
                    "blocks, and one of them adds tokens, so that their changes have no common "
                    "shape to be added in: choose another position or method for one."
                )
            else:
                replace_module(model, other, Branches(base, other, adapter))
        named = {n: m for n, m in model.named_modules() if isinstance(m, Adapter)}
        inner = {
            id(part) for m in named.values() if isinstance(m, Branches) for part in m.children()
        }
        return [name for name, module in named.items() if id(module) not in inner]

    def _adapters(self, model: nn.Module, head: tuple[str, ...], method: Method) -> list[Adapter]:
        """Apply ``method``; return its adapters, those around others first."""
        from hydra_peft.adapters.base import Adapter

        if not method.apply(model, head):
            raise UserError(f"method '{method.name}' adapts no layer and is no branch.")
        return [module for module in model.modules() if isinstance(module, Adapter)]

    def before_step(self, model: nn.Module, step: int, random: torch.Generator) -> None:
        """Let both act before the step."""
        for method in self.methods():
            method.before_step(model, step, random)

    @property
    def label(self) -> str:
        """Both methods' labels: ``branches lora r=4 + ssf``."""
        return f"{self.name} {' + '.join(method.label for method in self.methods())}"

    def identity(self) -> dict[str, Any]:
        """Both methods' identities."""
        parallel, sequential = self.methods()
        return {
            "name": self.name,
            "parallel": parallel.identity(),
            "sequential": sequential.identity(),
        }

    @classmethod
    def options_of(cls, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Return names and options of both."""
        from hydra_peft.methods import method_class

        options: dict[str, Any] = {}
        for key in ("parallel", "sequential"):
            name = identity[key]["name"]
            options |= {key: name, f"{key}_options": method_class(name).options_of(identity[key])}
        return options


METHOD = BranchesMethod
