"""Tensors of a frozen backbone, which are to hold at the end of training what they did before."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from hydra_peft.adaptation.held import Held


def has_running_statistics(module: nn.Module) -> bool:
    """Whether ``module`` normalises by what it has seen of batches so far."""
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats


def tensors_seen(frozen: Mapping[str, Tensor]) -> tuple[tuple[str, Held], ...]:
    """Return name and content of each tensor of ``frozen``, those that hold no values left out.

    Args:
        frozen: parameters and buffers, as of
            :func:`~hydra_peft.adaptation.fingerprint.frozen_tensors`.
    """
    return tuple((name, Held.of(t)) for name, t in frozen.items() if not t.is_meta)


def moved_tensor(
    frozen: Mapping[str, Tensor], before: tuple[tuple[str, Held], ...]
) -> tuple[str, Tensor] | None:
    """Return name and tensor of the first of ``frozen`` that does not hold any more what it held.

    None if all do. Those are passed over that require a gradient.

    Args:
        frozen: as of :func:`tensors_seen`, by now.
        before: what that returned.
    """
    for name, held in before:
        tensor = frozen.get(name)
        if tensor is not None and not tensor.requires_grad and not held.is_of(tensor):
            return name, tensor
    return None
