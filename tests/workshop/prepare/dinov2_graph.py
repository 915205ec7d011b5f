"""A tiny ONNX graph with names as exporters give them to a transformer of DINOv2's form."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

WIDTH, DEPTH, GRID, PATCH = 6, 2, 3, 14


def arrays(depth: int = DEPTH) -> dict[str, np.ndarray]:
    """Return random parameters by Hugging Face's names, weights as [outputs, inputs]."""
    random = np.random.RandomState(0)

    def some(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float32)

    found = {
        "embeddings.cls_token": some(1, 1, WIDTH),
        "embeddings.patch_embeddings.projection.weight": some(WIDTH, 3, PATCH, PATCH),
        "embeddings.patch_embeddings.projection.bias": some(WIDTH),
        "layernorm.weight": some(WIDTH),
        "layernorm.bias": some(WIDTH),
        "position of the class token": some(1, 1, WIDTH),
        "positions of the patches": some(1, GRID**2, WIDTH),
    }
    sizes = {f"attention.attention.{part}": (WIDTH, WIDTH) for part in ("query", "key", "value")}
    sizes |= {"attention.output.dense": (WIDTH, WIDTH)}
    sizes |= {"mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH)}
    for i in range(depth):
        for name, (outputs, inputs) in sizes.items():
            found[f"encoder.layer.{i}.{name}.weight"] = some(outputs, inputs)
            found[f"encoder.layer.{i}.{name}.bias"] = some(outputs)
        for norm in ("norm1", "norm2"):
            found |= {
                f"encoder.layer.{i}.{norm}.{leaf}": some(WIDTH) for leaf in ("weight", "bias")
            }
        for scale in ("layer_scale1", "layer_scale2"):
            found[f"encoder.layer.{i}.{scale}.lambda1"] = some(WIDTH)
    return found


def graph(parameters: dict[str, np.ndarray]) -> bytes:
    """Return an ONNX file that holds ``parameters`` and a decoder, as exporters store them."""
    nodes, stored = [], [numpy_helper.from_array(np.ones(3, np.float32), "decoder.bn1.weight")]
    for number, (name, array) in enumerate(parameters.items(), 1957):
        path = "/backbone/" + name.removesuffix(".weight").replace(".", "/").replace(
            "layer/", "layer."
        )
        kind = "Add"
        key = f"backbone.{name}"
        if name.startswith("position"):
            kind = "Concat" if "class" in name else "Reshape"
            key, path = f"onnx::{kind}_{number}", f"/backbone/embeddings/{kind}_6"
        elif array.ndim == 2:
            kind, key, array = "MatMul", f"onnx::MatMul_{number}", array.T.copy()
        nodes.append(helper.make_node(kind, ["x", key], ["y"], name=f"{path}/{kind}"))
        if kind in ("Concat", "Reshape"):
            nodes[-1].name = path
        stored.append(numpy_helper.from_array(array, key))
    model = helper.make_model(helper.make_graph(nodes, "tiny", [], [], stored))
    content: bytes = model.SerializeToString()
    return content


def external(content: bytes) -> bytes:
    """Return the file with its first parameter of the transformer kept in another file."""
    model = onnx.load_model_from_string(content)
    tensor = model.graph.initializer[1]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    changed: bytes = model.SerializeToString()
    return changed
