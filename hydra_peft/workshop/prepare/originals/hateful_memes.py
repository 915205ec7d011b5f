"""Hateful Memes: pictures with words on them, hateful or not (Kiela et al. 2020).

ELEVATER tests on the development set of 500 images, ``dev_seen.jsonl`` of the second phase of the
challenge or ``dev.jsonl`` of the first. Who wants the data accepts its licence on a form.
"""

from __future__ import annotations

import json
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import TRAIN_AND_TEST, Original, Pool
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._listing import check_present
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import is_below

LISTS = {"train": ("train.jsonl",), "test": ("dev_seen.jsonl", "dev.jsonl")}
SIZES = {"train": 8_500, "test": 500}


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train`` and ``test``; keys are like ``img/42953.png``, 1 is hateful.

    Raises:
        UserError: a file is missing, or a line is malformed.
    """
    pools = {}
    for split, names in LISTS.items():
        path = source.file(*names)
        listed = _listed(path)
        check_present(path.parent, list(listed), path)
        source.expect_count(f"images in {path.name}", len(listed), SIZES[split])
        pools[split] = file_pool(path.parent, list(listed), list(listed.values()))
    return pools


def _listed(path: Path) -> dict[str, int]:
    """Return the label of each image, in the order of the lines."""
    found: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path} ({error}): fetch it again.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            image, label = str(values["img"]), values["label"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(
                f"{path}, line {number}: expected a json object with img and label, found "
                f"'{line[:60]}': fetch it again."
            ) from None
        if label not in (0, 1) or not is_below(image, "img"):
            raise UserError(
                f"{path}, line {number}: img should be a file below img/ and label 0 or 1, found "
                f"'{image[:60]}' and {str(label)[:20]}: fetch it again."
            )
        if found.setdefault(image, label) != label:
            raise UserError(f"{path}, line {number}: '{image}' has two labels: fetch it again.")
    if not found:
        raise UserError(f"{path} is empty: fetch it again.")
    return found


ORIGINAL = Original(
    name="Hateful Memes",
    tasks={},
    elevater={"hateful_memes": TRAIN_AND_TEST},
    files=(),
    page="https://ai.meta.com/tools/hatefulmemes/",
    needs=("train.jsonl", "dev_seen.jsonl (or dev.jsonl)", "the folder img"),
    pools=_pools,
)
