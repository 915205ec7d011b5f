"""Record of an injected method, kept on the model: adapters, head, trained parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from hydra_peft.adaptation.held import Held
from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.errors import UserError
from hydra_peft.methods._base import Method
from hydra_peft.plain_text import counted

_ATTRIBUTE = "_hydra_peft_adaptation"


@dataclass(frozen=True)
class Adaptation:
    """Names of the modules and parameters that :func:`hydra_peft.inject` added, unfroze or found as
    head.

    Trained are the parameters ``trained`` and all of ``head``: by name, since names outlast
    copies, casts, heads that are replaced, and merging. A parameter that several modules share
    goes by its first name.

    Attributes:
        method: the method with its options.
        layers: names of the layers that carry an adapter.
        head: names of the head's modules.
        trained: names of what the method trains beside the head: parameters of adapters, and
            of the backbone where it is not frozen.
        shared: all names of each parameter of ``trained`` and ``fixed`` that has several, the first
            one first.
        fixed: names of what else adapters hold, which is saved with them: frozen factors, buffers.
        computed: names of the tensors that were computed from parameters already, see
            :func:`~hydra_peft.adaptation.adaptable.computed_tensors`.
        seen: what the backbone held, by name of parameter or buffer, see
            :func:`~hydra_peft.adaptation.frozen.tensors_seen`; empty where all of it is trained.
    """

    method: Method
    layers: tuple[str, ...]
    head: tuple[str, ...]
    trained: tuple[str, ...] = ()
    shared: tuple[tuple[str, ...], ...] = ()
    fixed: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    seen: Mapping[str, Held] = field(default_factory=dict)

    def __str__(self) -> str:
        head = ", ".join(self.head) or "none"
        where = ", ".join(self.layers) or "no layer"
        return (
            f"{self.method.label} on {counted(len(self.layers), 'layer')} ({where}); head: {head}"
        )


def find_adaptation(model: nn.Module) -> Adaptation | None:
    """Return the record of adaptation of ``model``, without wrappers, itself and not of a part of
    it; None if it has none."""
    found: Adaptation | None = vars(model).get(_ATTRIBUTE)
    return found


def adaptation(model: nn.Module) -> Adaptation:
    """Return the record of adaptation that :func:`hydra_peft.inject` left on ``model``.

    Raises:
        UserError: ``model`` has not been adapted.
    """
    model = unwrap(model)
    done = find_adaptation(model)
    if done is not None:
        return done
    kind = type(model).__name__
    for name, part in model.named_modules():
        if _ATTRIBUTE in vars(part):
            raise UserError(f"this {kind} carries no adapter, its part '{name}' does: pass that.")
    raise UserError(f"this {kind} carries no adapter: call inject() first.")


def keep_adaptation(model: nn.Module, done: Adaptation) -> None:
    """Keep ``done`` on ``model``, where copies of it have it too."""
    object.__setattr__(model, _ATTRIBUTE, done)
