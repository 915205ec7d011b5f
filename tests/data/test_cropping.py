"""The middle of images against torchvision's transforms, and the splits that are fed with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from hydra_peft.data.cropping import middle
from hydra_peft.data.decoding import resize
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.images import ArrayImages
from hydra_peft.data.split import Split
from hydra_peft.runs.predicting import TrainedRun


@pytest.mark.parametrize("shape", [(50, 81), (81, 50), (33, 33), (32, 32), (7, 90), (375, 1242)])
def test_the_middle_is_torchvisions(shape: tuple[int, int]) -> None:
    pixels = np.random.RandomState(0).randint(0, 256, (*shape, 3)).astype(np.uint8)
    theirs = Compose([Resize(32, InterpolationMode.BICUBIC), CenterCrop(32)])
    assert np.array_equal(middle(pixels, (32, 32)), np.asarray(theirs(Image.fromarray(pixels))))


def test_the_middle_covers_a_size_that_is_no_square() -> None:
    pixels = np.zeros((10, 40, 3), dtype=np.uint8)
    pixels[:, 15:25] = 200
    assert middle(pixels, (20, 10)).shape == (20, 10, 3)
    assert (middle(pixels, (20, 10)) > 150).all()  # of 80 columns those in the middle


def test_a_cache_keeps_cropped_and_whole_images_apart(tmp_path: Path) -> None:
    images = torch.randint(0, 256, (3, 8, 20, 3), dtype=torch.uint8)
    split = Split({"image": ArrayImages(images)}, torch.arange(3))

    def fed(cache: Path | None, crop: bool) -> torch.Tensor:
        ready = prepare_split(split, size=(8, 8), cache=cache, title="x y", crop=crop)
        return ready.take(slice(None)).inputs["image"]  # type: ignore[return-value]

    cropped = fed(tmp_path, crop=True)
    assert torch.equal(cropped, images[:, :, 6:14].permute(0, 3, 1, 2))
    assert torch.equal(fed(None, crop=True), cropped)
    assert not torch.equal(fed(tmp_path, crop=False), cropped)
    assert torch.equal(fed(tmp_path, crop=True), cropped)


def test_new_images_are_cropped_as_a_run_was_trained() -> None:
    pixels = np.random.RandomState(1).randint(0, 256, (40, 90, 3)).astype(np.uint8)
    parts: dict[str, Any] = dict.fromkeys(f.name for f in dataclasses.fields(TrainedRun))
    for crop, expected in ((True, middle(pixels, (16, 16))), (False, resize(pixels, (16, 16)))):
        run = TrainedRun(**{**parts, "size": (16, 16), "crop": crop})
        assert np.array_equal(run._pixels(pixels).permute(1, 2, 0).numpy(), expected)
