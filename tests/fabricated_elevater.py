"""The twenty data sets of ELEVATER in their original formats, with few images of each class."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import scipy.io
from PIL import Image

from hydra_peft.data.prompts import find_prompts


def keys(task: str) -> tuple[str, ...]:
    """Return the names that the classes of ``task`` have in the original, by label."""
    prompts = find_prompts("elevater", task)
    assert prompts is not None
    return prompts.keys


def pixels(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return pixels that no other name has."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def ppm(path: Path) -> None:
    """Write a small image, in a format that takes no time, whatever its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"P6 4 4 255\n" + pixels(str(path), (4, 4, 3)).tobytes())


def png(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(pixels(str(path), (4, 6, 3))).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


def text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def caltech101(root: Path, each: int) -> None:
    folders = ["BACKGROUND_Google", "Faces", "Faces_easy", "Leopards", "Motorbikes"]
    for numbers, split in ((range(1, each + 1), "train"), ([each + 1], "test")):
        every = [(f, n) for n in numbers for f in [*folders, *keys("caltech101")[5:]]]
        names = [f"{folder}/image_{number:04d}.jpg" for folder, number in every]
        for name in names:
            ppm(root / "101_ObjectCategories" / name)
        text(root / f"caltech101_{split}.txt", names)


def cifar(root: Path, files: dict[str, list[tuple[int, ...]]]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, labels in files.items():
        records = [
            bytes(own) + pixels(f"{root}{name}{i}", (3072,)).tobytes()
            for i, own in enumerate(labels)
        ]
        (root / name).write_bytes(b"".join(records))


def cifar10(root: Path, each: int) -> None:  # noqa: ARG001
    batches = {f"data_batch_{n}.bin": [(label,) for label in range(10)] for n in range(1, 6)}
    tested = {"test_batch.bin": [(label,) for label in range(10)]}
    cifar(root / "cifar-10-batches-bin", batches | tested)


def cifar100(root: Path, each: int) -> None:
    every = [(label % 20, label) for label in range(100)]
    cifar(root / "cifar-100-binary", {"train.bin": every * each, "test.bin": every})


def country211(root: Path, each: int) -> None:
    for split, count in (("train", each), ("test", 1)):
        for code in keys("country211"):
            for number in range(1, count + 1):
                ppm(root / "country211" / split / code / f"{number}.jpg")


def dtd(root: Path, each: int) -> None:
    for split in ("train", "val", "test"):
        marks = [split, *(f"{split}{n}" for n in range(1, each if split == "train" else 1))]
        names = [f"{name}/{name}_{mark}.jpg" for name in keys("dtd") for mark in marks]
        for name in names:
            ppm(root / "dtd" / "images" / name)
        text(root / "dtd" / "labels" / f"{split}1.txt", names)


def eurosat(root: Path, each: int) -> None:  # noqa: ARG001
    for name in keys("eurosat"):
        for number in range(8):
            ppm(root / "2750" / name / f"{name}_{number}.jpg")


def fer2013(root: Path, each: int) -> None:  # noqa: ARG001
    lines = ["emotion,pixels,Usage"]
    for usage in ("Training", "Training", "PublicTest", "PrivateTest"):
        for emotion in range(7):
            values = pixels(f"{usage}{emotion}{len(lines)}", (48 * 48,))
            lines.append(f"{emotion},{' '.join(map(str, values))},{usage}")
    text(root / "fer2013.csv", lines)


def fgvc_aircraft(root: Path, each: int) -> None:
    data, number = root / "fgvc-aircraft-2013b" / "data", 1000
    for split, count in (("train", each), ("test", 1)):
        lines = []
        for name in keys("fgvc_aircraft") * count:
            number += 1
            ppm(data / "images" / f"{number}.jpg")
            lines.append(f"{number} {name}")
        text(data / f"images_variant_{split}.txt", lines)


def flowers102(root: Path, each: int) -> None:
    counts, start, sets = {"trnid": each, "valid": 1, "tstid": 1}, 1, {}
    for name, count in counts.items():
        sets[name] = np.arange(start, start + 102 * count)
        start += 102 * count
    for number in range(1, start):
        ppm(root / "jpg" / f"image_{number:05d}.jpg")
    labels = np.array([(number - 1) % 102 + 1 for number in range(1, start)])
    scipy.io.savemat(root / "imagelabels.mat", {"labels": labels})
    scipy.io.savemat(root / "setid.mat", sets)


def food101(root: Path, each: int) -> None:
    for numbers, split in ((range(11, 11 + each), "train"), ([10], "test")):
        names = sorted(f"{name}/{number}" for name in keys("food101") for number in numbers)
        for name in names:
            ppm(root / "food-101" / "images" / f"{name}.jpg")
        text(root / "food-101" / "meta" / f"{split}.txt", names)


def gtsrb(root: Path, each: int) -> None:
    rows = ["Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"]
    for label in range(43):
        folder = root / "GTSRB" / "Training" / f"{label:05d}"
        for number in range(each):
            ppm(folder / f"00000_{number:05d}.ppm")
        text(folder / f"GT-{label:05d}.csv", ["Filename;Width"])
        ppm(root / "GTSRB" / "Final_Test" / "Images" / f"{label:05d}.ppm")
        rows.append(f"{label:05d}.ppm;4;4;0;0;3;3;{42 - label}")
    text(root / "GT-final_test.csv", rows)


def hateful_memes(root: Path, each: int) -> None:  # noqa: ARG001
    for split, numbers in (("train", range(8)), ("dev_seen", range(8, 14))):
        lines = []
        for number in numbers:
            png(root / "img" / f"{number:05d}.png")
            values = {"id": number, "img": f"img/{number:05d}.png", "label": number % 2, "text": ""}
            lines.append(json.dumps(values))
        text(root / f"{split}.jsonl", lines)


def kitti_distance(root: Path, each: int) -> None:  # noqa: ARG001
    # Ten videos with a frame of each class.
    for number in range(40):
        png(root / "training" / "image_2" / f"{number:06d}.png")
        z = (5.0, 15.0, 50.0, None)[number % 4]
        kind, z = ("Pedestrian", 3.0) if z is None else ("Car", z)
        line = f"{kind} 0.00 0 -1.57 6.2 1.8 7.3 2.8 1.57 1.73 4.15 1.00 1.75 {z} -1.62"
        text(root / "training" / "label_2" / f"{number:06d}.txt", [line])
    text(root / "mapping" / "train_rand.txt", [",".join(map(str, range(1, 41)))])
    frames = [f"2011_09_26 2011_09_26_drive_{n // 4:04d}_sync {n:010d}" for n in range(40)]
    text(root / "mapping" / "train_mapping.txt", frames)


def mnist(root: Path, each: int) -> None:  # noqa: ARG001
    for name, count in (("train", 20), ("t10k", 10)):
        values = pixels(name, (count, 28, 28))
        head = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28)
        (root / f"{name}-images-idx3-ubyte").write_bytes(head + values.tobytes())
        labels = bytes(number % 10 for number in range(count))
        head = struct.pack(">4BI", 0, 0, 8, 1, count)
        (root / f"{name}-labels-idx1-ubyte").write_bytes(head + labels)


def oxford_pets(root: Path, each: int) -> None:
    for numbers, name in ((range(1, each + 1), "trainval"), ([each + 1], "test")):
        lines = []
        for number in numbers:
            for label, breed in enumerate(keys("oxford_pets"), 1):
                ppm(root / "images" / f"{breed}_{number}.jpg")
                lines.append(f"{breed}_{number} {label} 1 1")
        text(root / "annotations" / f"{name}.txt", lines)


def patch_camelyon(root: Path, each: int) -> None:  # noqa: ARG001
    for split in ("train", "valid", "test"):
        for kind in "xy":
            shape = (4, 96, 96, 3) if kind == "x" else (4, 1, 1, 1)
            found = pixels(split, shape) if kind == "x" else np.array([0, 1, 0, 1], np.uint8)
            file = root / f"camelyonpatch_level_2_split_{split}_{kind}.h5"
            with h5py.File(file, "w") as out:
                out.create_dataset(kind, data=found.reshape(shape))


def rendered_sst2(root: Path, each: int) -> None:  # noqa: ARG001
    for split in ("train", "test"):
        for name in ("negative", "positive"):
            for number in range(3):
                png(root / "rendered-sst2" / split / name / f"{number}.png")


def resisc45(root: Path, each: int) -> None:
    for name in keys("resisc45"):
        for number in range(10 * each):
            ppm(root / "NWPU-RESISC45" / name / f"{name}_{number:03d}.jpg")


def stanford_cars(root: Path, each: int) -> None:
    names = keys("stanford_cars")
    counts = {"train": each * len(names), "test": len(names)}
    (root / "devkit").mkdir()
    cells = np.array(names, dtype=object)
    scipy.io.savemat(root / "devkit" / "cars_meta.mat", {"class_names": cells})
    places = {"train": "devkit/cars_train_annos.mat", "test": "cars_test_annos_withlabels.mat"}
    for split, place in places.items():
        fields = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
        rows = np.zeros(counts[split], dtype=fields)
        for number in range(counts[split]):
            file = f"{number + 1:05d}.jpg"
            ppm(root / f"cars_{split}" / file)
            rows[number] = (1, number % len(names) + 1, file)
        scipy.io.savemat(root / place, {"annotations": rows})


#: classes of the fabricated photographs; the last has none but a difficult one
SHOWN = [[0], [0, 14], [14], *[[label] for label in range(1, 20)], [3, 7], []]


def voc2007(root: Path, each: int) -> None:
    folder = root / "VOCdevkit" / "VOC2007"
    for split, start, count in (("train", 0, each), ("test", 1000, 1)):
        names = [f"{start + row:06d}" for row in range(count * len(SHOWN))]
        for name in names:
            ppm(folder / "JPEGImages" / f"{name}.jpg")
        for label, kind in enumerate(keys("voc2007")):
            marks = [" 1" if label in shown else "-1" for shown in SHOWN]
            marks[-1] = " 0" if label == 4 else "-1"
            lines = [f"{name} {mark}" for name, mark in zip(names, marks * count, strict=True)]
            text(folder / "ImageSets" / "Main" / f"{kind}_{split}.txt", lines)


WRITERS: dict[str, Callable[[Path, int], None]] = {
    one.__name__: one
    for one in (
        caltech101,
        cifar10,
        cifar100,
        country211,
        dtd,
        eurosat,
        fer2013,
        fgvc_aircraft,
        flowers102,
        food101,
        gtsrb,
        hateful_memes,
        kitti_distance,
        mnist,
        oxford_pets,
        patch_camelyon,
        rendered_sst2,
        resisc45,
        stanford_cars,
        voc2007,
    )
}


def write_originals(root: Path, *tasks: str, each: int = 1) -> None:
    """Write the originals of ``tasks``, of all where none is named, each into its own folder.

    Args:
        each: training images that every class has at least.
    """
    for task in tasks or WRITERS:
        (root / task).mkdir(parents=True)
        WRITERS[task](root / task, each)
