"""A prepared root in the community layout, small: what an unpacked archive looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

LISTS = {
    "train800": "train800.txt",
    "val200": "val200.txt",
    "train": "train800val200.txt",
    "test": "test.txt",
}


def write_task(
    folder: Path,
    *,
    classes: int,
    train800: int = 8,
    val200: int = 4,
    test: int = 10,
    seed: int = 0,
    **further: int,
) -> None:
    """Write one task's folder as NOAH's script lays it out: JPEG files, four lists.

    Args:
        further: sizes of other splits by name.
    """
    random = np.random.RandomState(seed)
    parts = {}
    sizes = {"train800": train800, "val200": val200, "test": test, **further}
    for split, count in sizes.items():
        pixels = random.randint(0, 256, (count, 20, 24, 3), np.uint8)
        parts[split] = [(image, i % classes) for i, image in enumerate(pixels)]
    parts["train800val200"] = parts["train800"] + parts["val200"]
    for split, members in parts.items():
        (folder / "images" / split).mkdir(parents=True)
        lines = []
        for number, (image, label) in enumerate(members):
            name = f"images/{split}/{number:06d}.jpg"
            Image.fromarray(image).save(folder / name)
            lines.append(f"{name} {label}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
