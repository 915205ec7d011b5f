"""What is certain about cards before torch is loaded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hydra_peft import cards
from hydra_peft.cards import check_card
from hydra_peft.errors import UserError


def test_a_card_that_certainly_is_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cards, "_FILES", (f"{tmp_path}/nvidia*",))
    monkeypatch.setattr(cards, "_FOLDERS", (f"{tmp_path}/driver",))
    monkeypatch.setattr(cards, "_DRIVER", "libno_such_driver.so.1")
    check_card("cuda")  # torch is loaded here, and is asked
    monkeypatch.delitem(sys.modules, "torch")
    check_card("cpu")
    check_card("auto")
    with pytest.raises(UserError, match="device=cuda, but torch finds no CUDA device here"):
        check_card("cuda")
    for name in ("nvidia0", "driver"):
        (tmp_path / name).touch()
        check_card("cuda")
        (tmp_path / name).unlink()
    monkeypatch.setattr(cards, "_DRIVER", "libc.so.6")  # one that can be loaded
    check_card("cuda")
    monkeypatch.setattr(cards, "_DRIVER", "libno_such_driver.so.1")
    monkeypatch.setattr(sys, "platform", "win32")
    check_card("cuda")
