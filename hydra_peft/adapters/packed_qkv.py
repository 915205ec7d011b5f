"""Linear layers that compute queries, keys and values together, and where each of them is."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hydra_peft.adapters.targets import find_linear_layers
from hydra_peft.errors import UserError

#: modules of timm whose layer of that name has queries, keys and values of each head side by side
_BY_HEAD = ("timm.models.tiny_vit", "timm.models.efficientformer")


def is_packed(name: str) -> bool:
    """Whether ``name`` is that of such a layer: it ends in ``qkv``, as timm's and others' do."""
    return name.rpartition(".")[2].lower().endswith("qkv")


def starts_of(rows: int, parts: Sequence[str]) -> dict[str, int]:
    """Return the first of ``rows`` of each of ``parts`` (``q``, ``k``, ``v``), in their order."""
    return {part: rows // 3 * place for place, part in enumerate("qkv") if part in parts}


def check_all_packed(model: nn.Module, targets: Sequence[str], head: Sequence[str]) -> None:
    """Check that in all layers that ``targets`` names rows 0 to d are the queries, then keys, then
    values, d each.

    Args:
        model: what holds them.
        targets: name patterns.
        head: names of the head's modules, which are left alone.

    Raises:
        UserError: in one they are not, as far as can be told.
    """
    for name, layer in find_linear_layers(model, targets, exclude=head).items():
        parent = model.get_submodule(name.rpartition(".")[0])
        if not is_packed(name) or layer.out_features % 3 or getattr(parent, "use_global", False):
            raise UserError(
                f"{name} ({layer.in_features}->{layer.out_features}) does not compute queries, "
                "keys and values together, as parts needs it: name such layers, "
                "targets=[attn.qkv], or set parts=[] for a model that has separate ones, "
                "such as one of texts with targets=[query, value]."
            )
        if getattr(parent, "head_first", False) or type(parent).__module__ in _BY_HEAD:
            raise UserError(
                f"{name} has queries, keys and values of each head side by side in a "
                f"{type(parent).__name__}, so that no block of rows is one of them: set parts=[]."
            )
