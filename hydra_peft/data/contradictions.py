"""Labels of one image that contradict each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

#: (image, label) of each image of a split; an image is named by its file or its content
Labelled = Sequence[tuple[Key, int]]


def relabelled(splits: Mapping[str, Labelled[Key]]) -> int:
    """Return how many images of train800 and val200 have another label in train.

    Args:
        splits: images and labels by split. Where one of the three is absent, or they are not of the
            same images, there is nothing to compare: 0.
    """
    if not {"train", "train800", "val200"} <= splits.keys():
        return 0
    parts, whole = [*splits["train800"], *splits["val200"]], splits["train"]
    if Counter(image for image, _ in parts) != Counter(image for image, _ in whole):
        return 0
    return sum((Counter(parts) - Counter(whole)).values())


def with_two_labels(splits: Mapping[str, Labelled[Key]]) -> list[Key]:
    """Return the images that have more than one label, in one split or over splits."""
    labels: dict[Key, set[int]] = defaultdict(set)
    for labelled in splits.values():
        for image, label in labelled:
            labels[image].add(label)
    return [image for image, found in labels.items() if len(found) > 1]
