"""Outputs of each branch of an adapted layer on real images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from hydra_peft.adapters.low_rank import LowRankLinear

#: the terms of a layer's output
PRETRAINED, PARALLEL, SEQUENTIAL = "pretrained", "parallel", "sequential"


@torch.no_grad()
def branch_outputs(
    model: nn.Module,
    layers: Mapping[str, LowRankLinear],
    batches: Iterable[Tensor],
    *,
    token: int = 0,
) -> dict[str, dict[str, Tensor]]:
    """Return the terms of ``h = f + s g(x; A) + s g(f; B)`` at one token (paper eq. 10).

    They are read from the branches while the model runs, as what is added up: with the frozen
    layer's bias, the branches' own biases, and the factor s, so that they sum to the layer's
    output. The model is left in evaluation mode.

    Args:
        model: the adapted model.
        layers: its adapted layers to look at, whose outputs are ``[n, tokens, d]``, by name.
        batches: inputs of the model.
        token: position of the token; 0 is [CLS] in timm's ViTs.

    Returns:
        For each layer the terms that it has, :data:`PRETRAINED`, :data:`PARALLEL` and
        :data:`SEQUENTIAL`, each ``[images, d]`` on the CPU.
    """
    found: dict[str, dict[str, list[Tensor]]] = {name: {} for name in layers}
    fused = {name: layer.fused for name, layer in layers.items()}
    model.eval()
    with ExitStack() as stack:
        for name, layer in layers.items():
            # Fused, a layer calls none of its branches.
            layer.fused = False
            stack.callback(setattr, layer, "fused", fused[name])
            terms: list[tuple[str, nn.Module | None, float]] = [
                (PRETRAINED, layer.base, 1.0),
                (PARALLEL, layer.parallel, layer.scale),
                (SEQUENTIAL, layer.sequential, layer.scale),
            ]
            for term, module, scale in terms:
                if module is None:
                    continue
                kept = found[name].setdefault(term, [])
                hook = module.register_forward_hook(_keep(kept, token, scale))
                stack.callback(hook.remove)
        for batch in batches:
            model(batch)
    return {n: {term: torch.cat(kept) for term, kept in f.items()} for n, f in found.items()}


def _keep(kept: list[Tensor], token: int, scale: float) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:  # noqa: ARG001
        kept.append((scale * output[:, token]).float().cpu())

    return hook
