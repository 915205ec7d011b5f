"""The devices that tests of numbers run on: a CPU always, a GPU where there is one."""

from __future__ import annotations

import pytest

#: to parametrize ``device`` with
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
