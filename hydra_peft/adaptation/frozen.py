"""Tensors of a frozen backbone, which are to hold at the end of training what they did before."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from torch import Tensor, nn

from hydra_peft.adaptation.held import Held


def has_running_statistics(module: nn.Module) -> bool:
    """Whether ``module`` normalises by what it has seen of batches so far."""
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats


def tensors_seen(backbone: Mapping[str, Tensor]) -> dict[str, Held]:
    """Return what each tensor of ``backbone`` holds, by name.

    Args:
        backbone: parameters and buffers, as of
            :func:`~hydra_peft.adaptation.fingerprint.backbone_state_dict`.
    """
    return {name: Held.of(tensor) for name, tensor in backbone.items()}


def moved_tensor(
    frozen: Mapping[str, Tensor], before: Mapping[str, Held]
) -> tuple[str, Tensor] | None:
    """Return name and tensor of the first of ``frozen`` that does not hold any more what it held.

    None if all do. Those are passed over that require a gradient.

    Args:
        frozen: the tensors of the backbone that are not saved, by now.
        before: what :func:`tensors_seen` returned.
    """
    for name, tensor in frozen.items():
        if name in before and not tensor.requires_grad and not before[name].is_of(tensor):
            return name, tensor
    return None


def other_name(some: Iterable[str], others: Collection[str]) -> str | None:
    """Return the first name of ``some`` that is not among ``others``; None if all are."""
    return next((name for name in some if name not in others), None)
