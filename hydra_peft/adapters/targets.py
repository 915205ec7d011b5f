"""From name patterns to the linear layers they mean."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from torch import nn

from hydra_peft.errors import UserError, near


def matches(name: str, pattern: str) -> bool:
    """Whether ``pattern`` means the module ``name``: the whole name or its last dotted parts.

    ``*``, ``?`` and ``[...]`` work as in a shell: ``attn.proj`` matches it in every block,
    ``blocks.0.*`` everything in the first, ``blocks.[0-5].mlp.fc2`` that of six blocks.
    """
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def find_linear_layers(
    model: nn.Module, targets: Sequence[str], exclude: Sequence[str] = ()
) -> dict[str, nn.Linear]:
    """Return the ``nn.Linear`` layers of ``model`` that ``targets`` name, in the model's order.

    Args:
        model: any module.
        targets: name patterns, see :func:`matches`; each must match at least one linear layer.
        exclude: names of modules (such as the head) whose layers are never adapted.

    Raises:
        UserError: no pattern, or one that matches no linear layer; near names are listed.
    """
    if isinstance(targets, str) or not targets:
        raise UserError(
            f"targets={targets!r} is not a list of name patterns, such as ['attn.proj', 'mlp.fc2']."
        )
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and not any(name == top or name.startswith(f"{top}.") for top in exclude)
    }
    for pattern in targets:
        if not any(matches(name, pattern) for name in layers):
            raise UserError(_unmatched(model, pattern, list(layers)))
    return {
        name: layer
        for name, layer in layers.items()
        if any(matches(name, pattern) for pattern in targets)
    }


def _unmatched(model: nn.Module, pattern: str, layers: list[str]) -> str:
    others = [name for name, _ in model.named_modules() if name and matches(name, pattern)]
    if others:
        kind = type(model.get_submodule(others[0])).__name__
        hint = f"it matches '{others[0]}', which is a {kind} and not a linear layer to adapt"
    else:
        # Blocks repeat: the parts after the block number say what there is to choose from.
        endings = list(dict.fromkeys(".".join(name.split(".")[-2:]) for name in layers))
        close = near(pattern, endings) or near(pattern, layers) or endings[:5]
        hint = f"near names: {', '.join(close)}" if close else "it has none"
    return f"target '{pattern}' matches no linear layer of {type(model).__name__}; {hint}."
