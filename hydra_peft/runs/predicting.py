"""Predictions of a trained run for images or texts that it has never seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from hydra_peft.adaptation.merging import merge
from hydra_peft.adapters.base import NotMergeable
from hydra_peft.backbones.inputs import image_size, preparation, text_encoding
from hydra_peft.data.cropping import middle
from hydra_peft.data.decoding import in_threads, read_image, resize
from hydra_peft.data.sources import text_columns
from hydra_peft.data.split import Batch, Rows, Split, Texts
from hydra_peft.data.tokenizer import Encoding
from hydra_peft.errors import UserError
from hydra_peft.files import named_path
from hydra_peft.plain_text import quoted
from hydra_peft.runs.folder import check_run_folder
from hydra_peft.runs.rebuild import rebuild
from hydra_peft.runs.record import Record, class_names
from hydra_peft.tasks import Task
from hydra_peft.training.batches import Prepare
from hydra_peft.training.devices import exact_float32, resolve_device
from hydra_peft.training.evaluation import predict

Item = TypeVar("Item")

#: images a batch: few enough that a progress bar moves on a CPU
_AT_ONCE = 64
#: what is to be done about an image that cannot be read
_ADVICE = "convert it, or leave it out"
#: an image as a file, as PIL's, or as uint8 ``[h, w, 3]``
AnyImage = str | Path | Image.Image | np.ndarray
#: a text, or the first and the second of a pair
AnyText = str | tuple[str, ...]


class Predictions(NamedTuple):
    """Predictions of a model for images or texts.

    Attributes:
        names: in words, one an example: the most probable class; labels that are more likely than
            not, joined by ``; ``; the value of a regression.
        probabilities: float32 ``[n, outputs]`` on the CPU: softmax over classes, sigmoid of each
            label, the value of a regression.
    """

    names: list[str]
    probabilities: Tensor


class OfFile(NamedTuple):
    """Prediction of a model for one image file.

    Attributes:
        file: the file.
        name, probabilities: see :class:`Predictions`; ``[outputs]`` of this image. None where it
            could not be read.
        error: a sentence that says why.
    """

    file: Path
    name: str | None
    probabilities: Tensor | None
    error: str = ""


@dataclass(frozen=True)
class TrainedRun:
    """The model of a completed run, ready to use.

    Attributes:
        folder: where it was loaded from.
        record: what the run recorded: scores, data, weights, versions.
        model: the backbone with adapter and head, in evaluation mode on ``device``.
        task: what it was trained for; ``task.kind`` names it.
        class_names: of the model's outputs; their numbers where the record has no names.
            Those of a regression have none.
        size: height and width, in pixels, of the images that the model is called with; None of one
            that reads texts.
        device: where it computes.
        precision: how it was trained, and computes: ``fp32`` or ``bf16``.
        crop: whether it sees the middle of images, not all of them squeezed into ``size``.
        encoding: how it reads texts; None of one that takes images.
        columns: what its task's texts are called, one or two; empty where that is not known.
    """

    folder: Path
    record: Record
    model: nn.Module
    task: Task
    class_names: tuple[str, ...]
    size: tuple[int, int] | None
    device: torch.device
    precision: str
    prepare: Prepare
    crop: bool = False
    encoding: Encoding | None = None
    columns: tuple[str, ...] = ()

    def transform(self, image: AnyImage) -> Tensor:
        """Return ``image`` as the model was trained on it: float32 ``[3, height, width]``.

        RGB, resized by PIL bicubic without regard to aspect or, where it was trained so, cropped to
        the middle; normalised; on ``device``.

        Raises:
            UserError: it cannot be read, or is no image.
        """
        rows = self._pixels(image).unsqueeze(0)
        batch = Batch({"image": rows}, torch.zeros(1)).to(self.device)
        return self.prepare(batch)[0]

    def predict(self, images: AnyImage | Iterable[AnyImage | AnyText]) -> Predictions:
        """Return what the model says of ``images``: one, or any number of them.

        Args:
            images: files, PIL images or uint8 arrays ``[height, width, 3]``; also one array
                ``[n, height, width, 3]``. For a model that reads texts: a text, or a list of texts
                or, where its task has pairs, of pairs.

        Raises:
            UserError: one of them cannot be read, it names the file; or is no text.
        """
        if not isinstance(images, str | Path | Image.Image | Iterable):
            raise UserError(
                f"an object of type {type(images).__name__} cannot be predicted: give one example "
                "or a list of them."
            )
        if self.encoding is not None:
            texts = [images] if isinstance(images, str) else list(cast(Iterable[AnyText], images))
            return self._read_texts(texts, self.encoding)
        images = cast("AnyImage | Iterable[AnyImage]", images)
        if isinstance(images, np.ndarray) and images.ndim <= 3:
            several: list[AnyImage] = [images]
        else:
            several = [images] if isinstance(images, str | Path | Image.Image) else list(images)
        if not several:
            return Predictions([], torch.empty(0, self.task.outputs))
        parts = [
            self._see([pixels for _, pixels in chunk])
            for chunk in _chunks(in_threads(self._pixels, several))
        ]
        names = [name for part in parts for name in part.names]
        return Predictions(names, torch.cat([part.probabilities for part in parts]))

    def predict_files(self, files: Sequence[Path]) -> Iterator[OfFile]:
        """Yield what the model says of each of ``files`` in order, or why it cannot be read.

        Files are decoded while the model computes; few of them are in memory at a time.
        """
        for chunk in _chunks(in_threads(self._read, files)):
            pixels = [read for _, read in chunk if isinstance(read, Tensor)]
            said = self._see(pixels) if pixels else Predictions([], torch.empty(0))
            each = zip(said.names, said.probabilities, strict=True)
            for file, read in chunk:
                if isinstance(read, Tensor):
                    yield OfFile(file, *next(each))
                else:
                    yield OfFile(file, None, None, str(read))

    def _read_texts(self, examples: Sequence[AnyText], encoding: Encoding) -> Predictions:
        if not examples:
            return Predictions([], torch.empty(0, self.task.outputs))
        rows = [tuple(one) if isinstance(one, tuple | list) else (one,) for one in examples]
        count = len(self.columns) or len(rows[0])
        for row in rows:
            if len(row) != count or not all(isinstance(text, str) for text in row):
                kind = "a text" if count == 1 else f"a pair of texts ({', '.join(self.columns)})"
                shown = quoted(row[0] if len(row) == 1 else row)
                raise UserError(
                    f"{shown} cannot be predicted: the run in {self.folder} reads {kind} as an "
                    "example."
                )
        texts = Texts(tuple(map(list, zip(*rows, strict=True))))
        return self._say(encoding.tokenizer.encode(texts, encoding.max_length), len(rows))

    def _read(self, file: Path) -> Tensor | UserError:
        try:
            return self._pixels(file)
        except UserError as error:
            return error

    def _pixels(self, image: AnyImage) -> Tensor:
        """Return ``image`` in the model's size, uint8 ``[3, height, width]``."""
        if self.size is None:
            raise UserError(f"the run in {self.folder} reads texts: it takes no images.")
        if isinstance(image, str | Path):
            array = read_image(Path(image).expanduser(), _ADVICE)
        elif isinstance(image, Image.Image):
            array = np.asarray(image.convert("RGB"))
        else:
            array = image
        shape: tuple[int, ...] = getattr(array, "shape", ())
        is_image = getattr(array, "dtype", None) == np.uint8 and len(shape) == 3 and shape[2] == 3
        if not is_image or 0 in shape:
            raise UserError(
                f"an image of type {type(image).__name__} and shape {tuple(shape)} cannot be "
                "predicted: give a file, a PIL image, or a uint8 array [height, width, 3]."
            )
        sized = (middle if self.crop else resize)(array, self.size)
        return torch.from_numpy(sized.copy()).permute(2, 0, 1)

    def _see(self, pixels: Sequence[Tensor]) -> Predictions:
        return self._say({"image": torch.stack(list(pixels))}, len(pixels))

    @exact_float32()
    def _say(self, inputs: Mapping[str, Rows], count: int) -> Predictions:
        split = Split(inputs, torch.zeros(count))
        outputs = predict(
            self.model, split, prepare=self.prepare, device=self.device, precision=self.precision
        )
        probabilities = self.task.probabilities(outputs.cpu())
        return Predictions(self.task.answers(probabilities, self.class_names), probabilities)


