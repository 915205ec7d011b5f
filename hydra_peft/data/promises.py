"""Check of labels against the counts and classes that a task's yaml promises."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hydra_peft.errors import UserError


@dataclass(frozen=True)
class LabelRange:
    """Number of targets of a split, with the least and the greatest label of classes.

    Attributes:
        rarest: the class with the fewest examples, and how many; None where nobody counted.
    """

    count: int
    lowest: int | None = None
    highest: int | None = None
    rarest: tuple[int, int] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, labels: Sequence[int]) -> LabelRange:
        """Return the range of ``labels``, which are not empty."""
        counts = Counter(labels)
        rarest = min(counts.items(), key=lambda item: item[::-1])
        return cls(len(labels), min(counts), max(counts), rarest)


@dataclass(frozen=True)
class SeenLabels:
    """Labels of a task as they were found.

    Attributes:
        splits: by name, those asked for.
        lineage: see :class:`hydra_peft.data.task_data.TaskData`.
        partial: whether the task was prepared from an incomplete original.
        of: what an example is, in the plural, for messages.
    """

    splits: Mapping[str, LabelRange]
    lineage: str
    partial: bool = False
    of: str = "images"


def says_more(of: str) -> str:
    """Return in brackets where one reads more about what is wrong with data.

    Args:
        of: what its examples are; only of images something says more.
    """
    return " (scripts/check_data.py says more)" if of == "images" else ""


def check_promises(
    seen: SeenLabels,
    *,
    name: str,
    classes: int,
    sizes: Mapping[str, int],
    test: str,
    allow_partial: bool,
) -> bool:
    """Check the labels of a task against what its yaml promises.

    Args:
        test: name of the test split, which is large enough to have every class.

    Returns:
        Whether the data is partial: a split has another size, or it was prepared from an
        incomplete original; only where ``allow_partial`` is true.

    Raises:
        UserError: partial data that is not allowed, or other classes than ``classes``.
    """
    partial = seen.partial
    for split, found in seen.splits.items():
        if found.count != sizes[split]:
            partial = True
            if not allow_partial:
                raise UserError(
                    f"dataset {name} has {found.count} {seen.of} in {split} where its yaml says "
                    f"{sizes[split]}: mend the data{says_more(seen.of)}, or set "
                    "data.allow_partial=true."
                )
    if seen.partial and not allow_partial:
        raise UserError(
            f"dataset {name} was prepared from an incomplete original, as its manifest.json says: "
            "complete the original and prepare the task again, or set data.allow_partial=true."
        )
    complete = seen.lineage == "generated" or test in seen.splits
    _check_classes(seen, name, classes, must_reach=complete and not allow_partial)
    return partial


def check_shots(found: LabelRange, shots: int | None) -> None:
    """Check that each class of the training data has as many examples as are to be drawn of it.

    Raises:
        UserError: one has fewer.
    """
    if shots and found.rarest is not None and found.rarest[1] < shots:
        raise too_few(shots, *found.rarest)


def too_few(shots: int, label: int, count: int) -> UserError:
    """Return that a class has only ``count`` training examples, as an error."""
    return UserError(
        f"dataset.shots={shots} is more than the {count} training examples of class {label}: lower "
        "it."
    )


def _check_classes(seen: SeenLabels, name: str, classes: int, *, must_reach: bool) -> None:
    """Check that labels lie below ``classes``, and reach it where all of them are there to see."""
    known = {
        split: (found.lowest, found.highest)
        for split, found in seen.splits.items()
        if found.lowest is not None and found.highest is not None
    }
    if not known:
        return
    for split, (low, high) in known.items():
        if low < 0 or high >= classes:
            raise UserError(
                f"dataset {name} has labels from {low} to {high} in {split}, but "
                f"dataset.classes={classes}: labels must lie below it; mend the data or "
                "dataset.classes."
            )
    highest = max(high for _, high in known.values())
    # The 1000 of a task with hundreds of classes may lack some of them.
    if must_reach and highest + 1 < classes:
        raise UserError(
            f"dataset {name} has labels from 0 to {highest}, but dataset.classes={classes}: set "
            f"dataset.classes={highest + 1}, or data.allow_partial=true where those of the last "
            "classes are missing."
        )
