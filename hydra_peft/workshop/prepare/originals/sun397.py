"""SUN397: 108,753 photographs of 397 kinds of scenes (Xiao et al. 2010).

tensorflow/datasets' ``sun397/tfds`` partitions them at random, in three lists that it ships. It
decodes every file with OpenCV, shrinks what has more than 120,000 pixels, and encodes the result
as a JPEG of OpenCV's default quality (95; its description says 72, its code does not).

Here the images that are shrunk are encoded in the same way. For the others that second encoding
would only add noise, so their pixels are kept: as the file they came in, or as a PNG where the
readers of this package would see other pixels in the file than OpenCV does.

Not read through torchvision, whose class has no partition and decodes the images.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from hydra_peft.data.decoding import FORMATS
from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import THREE_POOLS, Original, Pool, RemoteFile
from hydra_peft.workshop.prepare.originals._image_files import image_bytes
from hydra_peft.workshop.prepare.originals._listing import check_present
from hydra_peft.workshop.prepare.originals._optional import optional
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import (
    NAME,
    Entry,
    read_entries,
    refuse_repeats,
)

FOLDER = "SUN397"
ARCHIVE = "SUN397.tar.gz"
LISTS = {
    "train": "sun397_tfds_tr.txt",
    "validation": "sun397_tfds_va.txt",
    "test": "sun397_tfds_te.txt",
}
#: where the lists are; in the repository they are now in another folder, datasets/sun397
SHIPPED = (
    "the Python package tensorflow-datasets 4.9.10, folder tensorflow_datasets/image_classification"
)
SIZES = {"train": 76_128, "validation": 10_875, "test": 21_750}
CLASSES = 397
MOST_PIXELS = 120_000
#: by how much two decoders of one JPEG may differ
ROUNDING = 2


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train``, ``validation`` and ``test``; keys are ``/a/abbey/sun_x.jpg``.

    A label is the position of the path without the file's name among all such paths.

    Raises:
        UserError: a list or a listed image is missing, a line is malformed, or an image is
            listed twice.
    """
    lists = {split: _entries(source, name) for split, name in LISTS.items()}
    every = [entry for entries in lists.values() for entry in entries]
    refuse_repeats(every)
    classes = sorted({entry.fields[1] for entry in every})
    source.expect_count("classes", len(classes), CLASSES)
    labels = {name: label for label, name in enumerate(classes)}
    root = source.folder_or_file(FOLDER, archives=[ARCHIVE])
    for split, entries in lists.items():
        check_present(root, [e.fields[0][1:] for e in entries], entries[0].listing)
        source.expect_count(f"images in {LISTS[split]}", len(entries), SIZES[split])
    source.note(
        f"{source.name}: images of at most {MOST_PIXELS:,} pixels are kept without loss, where "
        "tensorflow/datasets encodes them anew as JPEG."
    )
    return {split: _pool(root, entries, labels) for split, entries in lists.items()}


def _entries(source: SourceFolder, name: str) -> list[Entry]:
    if source.find(name) is None:
        raise UserError(
            f"{FOLDER}: {name} is not in {source.folder}; the partition is random and cannot be "
            f"rebuilt without it: put {', '.join(LISTS.values())} there, from {SHIPPED}."
        )
    return read_entries(source.file(name), rf"(((?:/{NAME})+)/{NAME}\.jpg)", "/a/abbey/sun_x.jpg")


def _pool(root: Path, entries: list[Entry], labels: dict[str, int]) -> Pool:
    return Pool(
        keys=[entry.fields[0] for entry in entries],
        labels=np.array([labels[entry.fields[1]] for entry in entries], dtype=np.int64),
        image=lambda index: _image(root / entries[index].fields[0][1:], entries[index]),
    )


def _image(path: Path, entry: Entry) -> Image.Image | bytes:
    content = image_bytes(path)
    by_pil = _decode_by_pil(content, path, entry)
    by_opencv = _decode_by_opencv(content)
    # tensorflow/datasets turns to TensorFlow for what OpenCV does not know.
    pixels = by_pil if by_opencv is None else by_opencv
    if pixels.shape[0] * pixels.shape[1] > MOST_PIXELS:
        return _shrunk(pixels)
    return content if _alike(by_pil, pixels) else Image.fromarray(pixels)


def _decode_by_pil(content: bytes, path: Path, entry: Entry) -> np.ndarray:
    """Return the image as the readers of this package see it, RGB, uint8 ``[h, w, 3]``."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # PIL has no common base for what a malformed file raises
        raise UserError(
            f"{path} cannot be decoded ({error}): unpack it again, or if it is damaged in the "
            f"archive too, leave it out by taking out {entry} and giving partial=true."
        ) from None


def _decode_by_opencv(content: bytes) -> np.ndarray | None:
    """Return the image as OpenCV sees it, likewise, or None if it does not know the format.

    OpenCV turns an image as its EXIF orientation says, scales 16 bits to 8, and has its own way
    with ink colours.
    """
    cv2 = optional("cv2")
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if pixels is None else np.ascontiguousarray(pixels[..., ::-1])


def _alike(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two images are the same but for the rounding of two JPEG decoders."""
    if first.shape != second.shape:
        return False
    return int(np.abs(first.astype(np.int16) - second).max()) <= ROUNDING


def _shrunk(pixels: np.ndarray) -> bytes:
    cv2 = optional("cv2")
    height, width, _ = pixels.shape
    factor = np.sqrt(MOST_PIXELS / (height * width))
    # Bilinear, which is OpenCV's default.
    small = cv2.resize(pixels, dsize=None, fx=factor, fy=factor)
    done, encoded = cv2.imencode(".jpg", np.ascontiguousarray(small[..., ::-1]))
    assert done, "OpenCV encodes any uint8 image of three channels"
    return bytes(encoded)


ORIGINAL = Original(
    name="SUN397",
    tasks={"sun397": THREE_POOLS},
    # URL and MD5: torchvision, sun397.py; size and sha256: tensorflow/datasets,
    # datasets/sun397/checksums.tsv. The lists have no lasting address: they have moved within the
    # repository.
    files=(
        RemoteFile(
            ARCHIVE,
            "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
            md5="8ca2778205c41d23104230ba66911c7a",
            size=39_077_296_924,
            sha256="f404130965a7ad77bed5ececc71e720ab50f3cc1e1bb257257610d38f3b928ec",
        ),
    ),
    page="https://vision.princeton.edu/projects/2010/SUN/",
    needs=(
        f"{ARCHIVE}, or from it the folder {FOLDER}",
        f"{', '.join(LISTS.values())} from {SHIPPED}",
    ),
    pools=_pools,
)
