"""Whether there is a GPU for torch, as far as that is certain without loading torch."""

from __future__ import annotations

import ctypes
import glob
import sys

from hydra_peft.errors import UserError

NONE_FOUND = "device=cuda, but torch finds no CUDA device here: set device=cpu or auto."
#: what a kernel shows of cards: of NVIDIA's, those on its own boards, WSL's, and AMD's
_FILES = ("/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap", "/dev/nvgpu*", "/dev/dxg", "/dev/kfd")
_FOLDERS = ("/proc/driver/nvidia*",)
#: without which torch reaches no card of NVIDIA's
_DRIVER = "libcuda.so.1"


def check_card(device: str) -> None:
    """Check that ``device`` is not ``cuda`` on a machine that has certainly no card.

    Where something may be one, or torch is loaded already, torch itself is asked later.

    Raises:
        UserError: it is.
    """
    if device != "cuda" or sys.platform != "linux" or "torch" in sys.modules:
        return
    if not any(map(glob.glob, _FILES + _FOLDERS)) and not _has_driver():
        raise UserError(NONE_FOUND)


def _has_driver() -> bool:
    try:
        ctypes.CDLL(_DRIVER)
    except OSError:
        return False
    return True
