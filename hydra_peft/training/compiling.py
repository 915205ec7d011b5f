"""Compiling the repeated blocks of a model."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import torch
from torch import nn

#: methods, blocks' drop-path rates, scales and batch sizes of one process may each have kernels of
#: their own (14 to 26 a method with drop-path); beyond it torch falls back to eager mode silently
RECOMPILATIONS = 256


def pays(device: torch.device) -> bool:
    """Whether compiling is worth its time on ``device``: a CUDA GPU, with what Triton needs.

    On a CPU kernels are compiled too, but nearly all time is spent in matrix products.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (7, 0):
        return False
    # Triton builds what launches its kernels with a C compiler, which slim containers lack.
    compilers = ("cc", "gcc", "clang", os.environ.get("CC", "cc"))
    return find_spec("triton") is not None and any(map(shutil.which, compilers))


def compile_blocks(model: nn.Module, *, cuda_graph: bool) -> str:
    """Compile, in place, each of the blocks that ``model`` repeats; all share their kernels.

    Block by block takes a twelfth of the time of the whole model, and the blocks of the next run's
    model find the kernels there. Compilation happens at the first calls.

    Args:
        cuda_graph: replay each block as a CUDA graph; shapes are then compiled one by one.

    Returns:
        What was compiled, in words.
    """
    _allow_recompilations()
    name, blocks = _repeated(model)
    for block in blocks:
        if cuda_graph:
            block.compile(mode="reduce-overhead", dynamic=False)
        else:
            block.compile()
    if cuda_graph and name:
        model.register_forward_pre_hook(_begin_pass)
    return f"{len(blocks)} blocks of {name}" if name else "the whole model"


def _allow_recompilations() -> None:
    config = torch._dynamo.config
    # torch 2.6 has it under the older name alone.
    key = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, key, max(RECOMPILATIONS, getattr(config, key)))


def _begin_pass(_model: nn.Module, _inputs: object) -> None:
    """Tell torch that a pass through the model begins, so that outputs of its blocks live until the
    next.

    Left alone, and without a backward pass to come, torch takes each block for a pass of its own
    and gives the memory of a block's output away as the next block starts to read it.
    """
    torch.compiler.cudagraph_mark_step_begin()


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
