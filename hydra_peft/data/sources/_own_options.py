"""Keys of ``dataset`` that the sources of one's own data have in common."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Any

from hydra_peft.data.shares import SHARES, check_shares
from hydra_peft.errors import UserError
from hydra_peft.limits import InWords


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """Shares by which data is split that comes in one piece.

    Attributes:
        split: shares of train, val and test; None where all that is needed is there.
    """

    split: Annotated[list[float] | None, InWords(SHARES)] = None

    def __post_init__(self) -> None:
        if self.split is not None:
            check_shares(self.split)
            # Requests are looked up by what they have.
            object.__setattr__(self, "split", tuple(self.split))

    def identity(self) -> dict[str, Any]:
        """Return what of it decides results; what the data is like is hashed beside it."""
        return {} if self.split is None else {"split": list(self.split)}


def absolute(key: str, path: str) -> str:
    """Return ``path`` from the root of the file system: records are read from elsewhere.

    Raises:
        UserError: it is empty or has a NUL.
    """
    if not path.strip() or "\0" in path:
        raise UserError(f"{key}={path!r} is not allowed: it must be the path of your data.")
    return os.path.abspath(os.path.expanduser(path))
