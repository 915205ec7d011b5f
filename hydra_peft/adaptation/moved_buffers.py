"""Buffers of a frozen backbone that move in training, as running statistics do."""

from __future__ import annotations

from torch import nn

from hydra_peft.adaptation.carried import carriers
from hydra_peft.adaptation.fingerprint import untouched_name
from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.held import Held


def has_running_statistics(module: nn.Module) -> bool:
    """Whether ``module`` normalises by what it has seen of batches so far."""
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats


def buffers_seen(model: nn.Module, head: tuple[str, ...]) -> tuple[tuple[str, Held], ...]:
    """Return name and content of each buffer of the frozen backbone.

    Those are left out that no state dict has, as masks, and those of ``head`` and of adapters,
    which are saved with them.

    Args:
        model: adapted, without wrappers.
        head: names of its modules.
    """
    kept = model.state_dict()
    layers = {name for name, _, _ in carriers(model, every_name=True)}
    found = []
    for name, tensor in model.named_buffers():
        own = untouched_name(name, layers)
        if own is not None and name in kept and not belongs_to(name, head) and not tensor.is_meta:
            found.append((own, Held.of(tensor)))
    return tuple(found)


def moved_buffer(
    model: nn.Module, head: tuple[str, ...], before: tuple[tuple[str, Held], ...]
) -> str | None:
    """Return the name of a buffer that does not hold any more what it held; None if all do.

    Args:
        model: adapted, without wrappers.
        head: names of its modules.
        before: of :func:`buffers_seen` then.
    """
    then = dict(before)
    now = buffers_seen(model, head)
    return next((name for name, held in now if name in then and then[name].has_moved(held)), None)
