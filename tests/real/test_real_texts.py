"""Benchmark mini_glue from WordNet itself, to the byte: make test-real fetches it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydra_peft.data.sources.mini_glue import FOLDER
from hydra_peft.workshop.wordnet.making import make
from hydra_peft.workshop.wordnet.synsets import read_licence, read_synsets

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def wordnet() -> Path:
    """The folder of WordNet's files."""
    folder = os.environ.get("HYDRA_PEFT_REAL")
    if not folder:
        pytest.skip("HYDRA_PEFT_REAL is not set: make test-real fetches what is needed")
    return Path(folder).absolute() / "usr" / "share" / "wordnet"


def test_the_committed_files_are_those_that_wordnet_gives(wordnet: Path, tmp_path: Path) -> None:
    make(read_synsets(wordnet), read_licence(wordnet), tmp_path)
    files = [path.relative_to(FOLDER) for path in FOLDER.rglob("*") if path.is_file()]
    assert len(files) == 17
    assert all((tmp_path / one).read_bytes() == (FOLDER / one).read_bytes() for one in files)
