"""Whether a state dict fits the adapters of a model, before torch loads what fits of it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from torch import nn

from hydra_peft.adaptation.carried import carriers
from hydra_peft.adaptation.record import find_adaptation
from hydra_peft.adapters.base import Adapter
from hydra_peft.errors import UserError

#: what lies in an adapter and in no plain layer
_OF_ADAPTERS = ("base", "parallel", "sequential")
_ALIKE = "load it into a model that is adapted alike. Nothing was loaded."


def check_loaded(model: nn.Module, state: Mapping[str, Any], prefix: str, *_: object) -> None:
    """Check, before ``model`` loads ``state``, that both have the same adapters in the same places.

    Torch calls it with more than is needed here. Without it ``strict=False`` would take the rest
    and leave the adapted layers as they are. A state dict may leave out an adapter, or what lies
    below it, as a whole.

    Raises:
        UserError: ``state`` fits the adapters of ``model`` in part.
    """
    names = [key.removeprefix(prefix) for key in state if key.startswith(prefix)]
    done = find_adaptation(model)
    # Files and adapter_state_dict() have them once, under one of their names.
    shared = {name for names in (done.shared if done else ()) for name in names}
    for place, module, adapter in carriers(model):
        own = [name[len(place) + 1 :] for name in names if name.startswith(f"{place}.")]
        if module is not adapter:
            _check_merged(place, module, adapter, own)
        else:
            _check_adapter(place, adapter, own, shared)
    _check_plain(model, names)


def _check_merged(place: str, module: nn.Module, adapter: Adapter, own: Iterable[str]) -> None:
    unlike = adapter.state_dict().keys() - module.state_dict().keys()
    if (key := next((name for name in own if name in unlike), None)) is not None:
        raise UserError(
            f"this model is merged, and the state dict is of one that is not (it has "
            f"'{place}.{key}'): unmerge() it first. Nothing was loaded."
        )


def _check_adapter(place: str, adapter: Adapter, own: list[str], shared: Container[str]) -> None:
    known = adapter.state_dict().keys()
    if other := next((name for name in own if name not in known), None):
        below = other in adapter.base.state_dict()
        remedy = "load it before inject(), or into the merged model. Nothing was loaded."
        raise UserError(
            f"this model has an adapter at '{place}', and the state dict has '{place}.{other}', as "
            f"{'one without it, or merged,' if below else 'one with another adapter'} has: "
            f"{remedy if below else _ALIKE}"
        )
    wanted = [
        name for name in known if not name.startswith("base.") and f"{place}.{name}" not in shared
    ]
    missing = next((name for name in wanted if name not in own), None)
    if missing and any(name in own for name in wanted):
        raise UserError(
            f"the state dict lacks '{place}.{missing}' of the adapter that this model has there, "
            f"and holds the rest of it: {_ALIKE}"
        )


def _check_plain(model: nn.Module, names: Iterable[str]) -> None:
    """Check that ``names`` are of no adapter where ``model`` has a plain module."""
    modules, known = dict(model.named_modules(remove_duplicate=False)), model.state_dict()
    for name in names:
        if name in known:
            continue
        path = name.split(".")
        ends = (end for end in range(len(path) - 1, 0, -1) if ".".join(path[:end]) in modules)
        end = next(ends, 0)
        place, rest = ".".join(path[:end]), path[end:]
        if not end or isinstance(modules[place], Adapter) or len(rest) < 2:
            continue
        if rest[0] in _OF_ADAPTERS:
            raise UserError(
                f"the state dict is of a model with an adapter at '{place}' (it has '{name}'), "
                f"where this model has none: {_ALIKE}"
            )
