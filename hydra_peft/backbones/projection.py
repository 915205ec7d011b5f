"""Image towers that keep their projection into the space that they share with a text tower."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from timm.models import vision_transformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from hydra_peft.errors import UserError

#: where timm's naming has the projection: as a classifier, with a bias of zeros
_WEIGHT, _BIAS = "head.weight", "head.bias"
#: where open_clip has it beside a tower of timm's
_OUTSIDE = "visual.head.proj.weight"
PROJECTION = "projection.weight"


class ProjectedVisionTransformer(VisionTransformer):
    """A vision transformer whose features are projected, without a bias, before its head.

    Radford et al., arXiv 2103.00020: the class token after the last norm, times a matrix, is the
    image's feature; ``[batch, width]`` becomes ``[batch, projection]``.
    """

    projection: nn.Linear

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map tokens ``[batch, tokens, width]`` to outputs, or to projected features."""
        x = self.projection(super().forward_head(x, pre_logits=True))
        return x if pre_logits else self.head(x)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh linear head on the projected features; none for 0 classes."""
        super().reset_classifier(0, global_pool)
        self.num_classes = num_classes
        like = self.projection.weight
        if num_classes > 0:
            width = self.projection.out_features
            self.head = nn.Linear(width, num_classes, device=like.device, dtype=like.dtype)


def keep_projection(model: nn.Module, width: int) -> None:
    """Make the classifier of ``model``, which timm built with ``width`` classes, its projection.

    Raises:
        UserError: ``model`` is no vision transformer of timm's.
    """
    if type(model) is not VisionTransformer or not isinstance(model.head, nn.Linear):
        raise UserError(
            f"model.projection={width} is for image towers of CLIP that timm has as "
            f"VisionTransformer, and this model is a {type(model).__name__}: set it to null."
        )
    linear = model.head
    projection = nn.Linear(
        linear.in_features,
        width,
        bias=False,
        device=linear.weight.device,
        dtype=linear.weight.dtype,
    )
    with torch.no_grad():
        # CLIP's own initialisation: deviation width^-0.5 (openai/CLIP, model.py).
        nn.init.normal_(projection.weight, std=linear.in_features**-0.5)
    # timm's entry points know a model's options and choose its class; this one has no state more.
    model.__class__ = ProjectedVisionTransformer
    assert isinstance(model, ProjectedVisionTransformer)
    model.projection = projection
    model.head_hidden_size = width
    model.reset_classifier(0)


def checkpoint_filter_fn(
    state_dict: Mapping[str, Tensor],
    model: VisionTransformer,
    interpolation: str = "bicubic",
    antialias: bool = True,
) -> dict[str, Tensor]:
    """Return a checkpoint in the names of a :class:`ProjectedVisionTransformer`.

    timm's function of this name converts OpenAI's, open_clip's and timm's own naming; the
    projection is what it takes for the classifier.
    """
    outside = state_dict.get(_OUTSIDE)
    found: dict[str, Tensor] = vision_transformer.checkpoint_filter_fn(
        dict(state_dict), model, interpolation=interpolation, antialias=antialias
    )
    weight = found.pop(_WEIGHT, outside)
    found.pop(_BIAS, None)
    if weight is not None:
        found[PROJECTION] = weight
    return found


def check_no_classifier(state: Mapping[str, Tensor], where: str) -> None:
    """Check that what timm has as classifier in ``state`` is a projection, which has no bias.

    Raises:
        UserError: its bias is not zero.
    """
    bias = state.get(_BIAS)
    if bias is not None and bool(bias.any()):
        raise UserError(
            f"{where}: 'head' has a bias, so it is a trained classifier, not the projection that "
            "model.projection keeps: give the weights of CLIP itself, or set it to null."
        )
