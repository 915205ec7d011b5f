"""AdapterDrop: adapters that the first layers go without (Rueckle et al., arXiv 2010.11918)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from hydra_peft.errors import UserError, check_one_of
from hydra_peft.limits import Limits, Rank
from hydra_peft.methods._blocks import BlockMethod

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hydra_peft.adapters.block_places import BlockPlaces

#: m is drawn for each step
ROBUST = "robust"


@dataclass(frozen=True)
class AdapterDrop(BlockMethod):
    """``m + W_up ReLU(W_down m + b_down) + b_up`` of the MLP's part m, from layer ``drop`` on.

    Specialised, the first ``drop`` layers have no adapter. Robust, all layers have one, and each
    training step goes without those of the first m layers, m drawn uniformly from 0 to one less
    than there are layers; the trained model can then be run with any m
    (:func:`hydra_peft.adapters.droppable.drop_layers`, ``scripts/evaluate.py drop=``), and is
    scored with m = 0. Dropped adapters get no gradient in a step, so neither weight decay.

    Both weights start near the identity as in :mod:`hydra_peft.methods.adapter`'s ``houlsby``. The
    rows of GLUE have the counts of an adapter in all of 12 layers: 304,320 at rank 16, 894,528 at
    rank 48.

    Attributes:
        targets: name patterns of the MLPs whose blocks are the layers.
        rank: width of the bottleneck.
        drop: how many of the first layers have no adapter, or ``robust``.
    """

    name: ClassVar[str] = "adapterdrop"
    rank: Rank = 16
    drop: Annotated[int, Limits(least=0)] | str = ROBUST

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.drop, str):
            check_one_of("drop", self.drop, (ROBUST,), "give a number of layers, or")

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put an adapter behind the MLP of every layer that keeps one."""
        from hydra_peft.adapters.block_adapters import SequentialAdapter
        from hydra_peft.adapters.block_places import find_blocks
        from hydra_peft.adapters.bottleneck import Bottleneck
        from hydra_peft.adapters.droppable import DroppableAdapter
        from hydra_peft.adapters.surgery import replace_module

        kind = DroppableAdapter if self.drop == ROBUST else SequentialAdapter
        layers = self._kept(find_blocks(model, self.targets, exclude=head))
        for places in layers:
            module, like = model.get_submodule(places.mlp_output), places.weight
            branch = Bottleneck(
                places.width, self.rank, activation="relu", device=like.device, dtype=like.dtype
            )
            replace_module(model, module, kind(module, branch))
        return [places.mlp_output for places in layers]

    def _kept(self, blocks: list[BlockPlaces]) -> list[BlockPlaces]:
        if isinstance(self.drop, str):
            return blocks
        if self.drop >= len(blocks):
            raise UserError(
                f"method.drop={self.drop} leaves no adapter in the {len(blocks)} layers that "
                f"targets={self.targets} names: it must be below that."
            )
        return blocks[self.drop :]

    def before_step(self, model: nn.Module, step: int, random: torch.Generator) -> None:  # noqa: ARG002
        """Draw from how many of the first layers the step leaves the adapters out."""
        import torch

        from hydra_peft.adapters.droppable import droppable

        if found := droppable(model):
            count = int(torch.randint(len(found), (), generator=random))
            for index, adapter in enumerate(found):
                adapter.dropped_in_training = index < count

    @property
    def label(self) -> str:
        """Name, width and what is dropped, such as ``adapterdrop r=16 m=5``."""
        return f"{self.name} r={self.rank} {'' if self.drop == ROBUST else 'm='}{self.drop}"


METHOD = AdapterDrop
