"""The adapters of a model, in their places or behind the plain modules they were merged into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.record import find_adaptation
from hydra_peft.adaptation.written import Written
from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.copied import copy_of
from hydra_peft.errors import UserError

_ATTRIBUTE = "_hydra_peft_adapter"
_WRITTEN = "_hydra_peft_written"


def carriers(model: nn.Module, *, every_name: bool = False) -> list[tuple[str, nn.Module, Adapter]]:
    """Return ``(layer name, module in the place, adapter)`` of every adapter of ``model``.

    The module is the adapter itself or, merged, the plain module that remembers it and, inside it,
    the adapters that lie in its ``base``.

    Args:
        model: without wrappers (``unwrap``), here and below: looking through all modules for one
            takes longer than what is done here.
        every_name: a layer that is shared under several names comes once for each.

    Raises:
        UserError: a layer that :func:`hydra_peft.inject` adapted carries no adapter any more.
    """
    found = []
    for name, module in model.named_modules(remove_duplicate=not every_name):
        adapter = module if isinstance(module, Adapter) else vars(module).get(_ATTRIBUTE)
        if adapter is not None:
            found.append((name, module, adapter))
    done = find_adaptation(model)
    names = [name for name, _, _ in found]
    hidden = [name for name, module, adapter in found if module is not adapter]
    wanted = () if done is None else (n for n in done.layers if not belongs_to(n, hidden))
    lost = [name for name in wanted if name not in names]
    if done is not None and lost:
        raise UserError(
            f"'{lost[0]}' carries no adapter any more ({len(lost)} of {len(done.layers)} adapted "
            "layers were replaced or removed): change a model before inject(), or merge() it "
            "first and go on with the plain model."
        )
    return found


def adapters(model: nn.Module, *, every_name: bool = False) -> Iterator[tuple[str, Adapter]]:
    """Yield ``(layer name, adapter)`` of every adapter of ``model``, also of merged ones.

    One that is merged is in the dtype and on the device of the plain module in its place: where
    the model was cast or moved since, it is a copy; copies share what their originals share.

    Args and Raises: as :func:`carriers`.
    """
    copies: dict[int, Any] = {}
    for name, module, adapter in carriers(model, every_name=every_name):
        yield name, adapter if module is adapter else _as_cast(adapter, module, copies)


def tensors_by_name(model: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of ``model``, of a merged one as if it were not.

    Its parameters are objects, not detached: one that is shared comes under each of its names.
    """
    layers = dict(adapters(model, every_name=True))
    state: Mapping[str, Any] = model.state_dict(keep_vars=True)
    found = {name: value for name, value in state.items() if not belongs_to(name, layers)}
    for layer, adapter in layers.items():
        found |= {f"{layer}.{n}": t for n, t in adapter.state_dict(keep_vars=True).items()}
    # Beside tensors there may be what modules keep by get_extra_state().
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def remember(plain: nn.Module, adapter: Adapter) -> None:
    """Let ``plain`` remember ``adapter``, outside its submodules and its state dict."""
    object.__setattr__(plain, _ATTRIBUTE, adapter)
    object.__setattr__(plain, _WRITTEN, Written.of(plain, adapter))


def written(plain: nn.Module) -> Written:
    """Return what was merged into ``plain``, which remembers an adapter."""
    found: Written = vars(plain)[_WRITTEN]
    return found


def _as_cast(adapter: Adapter, plain: nn.Module, copies: dict[int, Any]) -> Adapter:
    if not written(plain).was_cast(plain):
        return adapter
    return copy_of(adapter, copies).to(next(plain.parameters()))
