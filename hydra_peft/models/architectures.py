"""From an architecture's name to a timm model without a head."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from hydra_peft.errors import UserError, did_you_mean, near
from hydra_peft.models.vit_mini import EMBEDDED

#: constructor arguments that other keys set
_OURS = frozenset({"num_classes", "drop_path_rate"})


def build_architecture(
    architecture: str, arguments: Mapping[str, Any], *, drop_path: float = 0.0
) -> nn.Module:
    """Return a randomly initialised timm ViT without a head (``num_classes=0``).

    Args:
        architecture: timm's model name, with or without a tag, or one of :data:`EMBEDDED`.
        arguments: further constructor arguments, such as ``img_size``.
        drop_path: stochastic depth rate while training.

    Raises:
        UserError: an unknown name, a model that is no vision transformer, or an argument that the
            constructor does not take.
    """
    import timm
    from timm.models.vision_transformer import VisionTransformer

    base, own = EMBEDDED.get(architecture, (architecture, {}))
    if not timm.is_model(base):
        names = [*EMBEDDED, *timm.list_models("*vit*")]
        close = near(architecture.split(".")[0], names) or list(EMBEDDED)
        raise UserError(
            f"model.architecture '{architecture}' is unknown to timm; near names: "
            f"{', '.join(close)}."
        )
    # timm.create_model takes more than the model does, such as files to load: those stay shut.
    known = sorted(set(inspect.signature(VisionTransformer).parameters) - _OURS)
    for key in arguments:
        if key not in known:
            raise UserError(
                f"unknown key 'model.arguments.{key}'{did_you_mean(key, known)}; timm's vision "
                f"transformer takes {', '.join(known)}."
            )
    try:
        model: nn.Module = timm.create_model(
            base,
            pretrained=False,
            num_classes=0,
            drop_path_rate=drop_path,
            **{**own, **arguments},
        )
    # What a constructor makes of odd values is its own: ZeroDivisionError, KeyError, ...
    except Exception as error:
        raise UserError(
            f"timm cannot build '{architecture}' with model.arguments={dict(arguments)} "
            f"({type(error).__name__}: {error})."
        ) from None
    if not isinstance(model, VisionTransformer):
        raise UserError(
            f"model.architecture '{architecture}' is a {type(model).__name__}, not a vision "
            "transformer: choose one of timm's vit_* models."
        )
    return model


def input_size(model: nn.Module) -> tuple[int, int]:
    """Return the ``(height, width)`` in pixels of the images that a timm ViT takes."""
    height, width = model.patch_embed.img_size  # type: ignore[union-attr, misc]
    return int(height), int(width)


def normalization(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the per-channel mean and standard deviation, in [0, 1], that timm states for it."""
    metadata: Mapping[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return tuple(metadata["mean"]), tuple(metadata["std"])
