"""Prepared tasks on disk: layout, content, manifest; and that half of one is never left."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from originals_expected import expected_order
from PIL import Image

import hydra_peft
from hydra_peft.data.manifests import read_manifest
from hydra_peft.errors import UserError
from hydra_peft.files import MAX_JSON_BYTES
from hydra_peft.workshop.prepare.originals import _manifest, _writer
from hydra_peft.workshop.prepare.originals._base import Key, Pool, Slice
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._stored import NoImageError, stored
from hydra_peft.workshop.prepare.originals._writer import Written, write_task
from hydra_peft.workshop.prepare.spec import TaskSpec

SLICES = {
    "train800": Slice("train", 0, 80),
    "val200": Slice("train", 80, 100),
    "test": Slice("test"),
}
#: of pools of 30 and 7
LIMITS: Mapping[str, int | None] = {"train800": 8, "val200": 4, "test": None}
SIZES = {"train800": 8, "val200": 4, "train": 12, "test": 7}
CLASSES = 5


def picture(number: int, mode: str = "RGB") -> Image.Image:
    pixels = np.random.RandomState(number).randint(0, 256, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(number: int, format: str) -> bytes:
    file = io.BytesIO()
    picture(number).save(file, format)
    return file.getvalue()


def pool(count: int, image: Callable[[int], Any], keys: list[Key] | None = None) -> Pool:
    return Pool(keys or list(range(count)), np.arange(count) % CLASSES, image)


@pytest.fixture
def source(tmp_path: Path) -> SourceFolder:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "raw.bin").write_bytes(b"raw")
    opened = SourceFolder(folder, name="Things", needs=["raw.bin"], page="https://things")
    opened.file("raw.bin")
    opened.note("Things are not what they were.")
    return opened


Write = Callable[..., Written]


@pytest.fixture
def write(tmp_path: Path, source: SourceFolder) -> Write:
    """Write a small task of pools of 30 and 7 images; arguments replace defaults."""

    def call(**arguments: Any) -> Written:
        defaults: dict[str, Any] = {
            "pools": {"train": pool(30, picture), "test": pool(7, lambda i: picture(100 + i))},
            "slices": SLICES,
            "source": source,
            "limits": LIMITS,
        }
        spec = TaskSpec("vtab1k", "things100", "things", (), CLASSES, SIZES)
        own = {key: arguments.pop(key) for key in list(arguments) if hasattr(spec, key)}
        spec = dataclasses.replace(spec, **own)
        return write_task(tmp_path / "out", spec, **{**defaults, **arguments})

    return call


def refused(write: Write, tmp_path: Path, **arguments: Any) -> str:
    """Write in vain; nothing may be left behind; return the sentence."""
    before = sorted((tmp_path / "out").rglob("*"))
    with pytest.raises(UserError) as caught:
        write(**arguments)
    assert sorted((tmp_path / "out").rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_list(folder: Path, split: str) -> list[tuple[Path, int]]:
    lines = (folder / f"{split}.txt").read_text().splitlines()
    return [(folder / line.split(" ")[0], int(line.split(" ")[1])) for line in lines]


def test_lists_images_and_order(write: Write, tmp_path: Path) -> None:
    written = write()
    assert written == Written(
        tmp_path / "out" / "things", {"train800": 8, "val200": 4, "test": 7}, False, None
    )
    train, test = expected_order(list(range(30)), "train"), expected_order(list(range(7)), "test")
    expected = {"train800": train[:8], "val200": train[24:28], "test": test}
    expected["train800val200"] = expected["train800"] + expected["val200"]
    for split, indices in expected.items():
        listed = read_list(written.folder, split)
        names = [path.relative_to(written.folder).as_posix() for path, _ in listed]
        assert names == [f"images/{split}/{number:06d}.png" for number in range(len(indices))]
        assert [label for _, label in listed] == [index % 5 for index in indices]
        shift = 100 if split == "test" else 0
        for (path, _), index in zip(listed, indices, strict=True):
            found = Image.open(path)
            assert found.mode == "RGB"
            assert np.array_equal(found, picture(index + shift))
        assert len(os.listdir(written.folder / "images" / split)) == len(indices)
    assert (written.folder / "train800.txt").read_bytes().endswith(b"\n")
    assert os.listdir(tmp_path / "out") == ["things"]


def test_joined_split_is_a_copy_without_links_too(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(_writer.os, "link", no_links)
    folder = write().folder
    parts = read_list(folder, "train800") + read_list(folder, "val200")
    joined = read_list(folder, "train800val200")
    for (one, label), (other, same) in zip(parts, joined, strict=True):
        assert label == same
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_nlink == 1


def test_files_stay_as_they_are(write: Write) -> None:
    formats = ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]
    endings = ["jpg", "png", "gif", "bmp", "webp", "tif", "ppm"]
    content = [encoded(number, formats[number]) for number in range(7)]
    pools = {"train": pool(30, picture), "test": pool(7, content.__getitem__)}
    folder = write(pools=pools).folder
    order = expected_order(list(range(7)), "test")
    for (path, _), index in zip(read_list(folder, "test"), order, strict=True):
        assert path.suffix == f".{endings[index]}"
        assert path.read_bytes() == content[index]


def test_jpeg_of_several_pictures() -> None:
    file = io.BytesIO()
    picture(1).save(file, "MPO", save_all=True, append_images=[picture(2)])
    assert Image.open(file).format == "MPO"
    assert stored(file.getvalue()) == (file.getvalue(), "jpg")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_arrays_are_stored_without_loss(mode: str) -> None:
    image = Image.new("I;16", (3, 2), 40_000) if mode == "I;16" else picture(3, mode)
    content, ending = stored(image)
    found = Image.open(io.BytesIO(content))
    assert (ending, found.format) == ("png", "PNG")
    assert np.array_equal(found.convert("RGB"), image.convert("RGB"))


@pytest.mark.parametrize(
    "content", [b"", b"no image", encoded(1, "JPEG")[:-50], encoded(1, "PNG")[:60]]
)
def test_bytes_that_are_no_image(write: Write, tmp_path: Path, content: bytes) -> None:
    keys: list[Key] = [f"name_{number}.jpg" for number in range(7)]
    train = pool(30, picture)
    test = pool(7, lambda i: content if i == 4 else picture(i), keys)
    message = refused(write, tmp_path, pools={"train": train, "test": test})
    assert message.startswith("things100: example 'name_4.jpg' is no whole image (")


def test_formats_that_not_everyone_reads() -> None:
    with pytest.raises(NoImageError, match="no whole image"):
        stored(encoded(1, "PCX"))
    with pytest.raises(NoImageError, match="cannot be stored as PNG"):
        stored(picture(1, "CMYK"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UserError("it is torn."), "things100: example 3: it is torn."),
        (FileNotFoundError(2, "No such file"), "things100: example 3 cannot be read: No such file"),
    ],
)
def test_images_that_cannot_be_read(
    write: Write, tmp_path: Path, error: Exception, said: str
) -> None:
    def image(index: int) -> Image.Image:
        if index == 3:
            raise error
        return picture(index)

    pools = {"train": pool(30, picture), "test": pool(7, image)}
    assert refused(write, tmp_path, pools=pools).startswith(said)


def test_bugs_pass_through_and_leave_nothing(write: Write, tmp_path: Path) -> None:
    pools = {"train": pool(30, picture), "test": pool(7, lambda i: picture(i) if i else 1 // i)}
    with pytest.raises(ZeroDivisionError):
        write(pools=pools)
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("label", [-1, CLASSES])
def test_label_out_of_range(write: Write, tmp_path: Path, label: int) -> None:
    test = pool(7, picture, [f"key{number}" for number in range(7)])
    test.labels[6] = label
    message = refused(write, tmp_path, pools={"train": pool(30, picture), "test": test})
    assert f"example 'key6' has label {label}, not one of 0 to 4" in message


def test_two_examples_of_one_key(write: Write, tmp_path: Path) -> None:
    pools = {"train": pool(30, picture), "test": pool(3, picture, ["a", "b", "a"])}
    assert "have the key 'a'" in refused(write, tmp_path, pools=pools)


@pytest.mark.parametrize(("train", "split"), [(9, "train800"), (13, "val200")])
def test_other_sizes_need_partial(write: Write, tmp_path: Path, train: int, split: str) -> None:
    pools = {"train": pool(train, picture), "test": pool(7, picture)}
    message = refused(write, tmp_path, pools=pools)
    assert f"split {split} would have" in message
    assert "partial=true" in message
    written = write(pools=pools, partial=True)
    assert written.partial
    # ranks of the slices at this size, by the rule and not by our code
    assert written.counts["train800"] == min(8, int(train * 0.8))
    assert written.counts["val200"] == min(4, train - int(train * 0.8))
    assert read_manifest(written.folder / "manifest.json").partial


def test_an_incomplete_source_needs_partial_although_the_splits_are_full(
    write: Write, source: SourceFolder, tmp_path: Path
) -> None:
    source.expect_count("pictures", 29, 29)
    assert not write(folder="whole").partial
    source.expect_count("pictures", 29, 30)
    message = refused(write, tmp_path)
    assert "29 pictures where 30 were published" in message
    assert "partial=true" in message
    assert write(partial=True).partial


def test_too_many_test_images(write: Write, tmp_path: Path) -> None:
    pools = {"train": pool(30, picture), "test": pool(8, picture)}
    assert "split test would have 8 images where it must have 7" in refused(
        write, tmp_path, pools=pools
    )


def test_partial_of_complete_data_is_complete(write: Write) -> None:
    assert not write(partial=True).partial


@pytest.mark.parametrize("sizes", [(0, 7), (30, 0), (1, 7)])
def test_no_empty_split(write: Write, tmp_path: Path, sizes: tuple[int, int]) -> None:
    pools = {"train": pool(sizes[0], picture), "test": pool(sizes[1], picture)}
    message = refused(write, tmp_path, pools=pools, partial=True)
    assert "would be empty" in message


def test_splits_may_not_overlap(write: Write) -> None:
    with pytest.raises(AssertionError, match="in two splits"):
        write(slices={**SLICES, "val200": Slice("train", 10, 100)})


def test_manifest(write: Write, source: SourceFolder) -> None:
    keys: list[Key] = [b"plain", b"\xff\x00", "text/ä", *(f"k{n}" for n in range(4))]
    order = expected_order(keys, "test")
    pools = {"train": pool(30, picture), "test": pool(7, picture, keys)}
    folder = write(pools=pools).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    text: list[Any] = ["plain", "\\xff\x00", "text/ä", "k0", "k1", "k2", "k3"]
    assert manifest["splits"]["test"]["ids"] == [text[index] for index in order]
    train = expected_order(list(range(30)), "train")
    assert manifest["splits"]["val200"]["ids"] == train[24:28]
    for split, content in manifest["splits"].items():
        files = [path for path, _ in read_list(folder, split)]
        assert content["sha256"] == [hashlib.sha256(p.read_bytes()).hexdigest() for p in files]
    assert set(manifest["lists"]) == {path.name for path in folder.glob("*.txt")}
    for name, digest in manifest["lists"].items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()
    del manifest["splits"], manifest["lists"]
    assert set(manifest.pop("versions")) == {"hydra_peft", "pillow", "numpy", "opencv"}
    raw = hashlib.sha256(b"raw").hexdigest()

    def described(pool: str, size: int, percent: list[int], bounds: list[int]) -> dict[str, Any]:
        return {"pool": pool, "pool_size": size, "percent": percent, "bounds": bounds}

    assert manifest == {
        "schema": 1,
        "benchmark": "vtab1k",
        "task": "things100",
        "folder": "things",
        "lineage": "originals",
        "original": "Things",
        "page": "https://things",
        "sources": [{"name": "raw.bin", "bytes": 3, "sha256": raw}],
        "notes": ["Things are not what they were."],
        "partial": False,
        "slices": {
            "train800": described("train", 30, [0, 80], [0, 8]),
            "val200": described("train", 30, [80, 100], [24, 28]),
            "test": described("test", 7, [0, 100], [0, 7]),
        },
    }
    read = read_manifest(folder / "manifest.json")
    assert read.changed_lists(folder) == []
    assert read.notes == source.notes


def test_versions() -> None:
    found = _manifest.versions()
    assert found["hydra_peft"] == hydra_peft.__version__
    assert found["numpy"] == np.__version__


def test_manifest_of_the_largest_task_can_be_read_again(tmp_path: Path) -> None:
    # 75,000 images whose keys are as long as the longest ones, SUN397's
    ids = [f"/l/lecture_room/sun_{number:065d}.jpg" for number in range(75_000)]
    content = {
        "schema": 1,
        "partial": False,
        "notes": [],
        "lists": {},
        "splits": {"test": {"ids": ids, "sha256": ["0" * 64] * 75_000}},
    }
    _manifest.write_manifest(tmp_path / "manifest.json", content)
    assert (tmp_path / "manifest.json").stat().st_size < MAX_JSON_BYTES
    assert len(read_manifest(tmp_path / "manifest.json").files["test"]) == 75_000


def test_manifest_too_large_to_be_read(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_manifest, "MAX_JSON_BYTES", 1000)
    assert "could not be read again" in refused(write, tmp_path)


def test_existing_folder_is_kept(write: Write, tmp_path: Path) -> None:
    (tmp_path / "out" / "things").mkdir(parents=True)
    (tmp_path / "out" / "things" / "mine").touch()
    assert "give overwrite=true" in refused(write, tmp_path)
    first = write(overwrite=True)
    assert first.superseded == tmp_path / "out" / "things.superseded-1"
    assert (first.superseded / "mine").exists()
    second = write(overwrite=True)
    assert second.superseded == tmp_path / "out" / "things.superseded-2"
    assert not (second.folder / "mine").exists()
    names = {"things", "things.superseded-1", "things.superseded-2"}
    assert set(os.listdir(tmp_path / "out")) == names


def test_failing_overwrite_leaves_the_old(write: Write, tmp_path: Path) -> None:
    write()
    before = (tmp_path / "out" / "things" / "test.txt").read_text()
    pools = {"train": pool(30, picture), "test": pool(7, lambda _: b"")}
    refused(write, tmp_path, overwrite=True, pools=pools)
    assert (tmp_path / "out" / "things" / "test.txt").read_text() == before


def test_a_folder_that_appears_meanwhile(write: Write, tmp_path: Path) -> None:
    def image(index: int) -> Image.Image:
        (tmp_path / "out" / "things" / "other").mkdir(parents=True, exist_ok=True)
        return picture(index)

    with pytest.raises(UserError, match="appeared meanwhile"):
        write(pools={"train": pool(30, picture), "test": pool(7, image)})
    assert os.listdir(tmp_path / "out") == ["things"]


def test_remains_of_a_killed_process_do_not_mix_in(write: Write, tmp_path: Path) -> None:
    remains = tmp_path / "out" / f".things.partial-{os.getpid()}" / "images" / "test"
    remains.mkdir(parents=True)
    (remains / "000099.png").touch()
    assert not (write().folder / "images" / "test" / "000099.png").exists()


def test_full_disk(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name == "000005.png":
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write()
    assert str(caught.value.filename).endswith("/000005.png")
    assert os.listdir(tmp_path / "out") == []


def test_interrupted(write: Write, tmp_path: Path) -> None:
    def image(index: int) -> Image.Image:
        if index == 5:
            raise KeyboardInterrupt
        return picture(index)

    with pytest.raises(KeyboardInterrupt):
        write(pools={"train": pool(30, picture), "test": pool(7, image)})
    assert os.listdir(tmp_path / "out") == []
