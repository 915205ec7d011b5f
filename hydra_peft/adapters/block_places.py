"""Places in a transformer block where adapters can stand, found from the name of its MLP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from hydra_peft.adapters.targets import check_layer, find_modules
from hydra_peft.errors import UserError, placed


@dataclass(frozen=True)
class BlockPlaces:
    """Names of the modules of one block that compute ``y = x + a``, ``z = y + m``.

    Attributes:
        block: x to z.
        kind: the block's class, in words.
        attention_output: gives the attention's part a, just before it is added; None where no
            module does.
        mlp_input: the norm that y is read by, in a block that normalises before its sublayers;
            None where no module reads y.
        mlp_output: gives the MLP's part m: just before it is added, or the MLP itself where layer
            scale and drop path are none of the block's modules.
        keeps_features_last: whether z is known to have its features in the last dimension.
        weight: a weight whose rows are the features of the stream, ``[width, ...]``.
    """

    block: str
    kind: str
    attention_output: str | None
    mlp_input: str | None
    mlp_output: str
    keeps_features_last: bool
    weight: Tensor

    @property
    def width(self) -> int:
        """Number of features of x, y and z."""
        return len(self.weight)


def find_blocks(
    model: nn.Module, targets: Sequence[str], exclude: Sequence[str] = ()
) -> list[BlockPlaces]:
    """Return the places of every block of ``model`` whose MLP ``targets`` name, in its order.

    Names are timm's: ``norm2`` reads what the MLP is given (ViT, EVA, BEiT, Swin, Mixer), and
    ``drop_path1`` and ``drop_path2`` are the last to touch what the sublayers compute (not Mixer's,
    nor ConvNeXt's). A block registers its modules in the order in which it calls them: one that has
    its ``norm2`` behind the MLP (Swin V2) normalises what the MLP computed.

    Args:
        targets: name patterns, such as ``mlp``.
        exclude: names of modules (the head) that are left alone.

    Raises:
        UserError: a pattern matches no module, or an MLP without a linear layer that adapters can
            take their width from.
    """
    return [
        _places(model, name, mlp) for name, mlp in find_modules(model, targets, exclude).items()
    ]


def _places(model: nn.Module, name: str, mlp: nn.Module) -> BlockPlaces:
    block, _, own = name.rpartition(".")
    module = model.get_submodule(block)
    order = list(module._modules)
    before, after = order[: order.index(own)], order[order.index(own) :]

    def called(part: str) -> str:
        return f"{block}.{part}" if block else part

    return BlockPlaces(
        block=block,
        kind=type(module).__name__,
        attention_output=called("drop_path1") if "drop_path1" in before else None,
        mlp_input=called("norm2") if "norm2" in before else None,
        mlp_output=called("drop_path2") if "drop_path2" in after else name,
        keeps_features_last="norm2" in order,
        weight=_output_weight(name, mlp),
    )


def _output_weight(name: str, mlp: nn.Module) -> Tensor:
    layers = [module for module in mlp.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise UserError(
            f"{name} is a {type(mlp).__name__} without a torch.nn.Linear that adapters could take "
            "their width from (convolutions? quantised?): name MLPs of linear layers in targets."
        )
    with placed(f"{name}:"):
        check_layer(layers[-1])
    return layers[-1].weight
