"""One image file of an original, and what stands in its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._image_files import image_bytes


def test_files_and_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"123")
    assert image_bytes(tmp_path / "a.jpg") == b"123"
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path):
        with pytest.raises(UserError, match="no ordinary file"):
            image_bytes(path)
    with pytest.raises(UserError, match=r"cannot read the image .*: No such file"):
        image_bytes(tmp_path / "none.jpg")
