"""Files below a folder and those that a pattern matches, where links lead in circles too."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from hydra_peft.cli.predict import find_images
from hydra_peft.data import file_walks
from hydra_peft.data.file_walks import matching
from hydra_peft.data.sources.parquet import files_by_split
from hydra_peft.errors import UserError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "a tree"
    for name in ("one.png", "in/two.png", "in/deep/three.png", "in/deep/four.txt", ".no/five.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "in" / ".six.png").touch()
    return root


@pytest.mark.parametrize(
    "pattern",
    [
        *("*.png", "**", "**/*.png", "**/*", "in/**/three.png", "**/deep/*", "**/**/*.p?g"),
        *("in/**", "*/two.png", "**/nothing/**", "i[mn]/**/[!t]*"),
    ],
)
def test_a_pattern_matches_what_glob_finds(tree: Path, pattern: str) -> None:
    whole = str(tree / pattern)
    expected = [f for f in glob.glob(whole, recursive=True) if Path(f).is_file()]
    assert matching(whole, "images")[1] == sorted(set(expected))


def test_circles_of_links_come_to_an_end(tree: Path) -> None:
    for name in ("in/back", "in/deep/back"):
        (tree / name).symlink_to(tree, target_is_directory=True)
    (tree / "train.parquet").touch()
    found = [str(tree / "in/deep/three.png"), str(tree / "in/two.png"), str(tree / "one.png")]
    assert matching(f"{tree}/**/*.png", "images")[1] == found
    assert list(map(str, find_images(str(tree)))) == found
    assert files_by_split(f"{tree}/**/*.parquet") == {"train": [str(tree / "train.parquet")]}


def test_a_machine_is_no_data_set(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_walks, "MAX_FOLDERS", 2)
    for look in (find_images, files_by_split):
        for named in (str(tree), f"{tree}/**/*.png"):
            with pytest.raises(UserError, match=r"a tree.* has more than 2 folders in it"):
                look(named)
