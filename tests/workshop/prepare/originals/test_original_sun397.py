import io

import cv2
import numpy as np
import pytest
from originals_expected import (
    keys_of,
    pack_tar,
    picture,
    prepare,
    refused,
    source_of,
    tfds_order,
    write,
)
from PIL import Image

from hydra_peft.workshop.prepare.originals import sun397
from hydra_peft.workshop.prepare.originals.sun397 import ORIGINAL

LIMITS = {"train800": 8, "val200": 3, "test": None}
CLASSES = ["/a/abbey", "/a/apartment_building/outdoor", "/y/youth_hostel"]
LISTS = {
    "train": "sun397_tfds_tr.txt",
    "validation": "sun397_tfds_va.txt",
    "test": "sun397_tfds_te.txt",
}


def lists_of(names):
    return {"train": names[:15], "validation": names[15:21], "test": names[21:]}


@pytest.fixture
def keys():
    return lists_of([f"{kind}/sun_{'abcdefghij'[i]}x.jpg" for i in range(10) for kind in CLASSES])


@pytest.fixture
def folder(tmp_path, keys):
    number = 0
    for split, names in keys.items():
        write(tmp_path / LISTS[split], "".join(f"{name}\n" for name in names))
        for name in names:
            number += 1
            write(tmp_path / "SUN397" / name[1:], picture(number))
    write(tmp_path / "SUN397" / "ClassName.txt", "/a/abbey\n")
    return tmp_path


def read(folder):
    return lambda: ORIGINAL.pools(source_of(ORIGINAL, folder), "sun397")


def first_image(folder, keys, content):
    """Return what becomes of a file in place of the first image of train."""
    (folder / "SUN397" / keys["train"][0][1:]).write_bytes(content)
    return read(folder)()["train"].image(0)


def photograph(height, width):
    """Return smooth colours with some grain, uint8."""
    y, x = np.mgrid[:height, :width]
    channels = [128 + 100 * np.sin(x / 31), 255 * y / height, 128 + 90 * np.cos((x + y) / 47)]
    grain = np.random.RandomState(0).normal(0, 3, (height, width, 3))
    return np.clip(np.stack(channels, -1) + grain, 0, 255).astype(np.uint8)


def encode(pixels, form, **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_membership_labels_and_bytes(folder, keys):
    splits, notes = prepare(ORIGINAL, folder, LIMITS)
    assert keys_of(splits["train800"]) == tfds_order("train", keys["train"])[:8]
    assert keys_of(splits["val200"]) == tfds_order("validation", keys["validation"])[:3]
    assert keys_of(splits["test"]) == tfds_order("test", keys["test"])
    for split in splits.values():
        for key, label, image in split:
            assert label == CLASSES.index(key.rsplit("/", 1)[0])
            assert image == (folder / "SUN397" / key[1:]).read_bytes()
    assert "3 classes where 397" in notes[0]
    assert len(notes) == 5
    assert "kept without loss" in notes[4]


def test_other_counts_are_incomplete_and_kept_pixels_are_not(folder, monkeypatch):
    source = source_of(ORIGINAL, folder)
    ORIGINAL.pools(source, "sun397")
    assert [text.split(" where ")[0] for text in source.incomplete] == [
        "SUN397: 3 classes",
        "SUN397: 15 images in sun397_tfds_tr.txt",
        "SUN397: 6 images in sun397_tfds_va.txt",
        "SUN397: 9 images in sun397_tfds_te.txt",
    ]
    monkeypatch.setattr(sun397, "SIZES", {"train": 15, "validation": 6, "test": 9})
    monkeypatch.setattr(sun397, "CLASSES", 3)
    source = source_of(ORIGINAL, folder)
    ORIGINAL.pools(source, "sun397")
    assert "kept without loss" in " ".join(source.notes)
    assert source.incomplete == []


def test_archive(folder, keys, tmp_path_factory):
    packed = tmp_path_factory.mktemp("packed")
    pack_tar(packed / "SUN397.tar.gz", folder, "SUN397")
    for split, names in keys.items():
        write(packed / LISTS[split], "\n".join(names))
    assert prepare(ORIGINAL, packed, LIMITS) == prepare(ORIGINAL, folder, LIMITS)


def test_shrinks_large_images_as_published(folder, keys):
    original = encode(photograph(601, 450), "JPEG", quality=92)
    image = first_image(folder, keys, original)
    assert isinstance(image, bytes)

    # 601 x 450 = 270,450 pixels: both sides times sqrt(120000 / 270450) = 0.6661
    decoded = Image.open(io.BytesIO(image))
    assert (decoded.format, decoded.size) == ("JPEG", (300, 400))
    # OpenCV's default is quality 95, whose first luminance step is 2
    assert decoded.quantization[0][0] == 2

    blue_first = cv2.imdecode(np.frombuffer(original, np.uint8), cv2.IMREAD_COLOR)
    factor = (120_000 / (601 * 450)) ** 0.5
    small = cv2.resize(blue_first, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    assert image == cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()

    # bilinear between centres, without a filter
    pixels = np.asarray(Image.open(io.BytesIO(original)), dtype=float)
    for row, column in ((0, 0), (200, 150), (399, 299), (17, 288)):
        y = min(max((row + 0.5) / factor - 0.5, 0), 600)
        x = min(max((column + 0.5) / factor - 0.5, 0), 449)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, 600), min(left + 1, 449)
        upper = pixels[top, left] * (1 - x + left) + pixels[top, right] * (x - left)
        lower = pixels[bottom, left] * (1 - x + left) + pixels[bottom, right] * (x - left)
        expected = upper * (1 - y + top) + lower * (y - top)
        assert np.abs(small[row, column, ::-1] - expected).max() < 2


def test_keeps_images_up_to_the_limit(folder, keys):
    at_limit = encode(photograph(300, 400), "JPEG", quality=80)
    assert first_image(folder, keys, at_limit) == at_limit
    above = encode(photograph(301, 400), "JPEG", quality=80)
    assert first_image(folder, keys, above) != above


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_keeps_small_files_of_any_format(folder, keys, form, mode):
    content = encode(Image.fromarray(photograph(20, 30)).convert(mode), form)
    assert first_image(folder, keys, content) == content


def test_keeps_files_with_a_palette_or_transparency(folder, keys):
    rgb = Image.fromarray(photograph(20, 30))
    transparent = rgb.copy()
    transparent.putalpha(77)
    palette = rgb.quantize(16)
    for image, form in ((transparent, "PNG"), (palette, "PNG"), (palette, "GIF")):
        content = encode(image, form)
        assert first_image(folder, keys, content) == content


def test_stores_the_pixels_where_readers_differ(folder, keys):
    """OpenCV turns an image as its camera says, and takes the upper half of 16 bits."""
    pixels = photograph(20, 30)
    turned = Image.Exif()
    turned[0x0112] = 6
    content = encode(pixels, "JPEG", exif=turned)
    image = first_image(folder, keys, content)
    assert np.array_equal(np.asarray(image), np.rot90(Image.open(io.BytesIO(content)), -1))
    turned[0x0112] = 1
    content = encode(pixels, "JPEG", exif=turned)
    assert first_image(folder, keys, content) == content

    deep = encode(Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), "PNG")
    image = first_image(folder, keys, deep)
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.stack([pixels[..., 0]] * 3, -1))


