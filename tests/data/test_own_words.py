"""Folders and files that hold images of one's own, and those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from class_folders import write_images

from hydra_peft.data.own_words import own_words


@pytest.mark.parametrize(
    ("image", "place", "words"),
    [
        ("train/cat", "", "dataset=folder dataset.root={}"),
        ("cat", "cat", "dataset=folder dataset.root={}"),
        ("my cats/one", "my cats", "dataset=folder 'dataset.root=\"{}\"'"),
        ("dtd/images/cat", "", None),
        ("dtd/images/cat", "absent", None),
        (".cat", "", None),
        ("cat", "labels.csv", "dataset=csv dataset.file={}"),
        ("cat", "notes.txt", None),
        ("cat", "a\0b", None),
    ],
)
def test_what_holds_images_is_told_how_to_be_read(
    tmp_path: Path, image: str, place: str, words: str | None
) -> None:
    write_images(tmp_path / image, 1)
    for name in ("labels.csv", "notes.txt"):
        (tmp_path / name).touch()
    told = words and f"images of your own are read with {words.format(tmp_path / place)}"
    assert own_words(tmp_path / place) == told
