"""Evolutionary search: a population that is crossed and mutated, the fittest of it kept.

As NOAH searches its subnets (Zhang et al., arXiv 2206.04673, section 3.3; ``evolution.py`` of
ZhangYuanhan-AI/NOAH, which is AutoFormer's, arXiv 2107.00651).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable
from random import Random
from typing import Protocol, TypeVar

#: shares of a population that are kept as parents, made by mutation, and by crossing
_KEPT, _MUTATED, _CROSSED = 0.2, 0.5, 0.5
#: draws for each place before it is given up: nothing new that is allowed was found
_DRAWS = 10

S = TypeVar("S", bound=Hashable)


class Space(Protocol[S]):
    """A search space: draws members, makes them of others, says which are allowed."""

    @property
    def smallest(self) -> S:
        """A member that is allowed if any is."""
        ...

    def draw(self, random: Random) -> S:
        """Return any member."""
        ...

    def mutated(self, parent: S, random: Random) -> S:
        """Return a member near ``parent``."""
        ...

    def crossed(self, first: S, second: S, random: Random) -> S:
        """Return a member with parts of both."""
        ...

    def allows(self, member: S) -> bool:
        """Whether ``member`` keeps to the limit of the search."""
        ...


def evolve(
    space: Space[S], *, population: int, generations: int, random: Random
) -> Generator[S, float, None]:
    """Yield members to be scored, each once; what is sent back is its score, the higher the better.

    The first generation is drawn. Each further one is half mutations and half crossings of the
    best fifth of a population of all so far, the first found on ties, and draws where these give
    nothing new that ``space`` allows. The same scores and ``random`` give the same members.

    Args:
        population: members of a generation.
        generations: how many there are, the first included.
    """
    scores: dict[S, float] = {}
    for generation in range(generations):
        born = 0
        best = sorted(scores, key=lambda member: -scores[member])[: _parents(population)]
        for make, share in _ways(space, best, random) if generation else ():
            wanted = round(share * population)
            for member in _new(make, wanted, space, scores):
                scores[member] = yield member
                born += 1
        for member in _new(lambda: space.draw(random), population - born, space, scores):
            scores[member] = yield member
        if not scores:  # a limit that draws do not meet
            scores[space.smallest] = yield space.smallest


def _parents(population: int) -> int:
    return max(2, round(_KEPT * population))


def _ways(space: Space[S], best: list[S], random: Random) -> list[tuple[Callable[[], S], float]]:
    """Return how children are made of ``best``, and which share of a population each makes."""
    return [
        (lambda: space.mutated(random.choice(best), random), _MUTATED),
        (lambda: space.crossed(random.choice(best), random.choice(best), random), _CROSSED),
    ]


def _new(
    make: Callable[[], S], wanted: int, space: Space[S], known: dict[S, float]
) -> Generator[S, None, None]:
    """Yield up to ``wanted`` members that are allowed and not yet among ``known``."""
    for _ in range(_DRAWS * wanted):
        if wanted == 0:
            return
        member = make()
        if member not in known and space.allows(member):
            wanted -= 1
            yield member
