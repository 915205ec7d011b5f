"""A run's model as one traced graph from pixels to logits, and its comparison with the run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.errors import UserError, reason_of
from hydra_peft.export.card import resizing
from hydra_peft.export.plain import merged_copy, other_form
from hydra_peft.export.source import Source, check_same_outputs, normalised, outputs_of

#: names of the graph's input and output
INPUT, OUTPUT = "images", "logits"


class FromPixels(nn.Module):
    """A model behind the normalisation of its images: uint8 ``[b, 3, h, w]`` to logits.

    Args:
        model: takes float32 ``[b, 3, h, w]``.
        mean, std: by channel, of images in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs of the model, float32 ``[b, outputs]``."""
        out: Tensor = self.model((images.to(torch.float32) / 255 - self.mean) / self.std)
        return out


def traced(source: Source) -> torch.export.ExportedProgram:
    """Return the run's model, merged where it can be, as torch.export traces it; any batch size.

    Raises:
        UserError: the model cannot be traced.
    """
    try:
        model = merged_copy(source.run.model)
    except UserError:  # its adapters are traced like the rest
        model = copy.deepcopy(source.run.model)
    model = FromPixels(model.requires_grad_(False), source.mean, source.std).eval()
    batch = torch.export.Dim("batch", min=1, max=2**31 - 1)  # torch 2.6 wants an end
    try:
        return torch.export.export(
            model, (source.images[:2],), dynamic_shapes={"images": {0: batch}}, strict=False
        )
    except Exception as error:  # what a tracer makes of odd code is its own
        raise UserError(
            f"torch.export cannot trace this model ({type(error).__name__}: "
            f"{reason_of(error)}): {other_form(source.run.model)}."
        ) from None


def compared(
    source: Source, scored: Tensor | None, compute: Callable[[Tensor], Tensor], what: str
) -> str:
    """Compare a model that was read back with the run's, on random images and on scored ones.

    Args:
        scored: uint8 ``[n, 3, height, width]`` of the split that counts; None where there are none.
        compute: what was read back, from uint8 images to outputs.
        what: its name.

    Returns:
        A sentence on what was compared.

    Raises:
        UserError: outputs differ by more than rounding.
    """
    check_same_outputs(compute(source.images), source.outputs, what)
    check_same_outputs(compute(source.images[:1]), source.outputs[:1], what)
    said = f"{what} was compared with the run's model on {len(source.images)} random images"
    if scored is None:
        return f"{said}."
    own = outputs_of(source.run.model, normalised(scored, source.mean, source.std))
    theirs = compute(scored)
    check_same_outputs(theirs, own, what)
    task = source.run.config.task()
    answers = [task.answers(task.probabilities(out), source.classes) for out in (own, theirs)]
    same = sum(first == second for first, second in zip(*answers, strict=True))
    return (
        f"{said} and {len(scored)} of {source.run.record.split}: outputs differ by at most "
        f"{float((own - theirs).abs().max()):.1g}, predictions are the same for {same}."
    )


def preprocessing(source: Source) -> dict[str, Any]:
    """Return what programs need to know to feed the graph, and to read what it says."""
    height, width = source.size
    return {
        "input": {
            "name": INPUT,
            "dtype": "uint8",
            "shape": ["batch", 3, height, width],
            "colours": "RGB",
            "resizing": resizing(source),
            "normalisation": "inside",
        },
        "output": {"name": OUTPUT, "dtype": "float32", "shape": ["batch", source.stock.outputs]},
        "task": source.run.config.task().kind,
        "classes": list(source.classes),
    }


def image_code(source: Source) -> str:
    """Return Python code that makes ``image`` of a file, in the model's size."""
    height, width = source.size
    opened = "image = Image.open('one.png').convert('RGB')"
    if not source.crop:
        return f"from PIL import Image\n\n{opened}.resize({(width, height)}, Image.BICUBIC)\n"
    short = min(height, width)
    return (
        "from PIL import Image\nfrom torchvision import transforms\n\n"
        f"{opened}\n"
        f"image = transforms.Resize({short}, transforms.InterpolationMode.BICUBIC)(image)\n"
        f"image = transforms.CenterCrop({(height, width)})(image)\n"
    )
