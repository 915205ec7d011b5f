import io
import os
from pathlib import Path

import numpy as np
import pytest
from originals_expected import expected_order, pack_zip, prepared, refused, source_of
from PIL import Image

from hydra_peft.workshop.prepare.originals.kitti import ORIGINAL

IMAGES = 60
VIDEOS = 24
#: distances around all thresholds, and the class of each; no vehicle is 3
DISTANCES = [
    *(("-99.99", 0), ("-0.50", 0), ("7.99", 0), ("8.00", 0), ("8.01", 1), ("19.99", 1)),
    *(("20.00", 1), ("20.01", 2), ("86.00", 2), ("999.00", 2), (None, 3)),
]


def png(number: int) -> bytes:
    pixels = np.random.RandomState(number).randint(0, 256, (4, 12, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def line(kind: str, z: str) -> str:
    return f"{kind} 0.00 0 -1.57 614.24 181.78 727.31 284.77 1.57 1.73 4.15 1.00 1.75 {z} -1.62"


def label(number: int) -> str:
    z = DISTANCES[number % len(DISTANCES)][0]
    lines = [line("Pedestrian", "-50.00"), line("DontCare", "-1000.00")]
    if z is not None:
        vehicles = ("Car", "Van", "Truck")
        lines.insert(number % 2, line(vehicles[number % 3], z))
        lines.append(line(vehicles[number % 2], "999.00"))
    return "".join(f"{one}\n" for one in lines if number != 10 or "Ped" not in one)


@pytest.fixture
def devkit():
    """Line numbers by image, and lines: date, video, frame; videos differ in length."""
    rng = np.random.RandomState(4)
    numbers = (rng.permutation(IMAGES) + 1).tolist()
    names = [f"2011_09_26_drive_{7 * i % 100:04d}_sync" for i in range(VIDEOS)]
    of = sorted([*range(VIDEOS), *rng.randint(0, VIDEOS, IMAGES - VIDEOS).tolist()])
    lines = [f"2011_09_26 {names[v]} {i:010d}" for i, v in enumerate(of)]
    return numbers, lines


def write_devkit(root: Path, numbers: list[int], lines: list[str]) -> None:
    (root / "mapping").mkdir(exist_ok=True)
    (root / "mapping/train_rand.txt").write_text(",".join(map(str, numbers)) + "\n")
    (root / "mapping/train_mapping.txt").write_text("".join(f"{one}\n" for one in lines))


@pytest.fixture
def root(tmp_path, devkit):
    write_devkit(tmp_path, *devkit)
    for folder in ("image_2", "label_2"):
        (tmp_path / "training" / folder).mkdir(parents=True)
    for number in range(IMAGES):
        (tmp_path / f"training/image_2/{number:06d}.png").write_bytes(png(number))
        (tmp_path / f"training/label_2/{number:06d}.txt").write_text(label(number))
    return tmp_path


def members(devkit) -> dict[str, list[int]]:
    """Images of each pool, by the statement of tensorflow/datasets: draws among sorted videos."""
    numbers, lines = devkit
    video = {image: lines[number - 1].split(" ")[1] for image, number in enumerate(numbers)}
    everything = sorted(set(video.values()))
    assert len(everything) == VIDEOS
    state = np.random.get_state()
    np.random.seed(123)
    test = list(np.random.choice(everything, 2, replace=False))  # a tenth of 24
    rest = sorted(set(everything) - set(test))
    validation = list(np.random.choice(rest, 2, replace=False))
    np.random.set_state(state)
    chosen = {"test": test, "validation": validation}
    pools = {pool: [i for i in video if video[i] in of] for pool, of in chosen.items()}
    pools["train"] = [i for i in video if i not in pools["test"] + pools["validation"]]
    return pools


def check(folder: Path, devkit) -> None:
    splits = prepared(ORIGINAL, "kitti_dist", folder)
    pools = members(devkit)
    for split, pool, size in (
        ("train800", "train", 4),
        ("val200", "validation", 3),
        ("test", "test", None),
    ):
        images = pools[pool]
        keys = [f"{i:06d}.png" for i in images]
        order = [images[place] for place in expected_order(keys, pool)][:size]
        assert splits[split].keys == [f"{i:06d}.png" for i in order]
        assert splits[split].labels == [DISTANCES[i % len(DISTANCES)][1] for i in order]
        assert splits[split].images == [png(i) for i in order]


def test_members_order_labels_and_bytes(root, devkit):
    check(root, devkit)


def test_labels_of_all_images(root, devkit):
    found = pools(root)
    for pool, images in members(devkit).items():
        assert found[pool].labels.tolist() == [DISTANCES[i % len(DISTANCES)][1] for i in images]
    assert sum(len(pool.keys) for pool in found.values()) == IMAGES


def test_the_drawing_leaves_the_global_stream_alone(root):
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    pools(root)
    assert np.array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("top", ["", "devkit_object"])
def test_archives_are_unpacked(root, devkit, tmp_path_factory, top):
    parts, packed = tmp_path_factory.mktemp("parts"), tmp_path_factory.mktemp("packed")
    for name, inner in (
        ("data_object_image_2.zip", "training/image_2"),
        ("data_object_label_2.zip", "training/label_2"),
        ("devkit_object.zip", "mapping"),
    ):
        target = parts / name / (top if inner == "mapping" else "") / inner
        target.parent.mkdir(parents=True)
        (root / inner).rename(target)
        pack_zip(packed / name, parts / name)
    check(packed, devkit)
    source = source_of(ORIGINAL, packed)
    ORIGINAL.pools(source, "kitti_dist")
    assert {"data_object_image_2.zip", "devkit_object.zip"} <= {p.name for p in source.used}


def pools(folder):
    return ORIGINAL.pools(source_of(ORIGINAL, folder), "kitti_dist")


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("training/image_2", "data_object_image_2.zip"),
        ("training/label_2", "data_object_label_2.zip"),
        ("mapping/train_rand.txt", "devkit_object.zip"),
        ("mapping/train_mapping.txt", "devkit_object.zip"),
    ],
)
def test_missing_parts(root, name, archive):
    (root / name).rename(root / "elsewhere")
    refused(lambda: pools(root), name, archive, "cvlibs.net")


