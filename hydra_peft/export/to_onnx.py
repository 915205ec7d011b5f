"""``to=onnx``: one graph from pixels to logits that onnxruntime computes."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra_peft.export.card import ModelCard
from hydra_peft.export.graph import INPUT, OUTPUT, compared, image_code, preprocessing, traced
from hydra_peft.export.source import Source
from hydra_peft.files import write_json

MODEL, PREPROCESSING = "model.onnx", "preprocessing.json"
#: of ONNX's operators; the one that torch's exporter writes without converting
OPSET = 18
#: bytes beyond which weights lie beside the graph: a protobuf holds 2 GiB
_INSIDE = 1_900_000_000


def write(source: Source, folder: Path, scored: Tensor | None) -> ModelCard:
    """Write the graph into ``folder``, let onnxruntime read it back and compare its outputs.

    Raises:
        UserError: the model cannot be traced, or what was read back computes something else.
    """
    import onnxruntime

    program = traced(source)
    about = preprocessing(source) | {"opset": OPSET}
    size = sum(t.numel() * t.element_size() for t in program.state_dict.values())
    with _quietly():
        graph: Any = torch.onnx.export(
            program,
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        graph.model.metadata_props["hydra_peft"] = json.dumps(about)
        graph.save(str(folder / MODEL), external_data=size > _INSIDE)
    write_json(folder / PREPROCESSING, about)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        str(folder / MODEL), options, providers=["CPUExecutionProvider"]
    )

    def compute(images: Tensor) -> Tensor:
        (outputs,) = session.run([OUTPUT], {INPUT: images.numpy()})
        return torch.from_numpy(outputs)

    said = compared(source, scored, compute, f"The graph in onnxruntime {onnxruntime.__version__}")
    return ModelCard(
        library="onnx",
        form=f"as an ONNX graph of opset {OPSET} with any batch size",
        load=(
            f"import numpy, onnxruntime\n{image_code(source)}"
            f"session = onnxruntime.InferenceSession('<this folder>/{MODEL}')\n"
            "images = numpy.asarray(image).transpose(2, 0, 1)[None]  # uint8 [batch, 3, h, w]\n"
            f"(logits,) = session.run(None, {{'{INPUT}': images}})"
        ),
        notes=(said, f"{PREPROCESSING}, and the graph's metadata, say the same for programs."),
        normalises=True,
    )


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the exporter tells of its own progress from the terminal."""
    names = ("torch.onnx", "onnxscript", "onnx_ir")
    before = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in before.items():
                logging.getLogger(name).setLevel(level)
