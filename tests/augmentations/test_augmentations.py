"""Augmentations against torchvision's own transforms, image by image."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

from hydra_peft.augmentations import augmentation_class
from hydra_peft.augmentations._base import Augmentation
from hydra_peft.augmentations.crop import Crop
from hydra_peft.augmentations.flip import Flip
from hydra_peft.augmentations.none import Unchanged
from hydra_peft.augmentations.randaugment import OPERATIONS, SIGNED, RandAugment
from hydra_peft.errors import UserError

ALL = (Flip(), Crop(flip=0.5), RandAugment(flip=0.5), Unchanged())
#: their names in torchvision's table
THEIRS = {name: "".join(part.title() for part in name.split("_")) for name in OPERATIONS}
THEIRS["autocontrast"] = "AutoContrast"


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images() -> Tensor:
    """Return noise on a gradient, not square: uint8 ``[24, 3, 20, 30]``."""
    noise = torch.randint(0, 120, (24, 3, 20, 30), generator=numbers(7), dtype=torch.uint8)
    return noise + torch.arange(0, 120, 4, dtype=torch.uint8)


@pytest.mark.parametrize("augmentation", ALL, ids=lambda one: one.name)
def test_images_are_drawn_one_by_one_and_stay_as_they_are(
    augmentation: Augmentation, images: Tensor
) -> None:
    same = images[:1].expand_as(images).contiguous()
    before = same.clone()
    draws = augmentation.draw(24, (20, 30), numbers())
    made = augmentation.apply(same, draws)
    assert made.dtype == torch.uint8
    assert made.shape == same.shape
    assert torch.equal(same, before)
    kinds = len({image.numpy().tobytes() for image in made})
    assert kinds == {"none": 1, "flip": 2}.get(augmentation.name, kinds)
    assert kinds > 15 or augmentation.name in ("none", "flip")
    # What happens to an image does not depend on which others are in the batch.
    for rows in (slice(0, 5), slice(5, 24)):
        assert torch.equal(augmentation.apply(same[rows], draws[rows]), made[rows])
    again = augmentation.apply(same, augmentation.draw(24, (20, 30), numbers()))
    assert torch.equal(made, again)


def test_flips_are_those_of_torchvision(images: Tensor) -> None:
    draws = Flip().draw(24, (20, 30), numbers())
    made = Flip().apply(images, draws)
    assert 6 <= int(draws.sum()) <= 18
    for image, result, chosen in zip(images, made, draws[:, 0].tolist(), strict=True):
        assert torch.equal(result, F.horizontal_flip(image) if chosen else image)
    for probability in (0.0, 1.0):
        all_or_none = Flip(flip=probability).draw(24, (20, 30), numbers())
        assert all_or_none.unique().tolist() == [int(probability)]


def test_crops_are_those_of_torchvision(images: Tensor) -> None:
    crop = Crop(scale=[0.1, 0.6], flip=0.5)
    draws = crop.draw(24, (20, 30), numbers())
    made = crop.apply(images, draws)
    for image, result, (top, left, height, width, flip) in zip(
        images, made, draws.tolist(), strict=True
    ):
        theirs = F.resized_crop(image.float(), top, left, height, width, [20, 30])
        theirs = F.horizontal_flip(theirs) if flip else theirs
        assert (result - theirs).abs().max() <= 0.501  # theirs is not rounded


def test_the_whole_image_as_crop_is_the_image(images: Tensor) -> None:
    boxes = torch.tensor([[0, 0, 20, 30, 0]]).expand(24, -1)
    assert torch.equal(Crop().apply(images, boxes), images)


def test_crops_are_distributed_as_those_of_torchvision() -> None:
    draws = Crop().draw(4000, (32, 32), numbers()).double()
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(32)
    image = [torch.zeros(3, 32, 32)]
    keys = ("top", "left", "height", "width")
    theirs = torch.tensor([[transform.make_params(image)[k] for k in keys] for _ in range(2000)])
    for column in range(4):
        ours = draws[:, column]
        # Means of 4000 and 2000 draws, of a deviation of 7 pixels: four standard errors.
        assert ours.mean() == pytest.approx(theirs[:, column].double().mean().item(), abs=0.8)
        assert ours.std() == pytest.approx(theirs[:, column].double().std().item(), abs=0.5)
    assert (draws[:, 0] + draws[:, 2] <= 32).all()
    assert (draws[:, 1] + draws[:, 3] <= 32).all()
    assert (draws[:, 2:4] >= 1).all()


@pytest.mark.parametrize(
    ("size", "box"), [((10, 100), (0, 43, 10, 13)), ((100, 10), (43, 0, 13, 10))]
)
def test_where_no_crop_fits_the_middle_is_taken(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    draws = Crop(scale=[1.0, 1.0]).draw(3, size, numbers())
    assert draws[:, :4].tolist() == [list(box)] * 3
    torch.manual_seed(0)
    theirs = v2.RandomResizedCrop(8, scale=(1.0, 1.0)).make_params([torch.zeros(3, *size)])
    assert tuple(theirs[key] for key in ("top", "left", "height", "width")) == box


@pytest.mark.parametrize("magnitude", [0, 9, 10, 30])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_changes_are_those_of_torchvisions_randaugment(
    operation: str, magnitude: int, images: Tensor
) -> None:
    signs = (-1, 1) if operation in SIGNED else (1,)
    ours, theirs = RandAugment(number=1, magnitude=magnitude), v2.RandAugment()
    magnitudes, signed = theirs._AUGMENTATION_SPACE[THEIRS[operation]]
    levels = magnitudes(31, 20, 30)
    level = 0.0 if levels is None else float(levels[magnitude])
    assert signed == (operation in SIGNED)
    for sign in signs:
        draws = torch.tensor([[OPERATIONS.index(operation), sign, 0]]).expand(24, -1)
        made = ours.apply(images, draws)
        for image, result in zip(images[:4], made[:4], strict=True):
            expected = theirs._apply_image_or_video_transform(
                image,
                THEIRS[operation],
                sign * level,
                interpolation=InterpolationMode.NEAREST,
                fill={},
            )
            assert torch.equal(result, expected)


def test_randaugment_draws_all_changes_with_both_signs() -> None:
    draws = RandAugment(number=3).draw(2000, (32, 32), numbers())
    assert draws.shape == (2000, 7)
    counts = torch.bincount(draws[:, :3].flatten(), minlength=len(OPERATIONS))
    assert len(counts) == len(OPERATIONS) == 14
    assert counts.min() > 6000 / 14 * 0.8
    assert counts.max() < 6000 / 14 * 1.2
    signed = draws[:, :3] < len(SIGNED)
    assert draws[:, 3:6][signed].double().mean().abs() < 0.1
    assert (draws[:, 3:6][~signed] == 1).all()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("flip", {"flip": 1.5}, "data.augment_options.flip=1.5 is not allowed"),
        ("crop", {"scale": [0.5, 2.0]}, r"data.augment_options.scale\[1\]=2.0 is not allowed"),
        ("crop", {"scale": [0.8, 0.5]}, "the least and the greatest"),
        ("crop", {"ratio": [1.0]}, "the least and the greatest"),
        ("randaugment", {"magnitude": 31}, "at least 0 and at most 30"),
        ("randaugment", {"number": 0}, "at least 1"),
    ],
)
def test_options_have_limits(name: str, options: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        augmentation_class(name)(**options)


def test_unknown_names_get_the_known_ones() -> None:
    with pytest.raises(UserError, match="choose one of crop, flip, none, randaugment"):
        augmentation_class("mixup")
