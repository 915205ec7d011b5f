"""Compiling the repeated blocks of a model."""

from __future__ import annotations

import torch
from torch import nn

#: methods, scales and batch sizes of one process that each may have kernels of their own; with
#: torch's own limit of 8 a sweep would silently fall back to eager mode
RECOMPILATIONS = 64


def pays(device: torch.device) -> bool:
    """Whether compiling is worth its time on ``device``: a CUDA GPU that Triton supports.

    On a CPU kernels are compiled too, but nearly all time is spent in matrix products.
    """
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def compile_blocks(model: nn.Module, *, cuda_graph: bool) -> str:
    """Compile, in place, each of the blocks that ``model`` repeats; all share their kernels.

    Block by block takes a twelfth of the time of the whole model, and the blocks of the next run's
    model find the kernels there. Compilation happens at the first calls.

    Args:
        cuda_graph: replay each block as a CUDA graph; shapes are then compiled one by one.

    Returns:
        What was compiled, in words.
    """
    torch._dynamo.config.recompile_limit = max(RECOMPILATIONS, torch._dynamo.config.recompile_limit)
    name, blocks = _repeated(model)
    for block in blocks:
        if cuda_graph:
            block.compile(mode="reduce-overhead", dynamic=False)
        else:
            block.compile()
    return f"{len(blocks)} blocks of {name}" if name else "the whole model"


def _repeated(model: nn.Module) -> tuple[str, list[nn.Module]]:
    """Return the longest row of modules of one class that ``model`` holds, or the model itself."""
    best: tuple[str, list[nn.Module]] = ("", [model])
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList | nn.Sequential):
            children = list(module.children())
            alike = len({type(child) for child in children}) == 1
            if alike and len(children) > len(best[1]):
                best = (name, children)
    return best
