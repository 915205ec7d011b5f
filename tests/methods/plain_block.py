"""A pre-norm transformer block written plainly on its weights, with what adapters do to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Branch = Callable[[Tensor], Tensor]


def attention(weights: Mapping[str, Tensor], x: Tensor, heads: int) -> Tensor:
    """Compute softmax(q k^T / sqrt(d)) v of each head, and the projection behind it."""
    count, tokens, width = x.shape
    qkv = x @ weights["attn.qkv.weight"].T + weights["attn.qkv.bias"]
    q, k, v = (
        part.view(count, tokens, heads, width // heads).transpose(1, 2) for part in qkv.chunk(3, -1)
    )
    shares = (q @ k.transpose(-2, -1) / (width // heads) ** 0.5).softmax(-1)
    joined = (shares @ v).transpose(1, 2).reshape(count, tokens, width)
    return joined @ weights["attn.proj.weight"].T + weights["attn.proj.bias"]


def norm(weights: Mapping[str, Tensor], name: str, x: Tensor, eps: float) -> Tensor:
    """Normalise over the last dimension, with weight and bias."""
    centred = x - x.mean(-1, keepdim=True)
    normal = centred / (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return normal * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def mlp(weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Compute W2 GELU(W1 x + b1) + b2."""
    hidden = x @ weights["mlp.fc1.weight"].T + weights["mlp.fc1.bias"]
    hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
    return hidden @ weights["mlp.fc2.weight"].T + weights["mlp.fc2.bias"]


def block(
    weights: Mapping[str, Tensor],
    x: Tensor,
    position: str,
    branch: Branch,
    first: Branch | None = None,
    *,
    heads: int = 2,
    eps: float = 1e-6,
) -> Tensor:
    """Compute a block with layer scale and the adapter ``branch``; see adapters/block_adapters.py.

    Args:
        first: the branch behind attention, of position ``houlsby``.
    """

    def feed(stream: Tensor) -> Tensor:
        return weights["ls2.gamma"] * mlp(weights, norm(weights, "norm2", stream, eps))

    change = weights["ls1.gamma"] * attention(weights, norm(weights, "norm1", x, eps), heads)
    if first is not None:
        change = change + first(change)
    y = x + change
    if position in ("intermediate", "houlsby"):
        part = feed(y)
        return y + (part + branch(part))
    if position == "parallel":
        return y + feed(y) + branch(y)
    if position == "pre":
        y = y + branch(y)
        return y + feed(y)
    if position == "pfeiffer":
        part = feed(y)
        return y + (part + branch(y + part))
    z = y + feed(y)
    return z + branch(z)


def bottleneck(
    weights: Mapping[str, Tensor],
    x: Tensor,
    activation: Branch,
    scale: float | Tensor = 1.0,
    eps: float = 1e-5,
) -> Tensor:
    """Compute s (W_up sigma(W_down N(x) + b_down) + b_up); N where ``weights`` has a norm."""
    if "norm.weight" in weights:
        x = norm(weights, "norm", x, eps)
    hidden = activation(x @ weights["down.weight"].T + weights.get("down.bias", 0.0))
    return scale * (hidden @ weights["up.weight"].T + weights.get("up.bias", 0.0))


def scaled_block(width: int = 12) -> torch.nn.Sequential:
    """A block of timm's in float64 with layer scale, named ``0``, with values of no fresh model."""
    from timm.models.vision_transformer import Block

    model = torch.nn.Sequential(Block(width, 2, qkv_bias=True, init_values=0.5, norm_layer=_norm))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.double().eval()


def _norm(width: int, **kwargs: object) -> torch.nn.LayerNorm:
    return torch.nn.LayerNorm(width, eps=1e-6, **kwargs)  # type: ignore[arg-type]


def own_weights(adapter: torch.nn.Module) -> dict[str, Tensor]:
    """Copies of the tensors of one branch, by name, that take gradients."""
    return {n: p.detach().clone().requires_grad_() for n, p in adapter.named_parameters()}
