"""Caltech-101: 9,144 photographs in 101 classes and one of background (Li et al. 2004).

tensorflow/datasets' ``caltech101`` draws 30 images a class for training by numpy's seed 1234, over
directories and files in the order in which the file system happened to list them. That order is
not known, so its partition cannot be rebuilt, only be read from lists of it. Not read through
torchvision, whose class leaves out the background.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import (
    TRAIN_AND_TEST,
    Original,
    Pool,
    RemoteFile,
    two_pools,
)
from hydra_peft.workshop.prepare.originals._image_files import file_pool
from hydra_peft.workshop.prepare.originals._labelled_folders import (
    Labelled,
    class_label,
    labelled_images,
)
from hydra_peft.workshop.prepare.originals._listing import check_present
from hydra_peft.workshop.prepare.originals._source import SourceFolder
from hydra_peft.workshop.prepare.originals._text_lists import (
    NAME,
    Entry,
    read_entries,
    refuse_repeats,
)

FOLDER = "101_ObjectCategories"
ARCHIVE = "caltech-101.zip"
#: an archive within the archive
INNER = f"caltech-101/{FOLDER}.tar.gz"
LISTS = {"train": "caltech101_train.txt", "test": "caltech101_test.txt"}
SIZES = {"train": 3_060, "test": 6_084}
SEED, A_CLASS = 1234, 30
#: alphabetical without letter case, as tensorflow/datasets' caltech101_labels.txt
_NAMES = (
    "accordion airplanes anchor ant background_google barrel bass beaver binocular bonsai brain "
    "brontosaurus buddha butterfly camera cannon car_side ceiling_fan cellphone chair chandelier "
    "cougar_body cougar_face crab crayfish crocodile crocodile_head cup dalmatian dollar_bill "
    "dolphin dragonfly electric_guitar elephant emu euphonium ewer faces faces_easy ferry "
    "flamingo flamingo_head garfield gerenuk gramophone grand_piano hawksbill headphone hedgehog "
    "helicopter ibis inline_skate joshua_tree kangaroo ketch lamp laptop leopards llama lobster "
    "lotus mandolin mayfly menorah metronome minaret motorbikes nautilus octopus okapi pagoda "
    "panda pigeon pizza platypus pyramid revolver rhino rooster saxophone schooner scissors "
    "scorpion sea_horse snoopy soccer_ball stapler starfish stegosaurus stop_sign strawberry "
    "sunflower tick trilobite umbrella watch water_lilly wheelchair wild_cat windsor_chair wrench "
    "yin_yang"
)
CLASSES = tuple(_NAMES.split())


def _pools(source: SourceFolder, task: str) -> dict[str, Pool]:  # noqa: ARG001
    """Return the pools ``train`` and ``test``; keys are ``<Folder>/<file>``.

    Raises:
        UserError: the folder or one of the two lists is missing, a list's line is malformed or
            names no image, or without lists a class has fewer than 30 images.
    """
    root = _root(source)
    lists = {split: source.find(name) for split, name in LISTS.items()}
    if any(lists.values()):
        parts = _listed(source, root)
    else:
        parts = _drawn(labelled_images(source, root, CLASSES, any_case=True), root)
        source.note(
            f"{source.name}: tensorflow/datasets' partition depends on the order in which a file "
            "system lists files and cannot be rebuilt; 30 images a class were drawn by the "
            "same rule from sorted names, so the examples are not the benchmark's."
        )
    for split, keys in parts.items():
        source.expect_count(f"images for {split}", len(keys), SIZES[split])
    return {
        split: file_pool(root, list(keys), list(keys.values()), classes=CLASSES)
        for split, keys in parts.items()
    }


def _root(source: SourceFolder) -> Path:
    if source.find(FOLDER) is None and source.find(f"{FOLDER}.tar.gz") is None:
        source.folder_or_file(INNER, archives=[ARCHIVE])
    return source.folder_or_file(FOLDER, archives=[f"{FOLDER}.tar.gz", INNER, ARCHIVE])


def _drawn(images: list[Labelled], root: Path) -> dict[str, dict[str, int]]:
    """Return key to label of both splits: 30 images of each folder, drawn, and the rest."""
    random = np.random.RandomState(SEED)
    folders: dict[str, list[Labelled]] = {}
    for image in images:
        folders.setdefault(image.folder, []).append(image)
    parts: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    for folder, members in folders.items():
        if len(members) < A_CLASS:
            raise UserError(
                f"{root / folder} holds {len(members)} images, not the {A_CLASS} or more that the "
                "partition draws from: unpack it again."
            )
        chosen = set(random.choice(len(members), A_CLASS, replace=False).tolist())
        for index, image in enumerate(members):
            parts["train" if index in chosen else "test"][image.path] = image.label
    return parts


def _listed(source: SourceFolder, root: Path) -> dict[str, dict[str, int]]:
    """Return key to label of both splits, as the lists have them."""
    lists = {split: _entries(source, name) for split, name in LISTS.items()}
    refuse_repeats(entry for entries in lists.values() for entry in entries)
    for entries in lists.values():
        check_present(root, [entry.fields[0] for entry in entries], entries[0].listing)
    return {
        split: {e.fields[0]: class_label(e.fields[1], CLASSES, e, any_case=True) for e in entries}
        for split, entries in lists.items()
    }


def _entries(source: SourceFolder, name: str) -> list[Entry]:
    if source.find(name) is None:
        raise UserError(
            f"{source.folder} holds one of the lists {' and '.join(LISTS.values())} but not {name}:"
            " they make the partition together, add it or take the other one out."
        )
    return read_entries(source.file(name), rf"(({NAME})/{NAME}\.jpg)", "<Folder>/<file>.jpg")


ORIGINAL = Original(
    name="Caltech-101",
    tasks={"caltech101": two_pools(90)},
    elevater={"caltech101": TRAIN_AND_TEST},  # of these sizes too
    # URL and MD5: torchvision, caltech.py; size and sha256: tensorflow/datasets,
    # datasets/caltech101/checksums.tsv
    files=(
        RemoteFile(
            ARCHIVE,
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            md5="3138e1922a9193bfa496528edbbc45d0",
            size=137_414_764,
            sha256="331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
        ),
    ),
    page="https://doi.org/10.22002/D1.20086",
    needs=(
        f"{ARCHIVE}, or from it the folder {FOLDER}",
        f"optionally {LISTS['train']} and {LISTS['test']}",
    ),
    pools=_pools,
)
