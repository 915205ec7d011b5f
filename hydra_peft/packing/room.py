"""Room in memory for one more run beside those of a pack."""

from __future__ import annotations

from pathlib import Path

import torch

from hydra_peft.resident import forget_peak, peak_bytes, resident_bytes

#: share of a device's memory that a pack may take
_SHARE = 0.85
#: the most runs that are put together without being asked for
MOST = 16


class Room:
    """What the runs of a pack take, measured, against what there is.

    Args:
        device: that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        forget_peak()
        self._before = resident_bytes()

    def for_another(self, members: int) -> bool:
        """Whether one more run of the size of the ``members`` fits, after a pass of all of them."""
        if members >= MOST:
            return False
        if self._device.type == "cuda":
            free, total = torch.cuda.mem_get_info(self._device)
            own = torch.cuda.memory_reserved(self._device)
            peak = torch.cuda.max_memory_reserved(self._device)
            return (total - free - own) + peak * (members + 1) / members <= _SHARE * total
        each = (peak_bytes() - self._before) / members
        available = _available()
        return available is None or each <= _SHARE * available


def _available() -> int | None:
    """Return the memory that Linux could give a process now, in bytes; None where not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
