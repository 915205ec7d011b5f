"""Images as they come, equal to the field's plain pipeline bit by bit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize, ToTensor
from torchvision.transforms.functional import pil_to_tensor

from hydra_peft.data.decoding import in_threads, read_image, resize
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.images import FileImages
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.training.batches import Normalizer
from hydra_peft.workshop.prepare.originals._image_files import photo

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.RandomState(7).randint(0, np.iinfo(dtype).max, shape).astype(dtype)


def write_kinds(folder: Path) -> list[Path]:
    """One file of each kind that prepared data comes in."""
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter turn
    files = {
        "rgb.jpg": (Image.fromarray(noise(40, 61, 3)), {}),
        "gray.jpg": (Image.fromarray(noise(33, 20)), {}),
        "cmyk.jpg": (Image.fromarray(noise(30, 31, 4), "CMYK"), {}),
        "turned.jpg": (Image.fromarray(noise(50, 20, 3)), {"exif": exif}),
        "rgb.png": (Image.fromarray(noise(300, 240, 3)), {}),
        "palette.png": (Image.fromarray(noise(20, 20, 3)).convert("P"), {}),
        "alpha.png": (Image.fromarray(noise(20, 21, 4), "RGBA"), {}),
        "deep.png": (Image.fromarray(noise(18, 19, dtype=np.uint16)), {}),
        "bits.png": (Image.fromarray(noise(18, 19) > 99), {}),
        "right.png": (Image.fromarray(noise(24, 16, 3)), {}),
    }
    for name, (image, options) in files.items():
        image.save(folder / name, **options)
    return [folder / name for name in files]


@pytest.mark.parametrize(("mean", "std"), [HALF, IMAGENET])
@pytest.mark.parametrize("cached", [True, False])
def test_equals_the_plain_pipeline(
    tmp_path: Path, mean: tuple[float, ...], std: tuple[float, ...], cached: bool
) -> None:
    files = write_kinds(tmp_path)
    plain = Compose([Resize((24, 16), InterpolationMode.BICUBIC), ToTensor(), Normalize(mean, std)])
    expected = torch.stack([plain(Image.open(file).convert("RGB")) for file in files])
    images = FileImages(files, tmp_path / "index.safetensors", "kinds", tmp_path)
    split = prepare_split(
        Split({"image": images}, torch.arange(len(files))),
        size=(24, 16),
        cache=tmp_path / "cache" if cached else None,
        title="kinds",
    )
    ours = Normalizer(mean, std, torch.device("cpu"))(split.take(slice(None)))
    assert torch.equal(ours, expected)


def test_resize_equals_torchvision_and_leaves_the_right_size_alone() -> None:
    pixels = noise(20, 31, 3)
    transform = Resize((24, 16), InterpolationMode.BICUBIC)
    expected = pil_to_tensor(transform(Image.fromarray(pixels))).permute(1, 2, 0).numpy()
    assert (resize(pixels, (24, 16)) == expected).all()
    assert resize(pixels, (20, 31)) is pixels


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "empty", "folder", "pipe"])
def test_unreadable_images_are_named(tmp_path: Path, damage: str) -> None:
    file = tmp_path / "000000.jpg"
    if damage == "folder":
        file.mkdir()
    elif damage == "pipe":
        os.mkfifo(file)
    elif damage != "missing":
        Image.fromarray(noise(64, 64, 3)).save(file)
        content = {"truncated": file.read_bytes()[:900], "foreign": b"GIF87a??", "empty": b""}
        file.write_bytes(content[damage])
    with pytest.raises(UserError, match=r"cannot read the image .*000000\.jpg: .+; fetch") as told:
        read_image(file)
    assert ("it is damaged, or none of JPEG, PNG, " in str(told.value)) == (
        damage in ("foreign", "empty")
    )


def test_what_a_library_says_is_gone_on_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)
    with pytest.raises(UserError, match="decompression bomb DOS attack; fetch or prepare it again"):
        read_image(tmp_path / "a.png")


def test_no_other_program_is_run_on_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PIL finds formats by content, and hands PostScript to Ghostscript."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it is run"))
    file = tmp_path / "000000.jpg"
    Image.fromarray(noise(9, 7, 3)).save(file, format="EPS")
    for read in (read_image, photo):
        with pytest.raises(UserError, match=r"000000\.jpg"):
            read(file)


def test_threads_keep_the_order_and_pass_errors_on() -> None:
    assert list(in_threads(lambda x: x * x, range(50))) == [(x, x * x) for x in range(50)]
    assert list(in_threads(str, [])) == []

    def fail(x: int) -> int:
        if x == 7:
            raise UserError("seven")
        return x

    with pytest.raises(UserError, match="seven"):
        list(in_threads(fail, range(50)))
