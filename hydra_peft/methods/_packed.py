"""The option ``parts`` of methods that adapt queries, keys or values of packed layers."""

from __future__ import annotations

from collections.abc import Sequence

from hydra_peft.errors import UserError

#: the parts of a packed layer in the order of their rows
PARTS = ("q", "k", "v")


def check_parts(parts: Sequence[str]) -> None:
    """Check that ``parts`` names queries, keys or values, each once at most."""
    if not set(parts) <= set(PARTS) or len(set(parts)) < len(parts):
        raise UserError(
            f"parts={list(parts)} is not a list of some of q, k and v, such as [q, v]; "
            "[] adapts whole layers."
        )


def in_order(parts: Sequence[str]) -> list[str]:
    """Return ``parts`` in the order of their rows."""
    return sorted(parts, key=PARTS.index)
