import io
import json
from pathlib import Path

import numpy as np
import pytest
from originals_expected import expected_order, pack_zip, prepared, refused, source_of
from PIL import Image
from torchvision.datasets import CLEVRClassification

from hydra_peft.workshop.prepare.originals.clevr import ORIGINAL

TASKS = ("clevr_count", "clevr_dist")
SIZES = {"train": 23, "val": 11}
#: distances around all thresholds, and the class of each
DISTANCES = [
    *((0.001, 0), (7.99, 0), (8.0, 0), (8.001, 1), (8.5, 1), (8.51, 2), (9.0, 2), (9.01, 3)),
    *((9.5, 3), (9.501, 4), (10.0, 4), (10.01, 5), (55.5, 5), (100.0, 5)),
    # rounds to 8.5 in single precision, in which tensorflow/datasets keeps it; the next does not
    *((8.500000001, 1), (8.5000009, 1 + 1)),
]


def png(number: int) -> bytes:
    """A PNG with transparency, as the published ones are."""
    pixels = np.random.RandomState(number).randint(0, 256, (6, 8, 4)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def scene(split: str, number: int, nearest: float, count: int) -> dict:
    place = number % count
    objects = [
        {
            "color": "red",
            "size": "large",
            "rotation": 269.9,
            "shape": "cube",
            "material": "metal",
            "3d_coords": [1.0, -2.5, 0.7],
            # the first two are pixels, smaller than any distance
            "pixel_coords": [1, 2, nearest if i == place else min(nearest + 1.5 * i + 1, 100)],
        }
        for i in range(count)
    ]
    return {
        "image_index": number,
        "objects": objects,
        "relationships": {"left": [[1], [0]], "right": [[], []]},
        "image_filename": f"CLEVR_{split}_{number:06d}.png",
        "split": split,
        "directions": {"right": [0.6, 0.7, 0.0]},
    }


def made(split: str) -> list[dict]:
    return [
        scene(split, i, DISTANCES[i % len(DISTANCES)][0], 3 + i % 8) for i in range(SIZES[split])
    ]


def write_scenes(root: Path, split: str, scenes: list) -> Path:
    path = root / f"scenes/CLEVR_{split}_scenes.json"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps({"info": {"version": "1.0", "split": split}, "scenes": scenes}))
    return path


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "CLEVR_v1.0"
    for split, size in SIZES.items():
        write_scenes(root, split, made(split))
        images = root / "images" / split
        images.mkdir(parents=True)
        for number in range(size):
            (images / f"CLEVR_{split}_{number:06d}.png").write_bytes(png(number + 100 * size))
    return root


def check(folder: Path, task: str) -> None:
    splits = prepared(ORIGINAL, task, folder)
    names = {s: [f"CLEVR_{s}_{i:06d}.png" for i in range(size)] for s, size in SIZES.items()}
    train = expected_order(names["train"], "train")
    # the published validation set tests; 23 * 90 // 100 is 20
    for split, word, order in (
        ("train800", "train", train[:4]),
        ("val200", "train", train[20:23]),
        ("test", "val", expected_order(names["val"], "validation")),
    ):
        labels = {
            "clevr_count": [i % 8 for i in order],
            "clevr_dist": [DISTANCES[i % len(DISTANCES)][1] for i in order],
        }[task]
        assert splits[split].keys == [names[word][i] for i in order]
        assert splits[split].labels == labels
        assert splits[split].images == [png(i + 100 * SIZES[word]) for i in order]


@pytest.mark.parametrize("task", TASKS)
def test_members_order_labels_and_bytes(root, task):
    check(root.parent, task)


def test_the_source_may_be_the_folder_itself_or_the_archive(root, tmp_path_factory):
    check(root, "clevr_dist")
    folder = tmp_path_factory.mktemp("packed")
    pack_zip(folder / "CLEVR_v1.0.zip", root.parent)
    check(folder, "clevr_count")


def test_the_order_of_the_scenes_does_not_matter(root):
    scenes = made("train")
    write_scenes(root, "train", scenes[::-1])
    check(root, "clevr_dist")


def test_all_distances_of_the_table(root):
    path = write_scenes(
        root, "train", [scene("train", i, d, 3) for i, (d, _) in enumerate(DISTANCES)]
    )
    for number in range(len(DISTANCES), SIZES["train"]):
        (root / f"images/train/CLEVR_train_{number:06d}.png").unlink()
    labels = pools(root, "clevr_dist")["train"].labels
    assert labels.tolist() == [label for _, label in DISTANCES], path


