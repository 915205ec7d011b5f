"""Augmentations of training images by name, one module each that binds ``AUGMENTATION``."""

from __future__ import annotations

import sys

from hydra_peft.augmentations._base import Augmentation
from hydra_peft.registry import find_module

__all__ = ["Augmentation", "augmentation_class"]


def augmentation_class(name: str) -> type[Augmentation]:
    """Return the class of the augmentation called ``name``; its fields are the options.

    Raises:
        UserError: no augmentation has that name.
    """
    module = find_module(sys.modules[__name__], name, "data.augment")
    found: type[Augmentation] = module.AUGMENTATION
    return found
