"""What the tests of originals made of files expect, stated without the package's own rules."""

import hashlib
import io
import tarfile
import zipfile
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Key
from hydra_peft.workshop.prepare.originals._order import select
from hydra_peft.workshop.prepare.originals._source import SourceFolder

LIMITS = {"train800": 800, "val200": 200, "test": None}
SMALL = {"train800": 4, "val200": 3, "test": None}


def expected_order(keys, salt):
    """Places of ``keys``, ascending by the integer md5(salt + key)."""

    def number(index):
        key = keys[index]
        text = key if isinstance(key, bytes) else str(key).encode()
        return int(hashlib.md5(salt.encode() + text).hexdigest(), 16)

    return sorted(range(len(keys)), key=number)


def tfds_order(salt, keys):
    """Return ``keys`` in the order of the integers md5(salt + key)."""
    keys = list(keys)
    return [keys[place] for place in expected_order(keys, salt)]


def source_of(original, folder):
    return SourceFolder(folder, name=original.name, needs=original.needs, page=original.page)


class Prepared(NamedTuple):
    """A split: keys, labels and images in the order of the split."""

    keys: list[Key]
    labels: list[int]
    images: list[bytes | Image.Image]

    def pixels(self, index):
        """uint8 ``[h, w, 3]``, as a reader of the stored file sees it."""
        image = self.images[index]
        if isinstance(image, bytes):
            image = Image.open(io.BytesIO(image))
        return np.asarray(image.convert("RGB"))


def prepared(original, task, folder, limits=SMALL):
    """Return the splits of one of several tasks of ``original``."""
    return _prepared(original, task, source_of(original, folder), limits)


def prepare(original, folder, limits):
    """Return ``{split: [(key, label, image)]}`` and the notes of the only task of ``original``."""
    (task,) = original.tasks
    source = source_of(original, folder)
    splits = _prepared(original, task, source, limits)
    return {name: list(zip(*split, strict=True)) for name, split in splits.items()}, source.notes


def _prepared(original, task, source, limits):
    pools, slices = original.pools(source, task), original.tasks[task]
    splits = {}
    for split, indices in select(pools, slices, limits).items():
        pool = pools[slices[split].pool]
        assert pool.labels.dtype == np.int64
        splits[split] = Prepared(
            [pool.keys[i] for i in indices],
            [int(pool.labels[i]) for i in indices],
            [pool.image(i) for i in indices],
        )
    return splits


def keys_of(split):
    return [key for key, _, _ in split]


def refused(action, *words):
    """Check that ``action`` ends in one sentence that has all ``words``."""
    with pytest.raises(UserError) as caught:
        action()
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    for word in words:
        assert str(word) in message, (word, message)


def picture(number, form="JPEG", size=(5, 4)):
    """Return the bytes of a small image file; no two numbers give the same."""
    color = (number % 256, number // 256 % 256, 200)
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, form, comment=str(number).encode())
    return buffer.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content)


def pack_tar(archive, folder, *members, mode="w:gz"):
    """Pack ``members`` of ``folder`` into ``archive``."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, mode) as tar:
        for member in members:
            tar.add(folder / member, arcname=member)


def pack_zip(archive, folder):
    """Pack all files of ``folder`` into ``archive``."""
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                packed.write(path, path.relative_to(folder))
