"""Devices and precision."""

from __future__ import annotations

import pytest
import torch

from hydra_peft.training.devices import resolve_device


def test_float32_is_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # as torch starts
    torch.set_float32_matmul_precision("high")
    try:
        resolve_device("cpu")
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
    finally:
        torch.set_float32_matmul_precision("highest")
