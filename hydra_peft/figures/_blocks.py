"""Where a layer is in a model: the number of its transformer block, and its name within that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def block_numbers(model: nn.Module) -> dict[str, int]:
    """Return the names of the blocks of ``model`` in their order, numbered from 1 as papers do.

    Blocks are what a model has a row of, modules of one class with linear layers in them, such as
    ``blocks.5`` (timm) and ``roberta.encoder.layer.0``. Of rows within each other the innermost
    counts: a Swin's blocks are counted through its stages.
    """
    from torch import nn

    elements = [
        f"{name}.{child}"
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential) and _is_row(module)
        for child in module._modules
    ]
    stages = {other for other in elements for name in elements if name.startswith(f"{other}.")}
    order = [name for name, _ in model.named_modules() if name in {*elements} - stages]
    return {name: number for number, name in enumerate(order, 1)}


def _is_row(module: nn.Module) -> bool:
    """Whether the children are modules of one class, each with a linear layer in it."""
    from torch import nn

    children = list(module.children())
    return len({type(child) for child in children}) == 1 and all(
        any(isinstance(part, nn.Linear) for part in child.modules() if part is not child)
        for child in children
    )


def place(name: str, numbers: Mapping[str, int]) -> tuple[int, str]:
    """Return block (0 for none) and kind, the name within the block, of the layer ``name``.

    Args:
        name: in the model.
        numbers: as :func:`block_numbers` gives them.
    """
    parts = name.split(".")
    for end in range(1, len(parts)):
        if number := numbers.get(".".join(parts[:end])):
            return number, ".".join(parts[end:])
    return 0, name
