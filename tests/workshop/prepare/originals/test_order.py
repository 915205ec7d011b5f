"""Order and slices, against values that do not come from this package.

Check values: the reference's section 3.1, computed there; the first five of 50,000 integer keys
under salt ``train`` are also those that the documentation of TFDS cifar10 shows.
"""

import hashlib
import re
import subprocess
import sys

import pytest
from originals_expected import refused

from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.workshop.prepare.originals import originals
from hydra_peft.workshop.prepare.originals._base import Pool, Slice
from hydra_peft.workshop.prepare.originals._order import LIMITS, hashed_order, select

#: task: sizes of its pools; then of train800, val200 and test: pool, first, end. Then the ends of
#: the first two slices without the limit of 800 and 200: the pools that VTAB takes the 1000 from.
SLICES = {
    "cifar100": (
        {"train": 50_000, "test": 10_000},
        [("train", 0, 800), ("train", 45_000, 45_200), ("test", 0, 10_000)],
        (45_000, 50_000),
    ),
    "caltech101": (
        {"train": 3_060, "test": 6_084},
        [("train", 0, 800), ("train", 2_754, 2_954), ("test", 0, 6_084)],
        (2_754, 3_060),
    ),
    "dtd": (
        {"train": 1_880, "validation": 1_880, "test": 1_880},
        [("train", 0, 800), ("validation", 0, 200), ("test", 0, 1_880)],
        (1_880, 1_880),
    ),
    "flowers102": (
        {"train": 1_020, "validation": 1_020, "test": 6_149},
        [("train", 0, 800), ("validation", 0, 200), ("test", 0, 6_149)],
        (1_020, 1_020),
    ),
    "oxford_pets": (
        {"train": 3_680, "test": 3_669},
        [("train", 0, 800), ("train", 2_944, 3_144), ("test", 0, 3_669)],
        (2_944, 3_680),
    ),
    "svhn": (
        {"train": 73_257, "test": 26_032},
        [("train", 0, 800), ("train", 65_931, 66_131), ("test", 0, 26_032)],
        (65_931, 73_257),
    ),
    "sun397": (
        {"train": 76_128, "validation": 10_875, "test": 21_750},
        [("train", 0, 800), ("validation", 0, 200), ("test", 0, 21_750)],
        (76_128, 10_875),
    ),
    "patch_camelyon": (
        {"train": 262_144, "validation": 32_768, "test": 32_768},
        [("train", 0, 800), ("validation", 0, 200), ("test", 0, 32_768)],
        (262_144, 32_768),
    ),
    "eurosat": (
        {"train": 27_000},
        [("train", 0, 800), ("train", 16_200, 16_400), ("train", 21_600, 27_000)],
        (16_200, 21_600),
    ),
    "resisc45": (
        {"train": 31_500},
        [("train", 0, 800), ("train", 18_900, 19_100), ("train", 25_200, 31_500)],
        (18_900, 25_200),
    ),
    "retinopathy": (
        {"train": 35_126, "validation": 10_906, "test": 42_670},
        [("train", 0, 800), ("validation", 0, 200), ("test", 0, 42_670)],
        (35_126, 10_906),
    ),
    "clevr_count": (
        {"train": 70_000, "validation": 15_000},
        [("train", 0, 800), ("train", 63_000, 63_200), ("validation", 0, 15_000)],
        (63_000, 70_000),
    ),
    "clevr_dist": (
        {"train": 70_000, "validation": 15_000},
        [("train", 0, 800), ("train", 63_000, 63_200), ("validation", 0, 15_000)],
        (63_000, 70_000),
    ),
    "dmlab": (
        {"train": 65_550, "validation": 22_628, "test": 22_735},
        [("train", 0, 800), ("validation", 0, 200), ("test", 0, 22_735)],
        (65_550, 22_628),
    ),
    "kitti_dist": (
        {"train": 6_347, "validation": 423, "test": 711},
        [("train", 0, 800), ("validation", 0, 200), ("test", 0, 711)],
        (6_347, 423),
    ),
    "dsprites_loc": (
        {"train": 737_280},
        [("train", 0, 800), ("train", 589_824, 590_024), ("train", 663_552, 737_280)],
        (589_824, 663_552),
    ),
    "dsprites_ori": (
        {"train": 737_280},
        [("train", 0, 800), ("train", 589_824, 590_024), ("train", 663_552, 737_280)],
        (589_824, 663_552),
    ),
    "smallnorb_azim": (
        {"train": 24_300, "test": 24_300},
        [("train", 0, 800), ("test", 0, 200), ("test", 12_150, 24_300)],
        (24_300, 12_150),
    ),
    "smallnorb_elev": (
        {"train": 24_300, "test": 24_300},
        [("train", 0, 800), ("test", 0, 200), ("test", 12_150, 24_300)],
        (24_300, 12_150),
    ),
}
ORIGINALS = originals()
TASKS = {task: slices for original in ORIGINALS for task, slices in original.tasks.items()}


def test_published_order_of_integer_keys():
    order = hashed_order(range(50_000), "train")
    assert order[:5] == [16399, 1680, 47917, 17307, 27051]
    assert order[45_000:45_003] == [13431, 9237, 17462]
    assert sorted(order) == list(range(50_000))
    assert hashed_order(range(26_032), "test")[:5] == [23018, 16932, 19084, 9933, 24157]


