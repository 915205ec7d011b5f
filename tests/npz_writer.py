"""Writes a timm ViT in the naming of Google's .npz files, and files that numpy would not write."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from torch import nn


def google_names(
    model: nn.Module, prefix: str = "", big_vision: bool = False
) -> dict[str, np.ndarray]:
    """The weights of a plain timm ViT under the names and in the shapes of Google's files."""
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    positions = "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding"
    out = {
        "cls": state["cls_token"],
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        positions: state["pos_embed"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
    }
    for i, block in enumerate(model.blocks):
        part = {n.removeprefix(f"blocks.{i}."): a for n, a in state.items() if f"blocks.{i}." in n}
        top = f"Transformer/encoderblock_{i}"
        out |= {f"{top}/{n}": a for n, a in _block(part, block.attn.num_heads, big_vision).items()}
    return {prefix + name: array for name, array in out.items()}


def _block(part: dict[str, np.ndarray], heads: int, big_vision: bool) -> dict[str, np.ndarray]:
    number, norm2, mlp = (0, 1, 0) if big_vision else (1, 2, 3)
    attention = f"MultiHeadDotProductAttention_{number}"
    width = part["norm1.weight"].shape[0]
    out = {}
    for google, norm in (("LayerNorm_0", "norm1"), (f"LayerNorm_{norm2}", "norm2")):
        out[f"{google}/scale"] = part[f"{norm}.weight"]
        out[f"{google}/bias"] = part[f"{norm}.bias"]
    weights = np.split(part["attn.qkv.weight"], 3)
    biases = np.split(part["attn.qkv.bias"], 3)
    for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
        out[f"{attention}/{name}/kernel"] = weight.T.reshape(width, heads, -1)
        out[f"{attention}/{name}/bias"] = bias.reshape(heads, -1)
    out[f"{attention}/out/kernel"] = part["attn.proj.weight"].T.reshape(heads, -1, width)
    out[f"{attention}/out/bias"] = part["attn.proj.bias"]
    for google, layer in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
        out[f"MlpBlock_{mlp}/{google}/kernel"] = part[f"mlp.{layer}.weight"].T
        out[f"MlpBlock_{mlp}/{google}/bias"] = part[f"mlp.{layer}.bias"]
    return out


def member(array: np.ndarray) -> bytes:
    """The bytes of ``array`` as a member of a .npz."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def write_members(path: Path, arrays: dict[str, np.ndarray], **changed: bytes) -> None:
    """Write a compressed .npz by hand; ``changed`` gives the raw bytes of some members."""
    content = {name: member(array) for name, array in arrays.items()} | changed
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            file.writestr(f"{name}.npy", data)
