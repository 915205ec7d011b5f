"""Images of one folder whose classes text files list, one file a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hydra_peft.workshop.prepare.originals._base import Pool
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._labelled_folders import class_label
from hydra_peft.workshop.prepare.originals._listing import check_present
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import Entry, refuse_repeats


def listed_pools(
    source: SourceFolder,
    lists: Mapping[str, Sequence[Entry]],
    images: Path,
    classes: Sequence[str],
    sizes: Mapping[str, int],
    *,
    names: Sequence[str] = (),
) -> dict[str, Pool]:
    """Return a pool for each list; keys are paths below ``images``.

    Args:
        source: takes notes of what is missing.
        lists: entries by split: an image without its ending, ``.jpg``, and its class.
        images: the folder.
        classes: all classes, as the lists name them, in the order of their labels.
        sizes: how many images each split should have.
        names: of the classes, for benchmarks that count them in an order of their own.

    Raises:
        UserError: an image is listed twice or missing, or a class is unknown.
    """
    refuse_repeats(entry for entries in lists.values() for entry in entries)
    pools = {}
    for split, entries in lists.items():
        keys = [f"{entry.fields[0]}.jpg" for entry in entries]
        labels = [class_label(entry.fields[1], classes, where=entry) for entry in entries]
        check_present(images, keys, entries[0].listing)
        source.expect_count(f"images of {split}", len(keys), sizes[split])
        pools[split] = file_pool(images, keys, labels, classes=names)
    return pools
