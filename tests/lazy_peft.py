"""The peft library for tests, imported where a test needs it and not by every worker: seconds."""

from __future__ import annotations

from typing import Any

import pytest


class _Peft:
    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest asks for them where it looks for fixtures
            raise AttributeError(name)
        reason = "peft is not installed: pip install 'hydra-peft[peft]'"
        return getattr(pytest.importorskip("peft", reason=reason), name)


peft = _Peft()
