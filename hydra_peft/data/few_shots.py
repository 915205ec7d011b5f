"""Few-shot samples as ELEVATER draws them: so many examples a class, a fifth of each held out.

Sampling is that of microsoft/vision-datasets 0.2.17 (``sample_few_shot_subset``), holding out that
of Computer-Vision-in-the-Wild/Elevater_Toolkit_IC (``evaluation/feature.py: get_dataloader``). Both
take examples with one class, with several and with none. No torch is loaded.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra_peft.data.promises import too_few
from hydra_peft.data.split_roles import BEFORE
from hydra_peft.errors import UserError

#: splits of a few-shot sample: what is trained on while tuning, and what is held out meanwhile
FIT, VAL = "fit_shots", "val_shots"
#: of the examples of each class in a sample
HELD_OUT = 0.2


def at_source(splits: Iterable[str], train: str) -> tuple[str, ...]:
    """Return the splits of a source that ``splits`` are taken from: a sample's parts from
    ``train``."""
    return tuple(dict.fromkeys(train if name in (FIT, VAL) else name for name in splits))


def count_of(dataset: Mapping[str, Any], split: str) -> int:
    """Return how many examples of ``split`` a run has, where some of the training data are drawn.

    Of a sample of examples with several classes, and of parts of what is drawn by content, it is
    only about so many.

    Args:
        dataset: the group ``dataset`` of a config, as plain values, or of a record's science.
        split: one that is learnt from.

    Raises:
        KeyError: there is no such split.
        TypeError: a value is no whole number.
    """
    shots, train_size, sizes = dataset.get("shots"), dataset.get("train_size"), dataset["sizes"]
    drawn = _whole(shots) * _whole(dataset["classes"]) if shots else _whole(train_size or 0)
    if shots and dataset.get("sampling_seed") is not None:
        return {FIT: drawn - int(HELD_OUT * drawn), VAL: int(HELD_OUT * drawn)}.get(split, drawn)
    if not drawn:
        return _whole(sizes[split])
    roles = dataset.get("splits", BEFORE)
    whole = _whole(sizes[roles["train"] if isinstance(roles, Mapping) else roles.train])
    return round(min(drawn, whole) * _whole(sizes[split]) / whole)


def none_left(name: str, shots: int) -> UserError:
    """Return the error where all of so many ``shots`` of the data set ``name`` are held out."""
    return UserError(
        f"dataset.shots={shots} leaves nothing of dataset {name} to train on beside what is held "
        "out: take 2 shots or more, or hold nothing out (protocol=clean protocol.tune=false)."
    )


def exact_count(dataset: Mapping[str, Any], split: str, whole: int, *, single: bool) -> int | None:
    """Return how many examples of ``split`` a run has; None where only the drawing tells.

    Args:
        dataset: as of :func:`count_of`, checked.
        split: one that is learnt from.
        whole: how many examples the source has in what it is drawn from.
        single: whether each example has one class.
    """
    shots, train_size, roles = dataset["shots"], dataset["train_size"], dataset["splits"]
    if not shots and not train_size:
        return whole
    if train_size and split == roles.train:
        return min(_whole(train_size), whole)
    held = math.ceil(HELD_OUT * shots) if shots and split == FIT else 0
    if shots and single and split in (roles.train, FIT):
        return (_whole(shots) - held) * _whole(dataset["classes"])
    return None


def _whole(value: object) -> int:
    if type(value) is not int:  # a text can be multiplied, too
        raise TypeError(f"{value!r} is no whole number")
    return value


def sample(labels: Sequence[Sequence[int]], classes: int, *, shots: int, seed: int) -> list[int]:
    """Return the positions of a sample with ``shots`` examples a class, in the order drawn.

    All positions are shuffled by Python's ``random.Random(seed)`` and gone through once. An example
    is taken while one of its classes lacks examples, unless it would pile up others: its rarest
    class has more than half of ``shots`` and its commonest more than one and a half times them.
    So with one class each there are exactly ``shots`` of every class; with several there may be
    more of common ones. Of examples without a class as many are taken as come before the end.

    Args:
        labels: the classes of each example.
        classes: how many there are.
        shots: examples of each.
        seed: another one draws others.

    Raises:
        UserError: a class has fewer examples than ``shots``.
    """
    there = Counter(label for own in labels for label in set(own))
    for label in range(classes):
        if there[label] < shots:
            raise too_few(shots, label, there[label])
    order = list(range(len(labels)))
    random.Random(seed).shuffle(order)
    counts, chosen, bare = [0] * classes, [], 0
    for row in order:
        if not labels[row]:
            if bare < shots:
                bare += 1
                chosen.append(row)
            continue
        own = [counts[label] for label in labels[row]]
        if min(own) >= shots:
            continue
        if min(own) <= shots / 2 or max(own) <= 1.5 * shots:
            chosen.append(row)
            for label in labels[row]:
                counts[label] += 1
        if min(counts) >= shots:
            break
    return chosen


def held_out(labels: Sequence[Sequence[int]], classes: int) -> list[int]:
    """Return the positions, in a sample, of the examples that are held out, ascending.

    A fifth of each class, rounded up, and the first of them in the order drawn: class after class,
    an example is held out while its class lacks some, and counts for all of its classes.

    Args:
        labels: the classes of each example of the sample, in the order drawn.
        classes: how many there are.
    """
    counts = Counter(label for own in labels for label in own)
    lacking = {label: math.ceil(counts[label] * HELD_OUT) for label in range(classes)}
    out: set[int] = set()
    for label in range(classes):
        for row, own in enumerate(labels):
            if lacking[label] <= 0:
                break
            if label in own and row not in out:
                out.add(row)
                for one in own:
                    lacking[one] -= 1
    return sorted(out)
