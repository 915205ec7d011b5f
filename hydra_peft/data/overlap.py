"""Images that two splits share, and labels of one image that contradict each other.

No torch is loaded before there is data.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hydra_peft.data.promises import says_more
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.errors import UserError
from hydra_peft.plain_text import counted

if TYPE_CHECKING:
    from torch import Tensor

    from hydra_peft.data.task_data import TaskData

Key = TypeVar("Key", bound=Hashable)

#: (image, label) of each image of a split; an image is named by its file or its content
Labelled = Sequence[tuple[Key, Hashable]]

#: public data sets hold some images twice; more than this share of the smaller split in the larger
#: one means that somebody mixed up the splits
MAX_OVERLAP = 0.01
#: the same of texts, which may be short phrases
MAX_TEXT_OVERLAP = 0.05
#: of a few images that are drawn of a split, one in ten may be such a copy, but no more than these
MAX_DRAWN = 3


@dataclass(frozen=True)
class Overlap:
    """Images that two splits share.

    Attributes:
        smaller, larger: names of the splits.
        shared: images of the smaller one whose content the larger one has too.
        count: images of the smaller one.
        of: what they are, if no images.
    """

    smaller: str
    larger: str
    shared: int
    count: int
    of: str = "images"

    @property
    def too_large(self) -> bool:
        """Whether two splits share more images than public data sets do by chance."""
        return self.shared > MAX_OVERLAP * self.count

    def __str__(self) -> str:
        shared = f"{self.shared:,} of {self.count:,} {self.of}"
        return f"{shared} of {self.smaller} are in {self.larger} too"


def overlaps(
    hashes: Mapping[str, Sequence[bytes]], apart: Iterable[tuple[str, str]]
) -> Iterator[Overlap]:
    """Yield what the splits that should be apart have in common, where it is anything.

    Args:
        hashes: content hash of each image, by split; splits may be absent.
        apart: the pairs of splits that should be apart.
    """
    for pair in apart:
        if hashes.keys() >= set(pair):
            smaller, larger = sorted(pair, key=lambda name: len(hashes[name]))
            there = set(hashes[larger])
            shared = sum(one in there for one in hashes[smaller])
            if shared:
                yield Overlap(smaller, larger, shared, len(hashes[smaller]))


def rows(hashes: Tensor) -> list[bytes]:
    """Return the rows of ``hashes``, uint8 ``[n, 32]``, as what sets can hold."""
    content = hashes.contiguous().numpy().tobytes()
    return [content[start : start + 32] for start in range(0, len(content), 32)]


def check_apart(data: TaskData, name: str, roles: SplitRoles) -> None:
    """Check that splits of ``data`` that should be apart share no more images than chance gives.

    Args:
        name: the dataset's, for the message.
        roles: which of its splits are apart.

    Raises:
        UserError: two splits share more than ``MAX_OVERLAP``, or an image cannot be read.
    """
    hashes = {key: rows(split.hashes()) for key, split in data.splits.items()}
    for found in overlaps(hashes, roles.apart()):
        if found.too_large and not _by_chance(found, data):
            found = dataclasses.replace(found, of=data.of)
            raise UserError(
                f"dataset {name}: {found}, so a score would not be of unseen {data.of}: mend the "
                f"data{says_more(data.of)}."
            )


def _by_chance(found: Overlap, data: TaskData) -> bool:
    """Whether splits share so little that it may be chance: texts, or images of which some are
    drawn only."""
    if data.of == "texts":
        return found.shared <= MAX_TEXT_OVERLAP * found.count
    few = min(MAX_DRAWN, max(1, found.count // 10))
    return data.whole is not None and found.shared <= few


def check_labels(data: TaskData, name: str) -> list[str]:
    """Return a sentence for each split with images that have several labels, by their content.

    Public data sets hold a few; texts, which may be short phrases, more.

    Args:
        name: the dataset's, for the message.

    Raises:
        UserError: one file has two names, a link among them, and two labels.
    """
    from hydra_peft.data.images import FileImages, labels_of

    found = []
    for split, content in data.splits.items():
        if (images := content.inputs.get("image")) is None:
            continue
        labels = labels_of(content)
        first: dict[bytes, int] = {}
        contents = enumerate(rows(content.hashes()))
        pairs = ((first.setdefault(one, row), row) for row, one in contents)
        differing = [(one, other) for one, other in pairs if labels[one] != labels[other]]
        files = images.files if isinstance(images, FileImages) else ()
        for one, other in differing if files else ():
            if os.path.samefile(files[one], files[other]):
                raise UserError(
                    f"dataset {name}: {files[other]} is the same file as {files[one]}, a link, and "
                    f"has another label: mend the list of {split}."
                )
        if differing:
            said = counted(len(differing), "image is", "images are")
            found.append(f"{said} in {split} a second time with another label.")
    return found


def relabelled(splits: Mapping[str, Labelled[Key]], roles: SplitRoles) -> int:
    """Return how many images of the two parts of the training data have another label in it.

    Args:
        splits: images and labels by split. Where one of the three is absent, or they are not of the
            same images, there is nothing to compare: 0.
    """
    if (names := roles.parts()) is None or not {roles.train, *names} <= splits.keys():
        return 0
    parts, whole = [one for name in names for one in splits[name]], splits[roles.train]
    if Counter(image for image, _ in parts) != Counter(image for image, _ in whole):
        return 0
    return sum((Counter(parts) - Counter(whole)).values())


def with_two_labels(splits: Mapping[str, Labelled[Key]]) -> list[Key]:
    """Return the images that have more than one label, in one split or over splits."""
    labels: dict[Key, set[Hashable]] = defaultdict(set)
    for labelled in splits.values():
        for image, label in labelled:
            labels[image].add(label)
    return [image for image, found in labels.items() if len(found) > 1]
