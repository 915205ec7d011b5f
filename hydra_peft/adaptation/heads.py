"""Where a model keeps its task head."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hydra_peft.errors import UserError, near

#: names under which models without timm's metadata keep their head
USUAL_NAMES = ("head", "classifier", "fc")


def find_head(model: nn.Module, head: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the names of the modules that make up the head of ``model``.

    Args:
        model: any module.
        head: one name or several; an empty sequence says that there is none; None looks in
            timm's metadata (``pretrained_cfg['classifier']``), then under the usual names.

    Raises:
        UserError: a name given does not exist in ``model``.
    """
    modules = dict(model.named_modules())
    if head is not None:
        names = (head,) if isinstance(head, str) else tuple(head)
        for name in names:
            if name not in modules:
                close = near(name, modules) or [child for child, _ in model.named_children()]
                raise UserError(
                    f"{type(model).__name__} has no head '{name}'; near names: {', '.join(close)}."
                )
        return names
    metadata = getattr(model, "pretrained_cfg", None) or {}
    declared = metadata.get("classifier") or ()
    names = (declared,) if isinstance(declared, str) else tuple(declared)
    if names and all(name in modules for name in names):
        return names
    return next(((name,) for name in USUAL_NAMES if name in modules), ())


def belongs_to(name: str, head: Sequence[str]) -> bool:
    """Whether the parameter ``name`` lies inside one of the head's modules."""
    return any(name.startswith(f"{top}.") for top in head)
