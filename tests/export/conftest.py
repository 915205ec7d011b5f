"""Runs to export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_models import put_model

NAMES = [f"class {letter}" for letter in "abcdefghij"]
DATA = {"sha256": "a" * 64, "splits": {"test": "c" * 64}, "classes": NAMES}


@pytest.fixture
def make_run(compose_train: Callable[..., Any], tmp_path: Path) -> Callable[..., Path]:
    """Make up a completed run of ``conf/train.yaml`` with overrides; return its folder."""

    def make(*overrides: str, **changes: Any) -> Path:
        values = changes if "cache" in changes else {"data": DATA, **changes}
        return put_model(compose_train, tmp_path / "run", *overrides, **values)

    return make
