"""The roles that the splits of a data set play: trained on, held out, tested on.

Protocols speak of roles; which split plays which one the yaml of a data set says. Records and run
folders have the splits' own names. No torch is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hydra_peft.errors import UserError

#: role of the further splits that are scored beside the test split
FURTHER = "further"


@dataclass(frozen=True)
class SplitRoles:
    """``dataset.splits``: names of splits by the role that they play.

    Attributes:
        train: all labelled training data.
        test: what results are scored on.
        fit: the part of ``train`` that is trained on while hyper-parameters are chosen; None where
            a data set has no such part. Where it is ``train`` itself, ``val`` is no part of that.
        val: what is held out for choosing hyper-parameters and epochs; None likewise.
        further: splits that are scored beside ``test`` and never selected on, such as the
            mismatched one of MNLI.
    """

    train: str
    test: str
    fit: str | None = None
    val: str | None = None
    further: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if (self.fit is None) != (self.val is None):
            lacking = "fit" if self.fit is None else "val"
            raise UserError(
                f"dataset.splits.{lacking} is missing: what is trained on while tuning (fit) and "
                "what is held out meanwhile (val) come together."
            )
        apart = [self.test, *self.further, *((self.val,) if self.val else ())]
        apart += {self.train, self.fit or self.train}
        for name in apart:
            if apart.count(name) > 1:
                raise UserError(
                    f"dataset.splits gives '{name}' two roles: only fit may be train as well."
                )

    def names(self) -> tuple[str, ...]:
        """Return the name of each split, once."""
        names = (self.fit, self.val, self.train, self.test, *self.further)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def labelled(self) -> frozenset[str]:
        """Return the splits of labelled training data: those that may be learnt from."""
        return frozenset(name for name in (self.train, self.fit, self.val) if name is not None)

    def scored_beside(self, split: str) -> tuple[str, ...]:
        """Return the splits that are scored where ``split`` is: the further ones beside test."""
        return tuple(self.further) if split == self.test else ()

    def parts(self) -> tuple[str, str] | None:
        """Return the two splits, ``fit`` and ``val``, that ``train`` consists of; None without."""
        if self.fit is None or self.val is None or self.fit == self.train:
            return None
        return self.fit, self.val

    def part_of(self) -> dict[str, tuple[str, ...]]:
        """Return, by split that may be trained on, those whose examples it has."""
        if (parts := self.parts()) is None:
            return {self.train: (self.train,)}
        return {self.train: (self.train, *parts), parts[0]: (parts[0], self.train)}

    def apart(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs of splits that have no example in common."""
        learnt = [name for name in (self.train, self.fit, self.val) if name is not None]
        if self.fit is not None and self.val is not None:
            yield self.fit, self.val
        for scored in (self.test, *self.further):
            for name in dict.fromkeys(learnt):
                yield name, scored


#: the roles before data sets named them: of records, configs and identities of that time
BEFORE = SplitRoles(train="train", test="test", fit="train800", val="val200")


def role_of(split: str, roles: Mapping[str, Any] | None) -> str:
    """Return the role that ``split`` plays, its own name where it plays none.

    Args:
        roles: what a record's science has of ``dataset.splits``, of whatever content; None, or
            anything but a mapping, where it is of the time before.
    """
    known = roles if isinstance(roles, Mapping) else vars(BEFORE)
    for role in ("train", "fit", "val", "test"):
        if known.get(role) == split:
            return role
    further = known.get(FURTHER)
    return FURTHER if isinstance(further, list) and split in further else split