def test_takes_pil_for_what_opencv_does_not_know(folder, keys, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    small = encode(Image.fromarray(photograph(20, 30)).quantize(16), "GIF")
    assert first_image(folder, keys, small) == small
    large = first_image(folder, keys, encode(photograph(400, 500), "PNG"))
    assert Image.open(io.BytesIO(large)).size == (387, 310)


@pytest.mark.parametrize("name", LISTS.values())
def test_refuses_a_missing_list(folder, name):
    (folder / name).unlink()
    refused(
        read(folder),
        f"{name} is not in {folder}",
        "cannot be rebuilt",
        "Python package tensorflow-datasets 4.9.10, folder "
        "tensorflow_datasets/image_classification",
    )


def test_refuses_missing_images(folder, keys):
    (folder / "SUN397" / keys["test"][1][1:]).unlink()
    refused(read(folder), keys["test"][1][1:], "sun397_tfds_te.txt", "unpack")
    (folder / "SUN397").rename(folder / "SUN")
    refused(read(folder), "SUN397.tar.gz", ORIGINAL.page)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a/abbey/sun_k.jpg", ("te.txt, line 10", "/a/abbey/sun_x.jpg")),
        ("/a/../sun_k.jpg", ("te.txt, line 10", "/a/abbey/sun_x.jpg")),
        ("/a/abbey/sun_k.png", ("te.txt, line 10", "/a/abbey/sun_x.jpg")),
        ("/sun_k.jpg", ("te.txt, line 10", "/a/abbey/sun_x.jpg")),
        ("/a/abbey/sun_ax.jpg", ("te.txt, line 10", "stands already", "tr.txt, line 1")),
    ],
)
def test_refuses_malformed_lines(folder, line, words):
    with (folder / LISTS["test"]).open("a") as file:
        file.write(line)
    refused(read(folder), *words)


@pytest.mark.parametrize("damage", [slice(-12), slice(50), slice(0), slice(700, None)])
def test_names_images_that_cannot_be_decoded(folder, keys, damage):
    content = encode(photograph(20, 30), "JPEG")[damage]
    refused(
        lambda: first_image(folder, keys, content),
        folder / "SUN397" / keys["train"][0][1:],
        "sun397_tfds_tr.txt, line 1",
        "partial=true",
    )
