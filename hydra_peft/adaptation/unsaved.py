"""Warnings of what a saved adapter leaves out, although training may have changed it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from hydra_peft.adaptation.frozen import has_running_statistics, moved_tensor, other_name
from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.held import Held
from hydra_peft.adaptation.parameters import trained_parameters
from hydra_peft.adaptation.record import Adaptation, adaptation

log = logging.getLogger("hydra_peft")


def tell_of_unsaved(
    model: nn.Module, backbone: Mapping[str, Tensor], frozen: Mapping[str, Tensor], folder: Path
) -> None:
    """Warn of what ``folder`` does not hold and loading into a fresh model does not bring back.

    Args:
        model: adapted, without wrappers.
        backbone: its tensors, as of
            :func:`~hydra_peft.adaptation.fingerprint.backbone_state_dict`.
        frozen: those that the folder does not hold.
        folder: where the adapter is saved.
    """
    done = adaptation(model)
    _tell_of_others(model, done)
    _tell_of_extra_state(model, done)
    if not done.method.trains_backbone:
        fits = f"the adapter in {folder} fits what it is now and does not hold it: "
        _tell_of_moved(model, frozen, done, fits)
        _tell_of_changed(backbone, done, fits)


def _tell_of_others(model: nn.Module, done: Adaptation) -> None:
    """Warn of parameters that the user lets train beside what inject() recorded."""
    known = {id(parameter) for parameter in trained_parameters(model)}
    others = [n for n, p in model.named_parameters() if p.requires_grad and id(p) not in known]
    if others:
        log.warning(
            "%d parameters that require a gradient, such as '%s', are not trained by method '%s' "
            "and not saved: if they were trained, keep the model's state_dict()",
            len(others),
            others[0],
            done.method.name,
        )


def _tell_of_extra_state(model: nn.Module, done: Adaptation) -> None:
    """Warn of what modules that are saved keep beside tensors."""
    for name, value in model.state_dict().items():
        saved = done.method.trains_backbone or belongs_to(name, done.head)
        if saved and not isinstance(value, Tensor):
            log.warning(
                "'%s' is no tensor (what get_extra_state() returned) and not saved: keep "
                "model.state_dict() too",
                name,
            )
            return


def _tell_of_moved(
    model: nn.Module, frozen: Mapping[str, Tensor], done: Adaptation, fits: str
) -> None:
    """Warn of a frozen parameter or buffer that holds other values than before inject()."""
    if (found := moved_tensor(frozen, done.seen)) is None:
        return
    moved, tensor = found
    log.warning(
        "the %s '%s' of the backbone has changed since inject()%s; %sunless it was loaded since, "
        "keep model.state_dict() too",
        "parameter" if isinstance(tensor, nn.Parameter) else "buffer",
        moved,
        _why_moved(model, moved, tensor, done.seen[moved]),
        fits,
    )


def _why_moved(model: nn.Module, name: str, tensor: Tensor, before: Held) -> str:
    """Return in words what has moved the tensor ``name`` of a frozen backbone, if it shows."""
    if before.is_near(tensor):
        return (
            ", by rounding (an average of all parameters, as for EMA, rounds frozen ones too, and "
            "so does half precision)"
        )
    if isinstance(tensor, nn.Parameter):
        return ""
    layer, modules = name.rpartition(".")[0], dict(model.named_modules())
    module = modules.get(f"{layer}.base", modules.get(layer))
    if module is None or not has_running_statistics(module):
        return ""
    return (
        ", as running statistics do in training mode: train with "
        "hydra_peft.set_training_mode(model) in the place of model.train()"
    )


def _tell_of_changed(backbone: Mapping[str, Tensor], done: Adaptation, fits: str) -> None:
    """Warn of a backbone with parts that it did not have before inject(), or without some."""
    new, lost = other_name(backbone, done.seen), other_name(done.seen, backbone)
    if new or lost:
        log.warning(
            "'%s' of the backbone is %s since inject(); %sload it into a model that is changed "
            "alike, and keep model.state_dict() too",
            new or lost,
            "new" if new else "gone",
            fits,
        )
