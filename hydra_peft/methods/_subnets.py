"""Subnets of NOAH: which sizes its three parts may have in each block, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

#: sizes of adapters, LoRA and prompts in each block, first to last; 0 leaves a part out
Subnet = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
#: chances that a mutation draws a part's depth, and a size in it, anew
_DEPTH_CHANCE, _SIZE_CHANCE = 0.4, 0.2


@dataclass(frozen=True)
class SubnetSpace:
    """All subnets whose parts stand in the first blocks, a quarter, half, three quarters or all.

    Of each part depth and sizes are drawn for themselves (ZhangYuanhan-AI/NOAH: sizes 1, 5 and 10,
    depths 3, 6, 9 and 12 of 12 blocks).

    Attributes:
        blocks: of the backbone.
        sizes: that a part may have where it stands.
        limit: parameters that a subnet may have, without head.
        width: features of a token.
        packed: outputs of the layer of packed queries, keys and values.
    """

    blocks: int
    sizes: tuple[int, ...]
    limit: int
    width: int
    packed: int

    @property
    def depths(self) -> tuple[int, ...]:
        """In how many of the first blocks a part may stand."""
        return tuple(sorted({-(-self.blocks * quarter // 4) for quarter in range(1, 5)}))

    @property
    def smallest(self) -> Subnet:
        """The subnet with the fewest parameters."""
        part = self._filled([min(self.sizes)] * self.depths[0])
        return part, part, part

    def cost(self, subnet: Subnet) -> int:
        """Return the parameters of ``subnet``: factors without, adapters with biases."""
        adapters, ranks, prompts = subnet
        in_adapters = sum(a * (2 * self.width + 1) + self.width for a in adapters if a)
        return in_adapters + sum(ranks) * (self.width + self.packed) + sum(prompts) * self.width

    def allows(self, subnet: Subnet) -> bool:
        """Whether ``subnet`` keeps to :attr:`limit`."""
        return self.cost(subnet) <= self.limit

    def draw(self, random: Random) -> Subnet:
        """Return any subnet, whatever it costs."""
        adapters, ranks, prompts = (self._part(random) for _ in range(3))
        return adapters, ranks, prompts

    def mutated(self, parent: Subnet, random: Random) -> Subnet:
        """Return ``parent`` with some depths and sizes drawn anew."""
        adapters, ranks, prompts = (self._mutated(part, random) for part in parent)
        return adapters, ranks, prompts

    def crossed(self, first: Subnet, second: Subnet, random: Random) -> Subnet:
        """Return a subnet with the depth of each part, and each of its sizes, from either."""
        adapters, ranks, prompts = (
            self._filled(list(_crossed(pair, random))) for pair in zip(first, second, strict=True)
        )
        return adapters, ranks, prompts

    def _part(self, random: Random) -> tuple[int, ...]:
        return self._filled([random.choice(self.sizes) for _ in range(random.choice(self.depths))])

    def _mutated(self, part: Sequence[int], random: Random) -> tuple[int, ...]:
        depth = sum(map(bool, part))
        if random.random() < _DEPTH_CHANCE:
            depth = random.choice(self.depths)
        return self._filled([
            random.choice(self.sizes) if not size or random.random() < _SIZE_CHANCE else size
            for size in part[:depth]
        ])  # fmt: skip

    def _filled(self, sizes: list[int]) -> tuple[int, ...]:
        return (*sizes, *[0] * (self.blocks - len(sizes)))


def _crossed(parents: Sequence[Sequence[int]], random: Random) -> Iterator[int]:
    depth = sum(map(bool, random.choice(parents)))
    for sizes in list(zip(*parents, strict=True))[:depth]:
        yield random.choice([size for size in sizes if size])