def load_run(
    folder: str | Path,
    *,
    merged: bool = False,
    device: str = "auto",
    checkpoint: str | None = None,
) -> TrainedRun:
    """Load the model that a run has trained, from its folder; no data is read.

    Nothing that the folder names is imported or instantiated, and its tensors are safetensors.

    Args:
        folder: a completed run's folder, as ``scripts/train.py`` printed it.
        merged: whether the branches are written into the frozen layers: plain ``nn.Linear`` again,
            as fast as the backbone, and the same outputs up to rounding.
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoint: the backbone's weights, where they have moved since; None takes the recorded.

    Raises:
        UserError: the run did not complete, its weights are not there or are others than recorded,
            its method cannot merge, or its backbone takes neither images nor texts.
    """
    folder = named_path(folder, "the run's folder")
    check_run_folder(folder)
    if not isinstance(merged, bool):
        raise UserError(f"merged={merged!r} is not allowed: it must be True or False.")
    where = resolve_device(device)
    run = rebuild(folder, checkpoint=checkpoint)
    size, dataset = image_size(run.model), run.config.dataset
    encoding = text_encoding(run.model, run.config.data.max_length)
    if size is None and encoding is None:
        raise UserError(
            f"the backbone of the run in {folder}, {run.record.model}, takes no images, and no "
            "texts that are tokenised here: prepare its inputs yourself, and call the model of "
            "hydra_peft.runs.rebuild.rebuild(folder)."
        )
    if merged:
        try:
            merge(run.model)
        except NotMergeable as error:
            raise UserError(
                f"the run in {folder} cannot be merged ({str(error).rstrip('.')}): load it with "
                "merged=False."
            ) from None
    model = run.model.to(where).eval()
    task = run.config.task()
    return TrainedRun(
        folder=folder,
        record=run.record,
        model=model,
        task=task,
        class_names=class_names(run.record, task.outputs) if task.has_classes else (),
        size=size,
        device=where,
        precision=run.config.precision,
        prepare=preparation(model, run.config.data.normalization, where),
        crop=run.config.data.crops(dataset),
        encoding=encoding,
        columns=text_columns(dataset.source, dataset.name),
    )


def _chunks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while chunk := list(islice(items, _AT_ONCE)):
        yield chunk
