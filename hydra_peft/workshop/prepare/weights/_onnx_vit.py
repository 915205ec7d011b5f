"""A vision transformer of DINOv2's form in an ONNX graph, as arrays in timm's names.

The graph was exported from Hugging Face's ``Dinov2Model``. Exporters keep the names of parameters
that nodes use as they are; the weights of linear layers are stored transposed under numbers, and so
are the two parts of the position table, so these are known by the node that uses them. Nothing of
the graph is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._optional import optional

#: where the transformer's parameters are in the graph; others (a decoder) are left
PREFIX = "backbone."
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)$")
#: Hugging Face's names to timm's, outside and inside a layer
_OUTSIDE = {
    "embeddings.cls_token": "cls_token",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}
_INSIDE = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attention.output.dense": "attn.proj",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_SCALES = {"layer_scale1.lambda1": "ls1.gamma", "layer_scale2.lambda1": "ls2.gamma"}
#: stacked in this order in timm's ``attn.qkv``
_STACKED = tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
_CLASS_POSITION, _PATCH_POSITIONS = "position of the class token", "positions of the patches"


def read_vit(content: bytes) -> dict[str, np.ndarray]:
    """Return the transformer in an ONNX file as float32 arrays in timm's names.

    Args:
        content: of the file.

    Raises:
        UserError: it is no ONNX graph, holds values outside itself, or a tensor of the transformer
            that is not known; or it lacks one.
    """
    graph = _graph(content)
    named = dict(_named(graph))
    state = {ours: named.pop(theirs) for theirs, ours in _OUTSIDE.items() if theirs in named}
    keys = (_CLASS_POSITION, _PATCH_POSITIONS)
    positions = [named.pop(key) for key in keys if key in named]
    if len(positions) < len(keys):
        raise UserError("the ONNX graph has no table of positions in two parts: it is another one.")
    state["pos_embed"] = np.concatenate(positions, axis=1)
    layers: dict[int, dict[str, np.ndarray]] = {}
    for name in list(named):
        if found := _LAYER.match(name):
            layers.setdefault(int(found[1]), {})[found[2]] = named.pop(name)
    if sorted(layers) != list(range(len(layers))) or not layers:
        raise UserError(f"the ONNX graph has the layers {sorted(layers)}, not all from 0 on.")
    for number, parts in layers.items():
        state |= {f"blocks.{number}.{k}": v for k, v in _layer(parts, number).items()}
    if named:
        raise UserError(f"the ONNX graph has '{PREFIX}{min(named)}', which timm's ViT has not.")
    return {name: np.array(array, np.float32, order="C") for name, array in state.items()}


def _layer(parts: dict[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """Return one layer's arrays by timm's names; ``parts`` has them by Hugging Face's."""
    found = {}
    try:
        for theirs, ours in _SCALES.items():
            found[ours] = parts.pop(theirs)
        for leaf in ("weight", "bias"):
            for theirs, ours in _INSIDE.items():
                found[f"{ours}.{leaf}"] = parts.pop(f"{theirs}.{leaf}")
            stacked = [parts.pop(f"{part}.{leaf}") for part in _STACKED]
            found[f"attn.qkv.{leaf}"] = np.concatenate(stacked)
    except KeyError as error:
        raise UserError(f"layer {number} of the ONNX graph lacks {error.args[0]}.") from None
    if parts:
        raise UserError(
            f"layer {number} of the ONNX graph has '{min(parts)}', which timm's ViT has not."
        )
    return found


def _graph(content: bytes) -> Any:
    onnx = optional("onnx")
    try:
        return onnx.load_model_from_string(content).graph
    # protobuf's DecodeError has no home that one may import.
    except Exception as error:
        raise UserError(f"the file is no ONNX graph ({type(error).__name__}).") from None


def _named(graph: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the transformer's initialisers by the name that Hugging Face has for them.

    Raises:
        UserError: one whose place is not known, or two of one place.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    names = {name: name.removeprefix(PREFIX) for name in stored if name.startswith(PREFIX)}
    turned = set()
    inside = "/" + PREFIX.rstrip(".") + "/"
    for node in graph.node:
        if not node.name.startswith(inside):
            continue
        for used in node.input:
            if used not in stored or used in names:
                continue
            names[used] = _place(node, stored[used])
            if node.op_type == "MatMul":
                turned.add(used)
    if len(set(names.values())) < len(names):
        raise UserError("the ONNX graph has two tensors for one place of the transformer.")
    for name, place in names.items():
        array = _array(stored[name])
        yield place, array.T if name in turned else array


def _place(node: Any, tensor: Any) -> str:
    """Return whose weights an initialiser without a readable name is, by the node that uses it."""
    path = node.name.strip("/").replace("/", ".").removeprefix(PREFIX)
    if node.op_type == "MatMul":
        return path.removesuffix(".MatMul") + ".weight"
    shape = tuple(tensor.dims)
    if path.startswith("embeddings.") and len(shape) == 3 and shape[0] == 1:
        if node.op_type == "Concat" and shape[1] == 1:
            return _CLASS_POSITION
        if node.op_type == "Reshape":
            return _PATCH_POSITIONS
    raise UserError(
        f"the ONNX graph has a tensor of shape {shape} at {node.name}, whose place is not known."
    )


def _array(tensor: Any) -> np.ndarray:
    onnx = optional("onnx")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise UserError("the ONNX graph keeps its values in another file, which is not read.")
    array: np.ndarray = onnx.numpy_helper.to_array(tensor)
    if array.dtype != np.float32 or not np.isfinite(array).all():
        raise UserError(
            f"'{tensor.name}' of the ONNX graph has type {array.dtype}, or values that are not "
            "finite: expected finite float32."
        )
    return array