def test_counts_are_those_of_torchvision(root, tmp_path):
    (tmp_path / "clevr").mkdir()
    root.rename(tmp_path / "clevr/CLEVR_v1.0")
    found = pools(tmp_path / "clevr")
    for split, pool in (("train", "train"), ("val", "validation")):
        theirs = CLEVRClassification(str(tmp_path), split)
        assert len(theirs) == SIZES[split]
        counts = {
            Path(file).name: count
            for file, count in zip(theirs._image_files, theirs._labels, strict=True)
        }
        assert [counts[key] - 3 for key in found[pool].keys] == found[pool].labels.tolist()


def test_a_number_beyond_all_floats(root):
    path = root / "scenes/CLEVR_train_scenes.json"
    path.write_text(path.read_text().replace("8.001", "1" + "0" * 400))
    refused(lambda: pools(root), path, "json")


def pools(folder, task="clevr_count"):
    return ORIGINAL.pools(source_of(ORIGINAL, folder), task)


@pytest.mark.parametrize("name", ["scenes/CLEVR_val_scenes.json", "images/train"])
def test_missing_parts(root, name):
    (root / name).rename(root / "elsewhere")
    refused(lambda: pools(root), name, "CLEVR_v1.0.zip")


def test_missing_image(root):
    (root / "images/val/CLEVR_val_000003.png").unlink()
    (root / "images/val/CLEVR_val_000005.png").unlink()
    refused(lambda: pools(root), "CLEVR_val_000003.png and 1 more", "CLEVR_val_scenes.json")


def test_image_without_scene(root):
    path = write_scenes(root, "train", made("train")[:-1])
    refused(lambda: pools(root), "CLEVR_train_000022.png", path)


def test_scene_twice(root):
    path = write_scenes(root, "train", [*made("train"), made("train")[4]])
    refused(lambda: pools(root), path, "CLEVR_train_000004.png", "2 times")


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[:40], lambda _: b"", bytes.upper])
def test_damaged_image(root, damage):
    path = root / "images/val/CLEVR_val_000002.png"
    path.write_bytes(damage(path.read_bytes()))
    image = pools(root)["validation"].image
    refused(lambda: image(2), path, "not a whole PNG")
    path.unlink()
    refused(lambda: image(2), path)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"scenes": [{"objects": [', "[1, 2]", "{}", '{"scenes": []}', '{"scenes": 3}', "\0"],
)
def test_malformed_json(root, text):
    path = root / "scenes/CLEVR_train_scenes.json"
    path.write_text(text)
    refused(lambda: pools(root), path)


def test_truncated_json(root):
    path = root / "scenes/CLEVR_train_scenes.json"
    path.write_text(path.read_text()[:-1000])
    refused(lambda: pools(root), path, "json")


def test_json_nested_too_deep(root):
    path = root / "scenes/CLEVR_train_scenes.json"
    path.write_text("[" * 200_000)
    refused(lambda: pools(root), path, "json")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objects": []}, "0 objects"),
        ({"objects": None}, "0 objects"),
        ({"objects": made("train")[7]["objects"] * 2}, "20 objects"),
        ({"image_filename": None}, "no image"),
        ({"image_filename": 7}, "no image"),
        ({"image_filename": "../../secret.png"}, "secret.png"),
    ],
)
def test_malformed_scene(root, change, words):
    scenes = made("train")
    scenes[9] = {**scenes[9], **change}
    path = write_scenes(root, "train", scenes)
    text = path.read_text()
    refused(lambda: pools(root), path, words)
    assert "secret" in text or "scene 9" in _message(root)


def _message(root):
    with pytest.raises(ValueError, match="scene") as caught:
        pools(root)
    return str(caught.value)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "place",
    [
        [1, 2, 0.0],
        [1, 2, -3.0],
        [1, 2, 100.5],
        [1, 2, float("nan")],
        [1, 2, float("inf")],
        [1, 2],
        [1, 2, "9"],
        [1, 2, None],
        None,
        "far",
    ],
)
def test_malformed_distance(root, task, place):
    scenes = made("val")
    scenes[6]["objects"][2]["pixel_coords"] = place
    path = write_scenes(root, "val", scenes)
    refused(lambda: pools(root, task), path, "scene 6", "pixel_coords")


def test_an_object_that_is_none(root):
    scenes = made("val")
    scenes[6]["objects"][1] = {"color": "red"}
    path = write_scenes(root, "val", scenes)
    refused(lambda: pools(root), path, "scene 6", "pixel_coords")
