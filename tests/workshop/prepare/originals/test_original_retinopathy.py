import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from originals_expected import expected_order, prepared, refused, source_of
from PIL import Image
from scipy.ndimage import gaussian_filter

from hydra_peft.workshop.prepare.originals.retinopathy import ORIGINAL, eye_radius, preprocess

SIZES = {"train": 9, "test": 12}


def photograph(number: int, height: int = 64, width: int = 80, radius: int = 25) -> np.ndarray:
    """A noisy orange disc on black, uint8 ``[height, width, 3]``."""
    y, x = np.mgrid[:height, :width]
    inside = (y - height // 2) ** 2 + (x - width // 2) ** 2 <= radius**2
    smooth = gaussian_filter(np.random.RandomState(number).rand(height, width), 3)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    colour = np.array([200, 120, 60]) * (0.6 + 0.4 * smooth[..., None])
    return np.where(inside[..., None], colour, 0).astype(np.uint8)


def write_jpeg(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, "JPEG", quality=95)


def eye(split: str, number: int) -> str:
    return f"{10 * SIZES[split] + number // 2}_{('left', 'right')[number % 2]}"


def usage(number: int) -> str:
    return "Public" if number % 3 == 1 else "Private"


@pytest.fixture
def root(tmp_path):
    for split, size in SIZES.items():
        for number in range(size):
            write_jpeg(tmp_path / split / f"{eye(split, number)}.jpeg", photograph(number))
    rows = [f"{eye('train', i)},{i % 5}" for i in range(9)]
    (tmp_path / "trainLabels.csv").write_text("\n".join(["image,level", *rows]) + "\n")
    rows = [f"{eye('test', i)},{(i + 2) % 5},{usage(i)}" for i in range(12)]
    (tmp_path / "retinopathy_solution.csv").write_text("\n".join(["image,level,Usage", *rows]))
    return tmp_path


def by_opencv(path: Path) -> bytes:
    """The configuration btgraham-300, written out in floating point as published."""
    image = cv2.imdecode(np.fromfile(path, np.uint8), flags=3)
    sums = image[len(image) // 2].astype(float).sum(axis=1)
    radius = (sums > sums.mean() / 10.0).sum() / 2.0
    if radius < 1.0:
        radius = len(image) / 2.0
    image = cv2.resize(image, None, fx=300 / radius, fy=300 / radius)
    image = cv2.addWeighted(image, 4, cv2.GaussianBlur(image, (0, 0), 300 / 30), -4, 128)
    height, width = image.shape[:2]
    mask = np.zeros(image.shape)
    cv2.circle(mask, (width // 2, height // 2), int(300 * 0.9), (1, 1, 1), -1)
    image = image * mask + (1 - mask) * 128
    rows = slice(max(height // 2 - 270, 0), min(height // 2 + 270, height))
    columns = slice(max(width // 2 - 270, 0), min(width // 2 + 270, width))
    whole = image[rows, columns].astype(np.uint8)
    return cv2.imencode(".jpg", whole, [int(cv2.IMWRITE_JPEG_QUALITY), 72])[1].tobytes()


def test_members_order_labels_and_bytes(root):
    splits = prepared(ORIGINAL, "retinopathy", root)
    numbers = {
        "train": list(range(9)),
        "validation": [i for i in range(12) if usage(i) == "Public"],
        "test": [i for i in range(12) if usage(i) == "Private"],
    }
    for split, pool, size in (
        ("train800", "train", 4),
        ("val200", "validation", 3),
        ("test", "test", 8),
    ):
        folder = "train" if pool == "train" else "test"
        keys = [eye(folder, i) for i in numbers[pool]]
        order = expected_order(keys, pool)[:size]
        assert splits[split].keys == [keys[i] for i in order]
        shift = 0 if pool == "train" else 2
        assert splits[split].labels == [(numbers[pool][i] + shift) % 5 for i in order]
        stored = [by_opencv(root / folder / f"{keys[i]}.jpeg") for i in order]
        assert splits[split].images == stored


@pytest.mark.parametrize(
    ("height", "width", "radius"),
    [(64, 80, 25), (50, 80, 40), (400, 500, 180), (61, 83, 31), (700, 900, 340), (40, 40, 60)],
)
def test_equals_the_published_steps(tmp_path, height, width, radius):
    path = tmp_path / "x.jpeg"
    write_jpeg(path, photograph(7, height, width, radius))
    assert preprocess(path) == by_opencv(path)


def test_the_steps_without_opencv(tmp_path):
    """Nearly the same in floating point: bilinear resize, Gaussian, contrast, disc, crop."""
    path = tmp_path / "x.jpeg"
    pixels = photograph(3, 300, 400, 150)
    write_jpeg(path, pixels)
    content = preprocess(path)
    found = Image.open(io.BytesIO(content))
    assert (found.format, found.size) == ("JPEG", (540, 540))
    reference = io.BytesIO()
    Image.new("RGB", (8, 8)).save(reference, "JPEG", quality=72)
    reference.seek(0)
    assert found.quantization == Image.open(reference).quantization
    with Image.open(path) as image:
        decoded = np.asarray(image).astype(float)
    row = decoded[150].sum(axis=1)
    scale = 300 / ((row > row.mean() / 10).sum() / 2)
    height, width = round(300 * scale), round(400 * scale)
    y = np.clip((np.arange(height) + 0.5) / scale - 0.5, 0, 298.999)
    x = np.clip((np.arange(width) + 0.5) / scale - 0.5, 0, 398.999)
    top, left = y.astype(int), x.astype(int)
    down, right = (y - top)[:, None, None], (x - left)[None, :, None]
    big = (1 - down) * (1 - right) * decoded[top][:, left] + down * right * decoded[top + 1][
        :, left + 1
    ]
    big += (1 - down) * right * decoded[top][:, left + 1] + down * (1 - right) * decoded[top + 1][
        :, left
    ]
    blurred = gaussian_filter(big, (10, 10, 0), mode="mirror", truncate=4)
    sharp = np.clip(4 * big - 4 * blurred + 128, 0, 255)
    cut = sharp[height // 2 - 270 : height // 2 + 270, width // 2 - 270 : width // 2 + 270]
    rows, columns = np.mgrid[-270:270, -270:270]
    distance = np.hypot(rows, columns)
    ours = np.asarray(found.convert("RGB")).astype(float)
    inner, outer = distance < 255, distance > 285
    assert np.abs(ours - cut)[inner].mean() < 4  # JPEG and 8-bit rounding, times 4
    assert np.abs(ours - 128)[outer].max() < 6


@pytest.mark.parametrize(
    ("row", "radius"),
    [
        ([[0, 0, 0]] * 4 + [[9, 9, 9]] * 5 + [[0, 0, 0]], 2.5),
        ([[0, 0, 0]] * 10, 3.5),  # black: half of the height
        ([[0, 0, 0]] * 9 + [[1, 0, 0]], 3.5),  # one pixel, which is half: below 1
        ([[0, 0, 0]] * 8 + [[1, 0, 0]] * 2, 1.0),
        ([[100, 100, 100]] * 9 + [[3, 3, 3]], 4.5),  # below a tenth of the mean
        ([[200, 255, 255]] * 10, 5.0),  # sums beyond 255
    ],
)
def test_radius_of_the_eye(row, radius):
    image = np.full((7, 10, 3), 77, np.uint8)
    image[3] = row
    assert eye_radius(image) == radius


def test_a_black_photograph_is_scaled_by_its_height(tmp_path):
    path = tmp_path / "x.jpeg"
    write_jpeg(path, np.zeros((50, 60, 3), np.uint8))
    found = Image.open(io.BytesIO(preprocess(path)))
    assert found.size == (540, 540)
    assert abs(np.asarray(found).astype(int) - 128).max() <= 1
    assert preprocess(path) == by_opencv(path)


def test_a_flat_photograph_gives_less_than_the_square(tmp_path):
    path = tmp_path / "x.jpeg"
    write_jpeg(path, photograph(1, 40, 100, 50))
    assert Image.open(io.BytesIO(preprocess(path))).size == (540, round(40 * 300 / 50))


def test_a_point_of_light_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "x.jpeg"
    pixels = np.zeros((600, 800, 3), np.uint8)
    pixels[292:308, 392:400] = 255
    write_jpeg(path, pixels)
    refused(lambda: preprocess(path), path, "few pixels")


def pools(folder):
    return ORIGINAL.pools(source_of(ORIGINAL, folder), "retinopathy")


def test_images_are_made_when_asked_for(root):
    damaged = root / "train" / f"{eye('train', 3)}.jpeg"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    found = pools(root)["train"]
    assert found.image(2)
    refused(lambda: found.image(3), damaged, "not a whole image")
    damaged.write_bytes(b"<html>")
    refused(lambda: found.image(3), damaged, "not a whole image")


@pytest.mark.parametrize("name", ["train", "test", "trainLabels.csv", "retinopathy_solution.csv"])
def test_missing_parts(root, name):
    (root / name).rename(root / ".elsewhere")
    refused(lambda: pools(root), name, "kaggle.com")


def test_missing_photograph(root):
    (root / "test" / f"{eye('test', 5)}.jpeg").unlink()
    refused(lambda: pools(root), f"{eye('test', 5)}.jpeg", "retinopathy_solution.csv")


def test_photograph_without_label(root):
    write_jpeg(root / "train/99_left.jpeg", photograph(1))
    refused(lambda: pools(root), "99_left.jpeg", "trainLabels.csv")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("99_left,5", "'5'"),
        ("99_left,-1", "'-1'"),
        ("99_left,1.0", "'1.0'"),
        ("99_left", "None"),
        (",1", "''"),
        ("90_left,1", "second time"),
    ],
)
def test_malformed_line(root, line, words):
    path = root / "trainLabels.csv"
    path.write_text(path.read_text() + line + "\n")
    refused(lambda: pools(root), f"{path}, line 11", words)


@pytest.mark.parametrize("line", ["99_left,1,public", "99_left,1,", "99_left,1"])
def test_malformed_usage(root, line):
    path = root / "retinopathy_solution.csv"
    path.write_text(path.read_text() + "\n" + line)
    refused(lambda: pools(root), f"{path}, line 14", "Public or Private")


def test_no_validation_set(root):
    path = root / "retinopathy_solution.csv"
    path.write_text(path.read_text().replace("Public", "Private"))
    refused(lambda: pools(root), path, "Usage Public")


def test_the_path_of_another_folder(root):
    path = root / "trainLabels.csv"
    path.write_text(path.read_text() + "../test/120_left,1\n")
    refused(lambda: pools(root), "../test/120_left.jpeg", path)


@pytest.mark.parametrize("text", ["", "image,level\n", "name,level\n1_left,0\n", "\x89PNG", "a\0b"])
def test_malformed_list(root, text):
    path = root / "trainLabels.csv"
    path.write_text(text, encoding="latin-1")
    refused(lambda: pools(root), path)