@pytest.mark.parametrize("salt", ["train", "validation", "test"])
@pytest.mark.parametrize(
    "keys",
    [
        list(range(200)),
        [f"Fächer/image_{i:04d}.jpg" for i in range(200)],
        [bytes([i, 92, 255 - i]) for i in range(200)],
    ],
)
def test_order_is_that_of_the_hash_as_an_integer(salt, keys):
    def number(index):
        key = keys[index]
        text = key if isinstance(key, bytes) else str(key).encode("utf-8")
        return int(hashlib.md5(salt.encode() + text).hexdigest(), 16)

    assert hashed_order(keys, salt) == sorted(range(200), key=number)


def test_backslashes_of_strings_turn():
    names = [f"a/b{i}/c.jpg" for i in range(50)]
    turned = [name.replace("/", "\\") for name in names]
    assert hashed_order(turned, "train") == hashed_order(names, "train")


def test_backslashes_of_bytes_stay():
    names = [f"a/b{i}/c.jpg".encode() for i in range(50)]
    turned = [name.replace(b"/", b"\\") for name in names]
    assert hashed_order(turned, "train") != hashed_order(names, "train")
    expected = sorted(range(50), key=lambda i: hashlib.md5(b"train" + turned[i]).hexdigest())
    assert hashed_order(turned, "train") == expected


def test_strings_and_their_bytes_are_one():
    names = [f"{i}.png" for i in range(50)]
    assert hashed_order(names, "test") == hashed_order([name.encode() for name in names], "test")
    assert hashed_order(list(range(50)), "test") == hashed_order(
        [str(i) for i in range(50)], "test"
    )


def test_the_salt_changes_the_order():
    assert hashed_order(range(50), "train") != hashed_order(range(50), "validation")


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["a", "b", "c", "a"], "'a'"),
        ([b"x", b"y", b"x"], "b'x'"),
        (["a/b", "c", "a\\b"], "b'"),
        ([1, 2, 1], "1"),
    ],
)
def test_a_key_twice_is_refused(keys, name):
    refused(lambda: hashed_order(keys, "validation"), name, "'validation'", "twice")


def test_no_or_one_example():
    assert hashed_order([], "train") == []
    assert hashed_order(["a"], "train") == [0]


def test_the_originals_make_the_19_tasks():
    vtab = find_benchmark("vtab1k").tasks
    assert sorted(set(TASKS) & set(vtab)) == sorted(SLICES) == sorted(vtab)
    assert sum(len(set(original.tasks) & set(vtab)) for original in ORIGINALS) == 19
    assert len({original.name for original in ORIGINALS}) == len(ORIGINALS)


@pytest.mark.parametrize("task", SLICES)
def test_boundaries_at_the_published_sizes(task):
    sizes, slices, ends = SLICES[task]
    found = TASKS[task]
    assert list(found) == ["train800", "val200", "test"]
    assert {piece.pool for piece in found.values()} == set(sizes)
    for split, (pool, first, end) in zip(found, slices, strict=True):
        piece = found[split]
        assert piece.pool == pool
        assert piece.bounds(sizes[pool], LIMITS[split]) == (first, end)
    for split, end in zip(("train800", "val200"), ends, strict=True):
        assert found[split].bounds(sizes[found[split].pool], None)[1] == end


@pytest.mark.parametrize("task", SLICES)
def test_slices_of_a_task_never_overlap(task):
    for size in (*range(1, 60), 1_237):
        taken: dict[str, set[int]] = {}
        for piece in TASKS[task].values():
            members = set(range(*piece.bounds(size, None)))
            assert not members & taken.get(piece.pool, set())
            taken.setdefault(piece.pool, set()).update(members)


@pytest.mark.parametrize("original", ORIGINALS, ids=lambda original: original.name)
def test_what_can_be_fetched_is_stated_in_full(original):
    assert re.match(r"https?://", original.page)
    assert original.needs
    for file in original.files:
        assert re.match(r"https?://\S+$", file.url)
        assert file.name == file.name.strip("/.")
        assert "/" not in file.name
        assert file.md5 is None or re.fullmatch(r"[0-9a-f]{32}", file.md5)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.md5 or file.sha256
        assert file.size is None or file.size > 0
    for name in ("name", "url", "md5", "sha256"):
        values = [value for file in original.files if (value := getattr(file, name))]
        assert len(set(values)) == len(values)


def test_select_takes_slices_of_the_order():
    pools = {
        "train": Pool(range(50), [0] * 50, bytes),
        "validation": Pool([f"v{i}" for i in range(30)], [0] * 30, bytes),
    }
    slices = {
        "train800": Slice("train", 0, 90),
        "val200": Slice("train", 90, 100),
        "test": Slice("validation"),
    }
    chosen = select(pools, slices, {"train800": 7, "val200": 3, "test": None})
    train = sorted(range(50), key=lambda i: hashlib.md5(f"train{i}".encode()).hexdigest())
    rest = sorted(range(30), key=lambda i: hashlib.md5(f"validationv{i}".encode()).hexdigest())
    assert chosen == {"train800": train[:7], "val200": train[45:48], "test": rest}


def test_listing_the_originals_needs_no_reader_of_theirs():
    lines = "import sys; from hydra_peft.workshop.prepare.originals import originals; originals()"
    lines += "; sys.exit(', '.join({'cv2', 'h5py', 'scipy', 'torch'} & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", lines], check=True)
