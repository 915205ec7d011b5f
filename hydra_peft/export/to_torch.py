"""``to=torch``: one traced program from pixels to logits, without any code of ours or timm's."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from hydra_peft.export.card import ModelCard
from hydra_peft.export.graph import compared, image_code, preprocessing, traced
from hydra_peft.export.source import Source
from hydra_peft.files import write_json

MODEL, PREPROCESSING = "model.pt2", "preprocessing.json"


def write(source: Source, folder: Path, scored: Tensor | None) -> ModelCard:
    """Write the program into ``folder``, read it back with torch and compare its outputs.

    Raises:
        UserError: the model cannot be traced, or what was read back computes something else.
    """
    about = preprocessing(source)
    torch.export.save(
        traced(source), folder / MODEL, extra_files={PREPROCESSING: json.dumps(about)}
    )
    write_json(folder / PREPROCESSING, about)
    module = torch.export.load(folder / MODEL).module()

    @torch.no_grad()
    def compute(images: Tensor) -> Tensor:
        outputs: Tensor = module(images)
        return outputs

    said = compared(source, scored, compute, "The program read back")
    return ModelCard(
        library="pytorch",
        form=f"as a program of torch.export (torch {torch.__version__}) with any batch size",
        load=(
            f"import numpy, torch\n{image_code(source)}"
            f"model = torch.export.load('<this folder>/{MODEL}').module()\n"
            "images = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None]  # uint8\n"
            "logits = model(images)  # [batch, 3, height, width] to [batch, outputs]"
        ),
        notes=(said, f"{PREPROCESSING} says the same for programs."),
        normalises=True,
    )
