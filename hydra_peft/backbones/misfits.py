"""Sentences on weights that are not those of the model that was built: names and shapes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from torch import Tensor, nn

from hydra_peft.errors import UserError
from hydra_peft.plain_text import counted, shortened, tensor_name, tensor_shape
from hydra_peft.quoting import of_file

#: what only a classifier or a distilled model adds, no part of the backbone
_HEADS = ("head.", "head_dist.", "pre_logits.", "fc.")
#: parts of the names of tensors whose shapes follow the number of patches: positions, and layers
#: over tokens of the mixers
_OF_PATCHES = re.compile(r"pos_embed|position|rel_pos|rel_indices|_tokens\.|\.gate\.proj\.")
_RESIZED = (
    ", which follows from the size of images, and timm does not resample it: set model.image_size "
    "to the size that these weights are for"
)


class Misfit(UserError):  # noqa: N818 - read as a sentence
    """Weights are of another model than the one that was built."""


def check_names(model: nn.Module, found: Collection[str], where: str) -> None:
    """Check that weights have the names of ``model``, a head aside.

    Args:
        model: without a head.
        found: names of the weights.
        where: the file, for the message.

    Raises:
        Misfit: they lack one, or have one more.
    """
    own = model.state_dict().keys()
    missing = sorted(own - set(found))
    unknown = sorted(n for n in set(found) - own if not is_of_head(n, model))
    if missing or unknown:
        raise Misfit(
            f"{where} does not fit this model: it lacks {counted(len(missing), 'tensor')} "
            f"{_few(missing)} and has {len(unknown)} unknown ones {_few(unknown)}"
            f"{_behind(missing, unknown)}."
        )


def check_shapes(model: nn.Module, found: Mapping[str, Tensor], where: str) -> None:
    """Check that weights have the shapes of ``model``, a head aside.

    Raises:
        Misfit: one has another shape.
    """
    own = model.state_dict()
    wrong = [n for n, t in found.items() if n in own and t.shape != own[n].shape]
    if not wrong:
        return
    # What is of patches may differ because of another image size alone.
    others = [name for name in wrong if not _is_of_patches(name, found[name], own[name])]
    name = (others or wrong)[0]
    resized = "" if others or not hasattr(model, "pretrained_cfg") else _RESIZED
    raise Misfit(
        f"{where}: {tensor_name(name)} has shape {tensor_shape(found[name].shape)}, this model "
        f"has {tuple(own[name].shape)}{resized}."
    )


def _is_of_patches(name: str, found: Tensor, own: Tensor) -> bool:
    """Whether the shape of a tensor differs by the number of patches, as far as its name says."""
    by_heads = "bias_table" in name and found.shape[-1:] != own.shape[-1:]
    return bool(_OF_PATCHES.search(name)) and not by_heads


def is_of_head(name: str, model: nn.Module) -> bool:
    """Whether a tensor is of what only a classifier adds, as timm calls that of this family."""
    classifiers = getattr(model, "pretrained_cfg", {}).get("classifier") or ()
    own = (classifiers,) if isinstance(classifiers, str) else classifiers
    return name.startswith((*_HEADS, *(f"{one}." for one in own)))


def _behind(missing: list[str], unknown: list[str]) -> str:
    """Return what stands before most of the names that are missed, and what to do; "" without."""
    ends = sorted(
        (name for name in unknown if missing and name.endswith(f".{missing[0]}")), key=len
    )
    there = set(unknown)
    for name in ends:
        prefix = name.removesuffix(missing[0])
        if (count := sum(f"{prefix}{one}" in there for one in missing)) > len(missing) // 2:
            shown = of_file(repr(shortened(prefix, 80)), "another")
            return (
                f"; {count} of those it lacks are there behind {shown}: save what begins so, "
                "without that, and give that file"
            )
    return ""


def _few(names: list[str]) -> str:
    """Return the first names of a list, which may be of any length in a file of unknown origin."""
    return of_file(f"[{', '.join(shortened(repr(name), 80) for name in names[:2])}]")
