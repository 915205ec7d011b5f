"""Own images that a file of labels lists."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from class_folders import write_images

from hydra_peft.config.check import check_config
from hydra_peft.config.identity import config_id
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.sources import load_task
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import check_images, describe_data
from hydra_peft.runs.first_look import check_data, data_request


@pytest.fixture
def own(compose_train: Callable[..., Any], tmp_path: Path) -> Callable[..., RunConfig]:
    """Check a run on the images that a text lists; twelve lie in ``images``."""
    write_images(tmp_path / "images", 12)

    def check(text: str, *words: str) -> RunConfig:
        (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
        chosen = ["dataset=csv", f"dataset.file={tmp_path}/labels.csv"]
        return check_config(compose_train(*chosen, f"paths.cache={tmp_path}/cache", *words))

    return check


def loaded(config: RunConfig) -> TaskData:
    request = data_request(config.dataset, config.paths, config.dataset.splits.names())
    return load_task("csv", request)


def lines(separator: str, *labels: str, count: int = 12) -> str:
    rows = [f"images/{n:03d}.png{separator}{labels[n % len(labels)]}" for n in range(count)]
    return "\n".join([f"image{separator}label", *rows]) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", " ", "  "])
def test_columns_are_separated_as_people_do(own: Callable[..., RunConfig], separator: str) -> None:
    config = own(lines(separator, "dog", "cat"))
    assert config.dataset.name == "labels"
    assert config.dataset.sizes == {"train": 8, "val": 2, "test": 2}
    check_data(config)
    check_images(config)
    data = loaded(config)
    assert (data.classes, data.lineage) == (("cat", "dog"), "csv")
    assert Counter(data.splits["train"].targets.tolist()) == {0: 4, 1: 4}
    for split in data.splits.values():
        for file, label in zip(
            split.inputs["image"].files,
            split.targets.tolist(),
            strict=True,  # type: ignore[union-attr]
        ):
            assert label == (0 if int(file.stem) % 2 else 1)


def test_a_link_with_another_label_is_refused_and_a_copy_noted(
    own: Callable[..., RunConfig],
) -> None:
    config = own(lines(",", "dog", "cat"))
    folder = Path(config.dataset.source_options.root) / "images"  # type: ignore[union-attr]
    for name, put in (("000.png", shutil.copy), ("002.png", os.link)):
        (folder / "001.png").unlink()
        put(folder / name, folder / "001.png")
        if put is os.link:
            with pytest.raises(UserError, match=r"png is the same file as .*png, a link, and has"):
                check_images(config)
        else:
            data = describe_data(config.dataset, config.data, loaded(config))
            assert [str(note).split(" in ")[0] for note in data["notes"]] == ["1 image is"]


def test_numbers_are_in_the_order_of_numbers_and_blanks_do_not_count(
    own: Callable[..., RunConfig],
) -> None:
    assert loaded(own(lines(",", "10", "9 ", " 2"))).classes == ("2", "9", "10")
    assert loaded(own(lines(",", "cat ", "dog", "cat"))).classes == ("cat", "dog")


@pytest.mark.parametrize(
    ("written", "classes"),
    [(("-1", "1"), ("-1", "1")), (("7", "3", "7"), ("3", "7")), (("0.5", "2"), ("0.5", "2"))],
)
def test_numbers_of_ones_own_choice_are_classes(
    own: Callable[..., RunConfig], written: tuple[str, ...], classes: tuple[str, ...]
) -> None:
    assert loaded(own(lines(",", *written))).classes == classes


def test_columns_by_name_and_splits_of_ones_own(own: Callable[..., RunConfig]) -> None:
    header = "﻿﻿id,kind,file,age,part"
    parts = ["train"] * 6 + ["Valid"] * 2 + ["TEST"] * 4
    rows = [f"{n},{'ab'[n % 2]},{n:03d}.png,{n // 3},{parts[n]}" for n in range(12)]
    text = "\n".join([header, *rows, "", ""])
    words = ["dataset.label_column=kind", "dataset.split_column=part"]
    with pytest.raises(UserError, match="there is no file"):
        own(text, *words)
    folder = str(Path(own(lines(",", "a", "b")).dataset.source_options.root) / "images")
    config = own(text, *words, f"dataset.root={folder}")
    assert config.dataset.sizes == {"train": 6, "val": 2, "test": 4}
    other = own(
        text.replace("TEST", "test"),
        "dataset.label_column=age",
        f"dataset.root={folder}",
        "dataset.image_column=file",
    )
    assert other.dataset.classes == 4
    assert config_id(other) != config_id(config)
    with pytest.raises(UserError, match=r"which column has the labels\? .* id, kind, file, age"):
        own(text, f"dataset.root={folder}")


def test_quoted_values_and_windows_paths(own: Callable[..., RunConfig]) -> None:
    text = 'image,label\r\n"images\\000.png","cat, black"\r\n'
    rows = "".join(f"images/{n:03d}.png,dog\r\n" for n in range(1, 6))
    more = "".join(f'images/{n:03d}.png,"cat, black"\r\n' for n in range(6, 12))
    assert loaded(own(text + rows + more)).classes == ("cat, black", "dog")


def changed(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


def counted(odd: str) -> Callable[[str], str]:
    """Return what makes the labels 0 and 1, and that of line 5 ``odd``."""

    def change(text: str) -> str:
        numbered = text.replace(",dog", ",0").replace(",cat", ",1")
        return numbered.replace("003.png,1", f"003.png,{odd}")

    return change


def doubled(text: str) -> str:
    """The first column stands twice."""
    return "".join(f"{line.partition(',')[0]},{line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        (
            changed("images/003.png", "images/3.png"),
            [],
            r"line 5: there is no file .*/images/3\.png",
        ),
        (changed("003.png", "003.PNG"), [], r"line 5: .*003\.PNG, but '003\.png' is there"),
        (changed("images/003.png", "images/003"), [], r"line 5: .*003, but '003\.png' is there"),
        (changed("003.png", "002.png"), [], r"line 5: 'images/002\.png' stands already in line 4"),
        (
            changed("003.png", "003\0.png"),
            [],
            r"line 5: the path .*003\\x00\.png' holds a zero byte",
        ),
        (changed("images/003", "../003"), [], r"line 5: .* leads out of .* set dataset\.root"),
        (
            changed("images/003", "images/../images/003"),
            [],
            r"line 5: .* has '\.\.' in it: write it as 'images/003\.png'",
        ),
        (changed("003.png,cat", "003.png, "), [], r"line 5: 'images/003\.png' has no label"),
        (changed("003.png,cat", "003.png,nan"), [], "no label but 'nan', which stands for none"),
        (
            lambda text: text.replace(",cat", ",1").replace(",dog", ",01"),
            [],
            r"two classes whose names are the same number \('01' and '1'\): make one of them",
        ),
        (changed("003.png,cat", "003.png"), [], "line 5: 1 value where the first line names 2"),
        (changed("cat", "dog"), [], "one class only, 'dog'"),
        (counted("-1"), [], r"line 5: the label '-1' is no plain number such as 0, 1 or 2"),
        (counted("1.5"), [], r"line 5: the label '1\.5' is no plain number"),
        (counted("9" * 5000), [], r"line 5: the label '9{50,60}"),
        (counted("unknown"), [], r"line 5: the label 'unknown' is no plain number"),
        (lambda _: "image,label\n", [], "has no line of an image"),
        (lambda _: "", [], "has no line of an image"),
        (
            lambda text: text.partition("\n")[2],
            [],
            r"first line must name the columns, and has the image 'images/.*such as image,label",
        ),
        (lambda _: "a,b\nx,y\n", [], r"which column names the images\? .* a, b"),
        (lambda text: text.replace("\n", ",x" * 999 + "\n"), [], "column 'x' 999 times: rename"),
        (doubled, [], r"has the column 'image' 2 times: rename all but one in its first line"),
        (doubled, ["dataset.image_column=image"], "has the column 'image' 2 times: rename all"),
        (
            str,
            ["dataset.label_column=lable"],
            "no column 'lable' for dataset.label_column.*'label'",
        ),
        (str, ["dataset.split_column=label"], r"'dog' is no split: it must be|has the labels"),
        (str, ["dataset.file=/nowhere.csv"], r"dataset\.file=/nowhere\.csv is no file"),
    ],
)
def test_a_file_that_is_wrong_is_told_in_a_sentence(
    own: Callable[..., RunConfig],
    change: Callable[[str], str],
    words: list[str],
    said: str,
) -> None:
    text = lines(",", "dog", "cat")
    with pytest.raises(UserError, match=said) as told:
        own(change(text), *words)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 1000


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            os.mkfifo,
            r"3\.png is no ordinary file but a pipe: put the image there, or drop the line",
        ),
        (
            lambda path: path.symlink_to("gone"),
            r"3\.png: it is a link to .*/gone, which is not there",
        ),
    ],
)
def test_what_has_the_name_of_an_image_and_is_none(
    own: Callable[..., RunConfig], tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    place = tmp_path / "images" / "003.png"
    place.unlink()
    make(place)
    with pytest.raises(UserError, match=f"line 5: .*{said}"):
        own(lines(",", "dog", "cat"))


def test_a_class_of_the_test_split_alone_is_told(own: Callable[..., RunConfig]) -> None:
    text = "image,label,split\nimages/000.png,a,train\nimages/001.png,b,train\n"
    with pytest.raises(UserError, match="class 'c' is in test and not in train"):
        own(text + "images/002.png,c,test\n", "dataset.split_column=split")


def test_upper_case_endings_and_files_that_are_no_images(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = own(lines(",", "dog", "cat"))
    (tmp_path / "images" / "003.png").rename(tmp_path / "images" / "003.PNG")
    written = lines(",", "dog", "cat").replace("003.png", "003.PNG")
    assert config_id(own(written)) == config_id(config)
    for file in (tmp_path / "images").iterdir():
        file.write_text(f"not at all {file.name}")
    with pytest.raises(UserError, match=r"cannot read the image .*images/0\d\d\.(png|PNG)"):
        check_images(own(written))