@pytest.mark.parametrize("name", ["image_2/000017.png", "label_2/000017.txt"])
def test_missing_image_or_label(root, name):
    (root / "training" / name).unlink()
    refused(lambda: pools(root), name[-10:], "train_rand.txt")


def test_image_that_the_devkit_does_not_know(root):
    (root / "training/image_2/000060.png").write_bytes(png(60))
    refused(lambda: pools(root), "000060.png", "train_rand.txt")


def test_damaged_image(root):
    found = pools(root)["test"]
    path = root / "training/image_2" / found.keys[0]
    path.write_bytes(path.read_bytes()[:-20])
    refused(lambda: found.image(0), path, "not a whole PNG")


@pytest.mark.parametrize("text", ["", "1,2,x\n", "1;2", "1,,2", "1.5,2", "1_0", "\xff"])
def test_malformed_permutation(root, text):
    path = root / "mapping/train_rand.txt"
    path.write_text(text, encoding="latin-1")
    refused(lambda: pools(root), path, "again")


@pytest.mark.parametrize("number", [0, 61, -1])
def test_line_number_out_of_range(root, devkit, number):
    numbers, lines = devkit
    write_devkit(root, [*numbers[:-1], number], lines)
    refused(lambda: pools(root), "train_mapping.txt", f"line {number}", "train_rand.txt")


def test_line_number_twice(root, devkit):
    numbers, lines = devkit
    write_devkit(root, [*numbers[:-1], numbers[0]], lines)
    refused(lambda: pools(root), "train_rand.txt", "twice")


def test_truncated_mapping(root, devkit):
    numbers, lines = devkit
    write_devkit(root, numbers, [*lines[:-1], lines[-1][:20]])
    refused(lambda: pools(root), "train_mapping.txt", "line 60")


def test_too_few_videos(root, devkit):
    numbers, lines = devkit
    write_devkit(root, numbers, ["a b c" if i % 2 else "a d c" for i in range(len(lines))])
    refused(lambda: pools(root), "2 videos")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Car 0.00 0\n", "15 columns"),
        (line("Car", "9.00") + " 0.95\n", "15 columns"),  # a result, with a score
        (line("Bus", "9.00"), "'Bus 0.00"),
        (line("Car", "near"), "'near'"),
        (line("Van", "nan"), "'nan'"),
        (line("Van", "1_0"), "'1_0'"),
        (line("Truck", "inf"), "'inf'"),
        (line("Car", "-100.00"), "'-100.00'"),
        ("\n", "15 columns"),
    ],
)
def test_malformed_label(root, text, words):
    path = root / "training/label_2/000033.txt"
    path.write_text(line("Cyclist", "3.00") + "\n" + text)
    refused(lambda: pools(root), f"{path}, line 2", words)


def test_binary_label(root):
    path = root / "training/label_2/000033.txt"
    path.write_bytes(b"\x89PNG")
    refused(lambda: pools(root), path, "plain text")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_label_without_end(root, make):
    path = root / "training/label_2/000033.txt"
    path.unlink()
    make(path)
    refused(lambda: pools(root), path, "is no ordinary file")


def test_an_image_without_objects_has_no_vehicle(root):
    (root / "training/label_2/000033.txt").write_text("")
    found = pools(root)
    assert [
        p.labels[p.keys.index("000033.png")] for p in found.values() if "000033.png" in p.keys
    ] == [3]
