"""Fabricated files of GLUE's eight tasks: as the hub has them, and as their authors gave them."""

from __future__ import annotations

import random
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="parquet needs pyarrow: hydra-peft[text]")

SPLITS = {"mnli": ("validation_matched", "validation_mismatched")}
NAMED = {
    "mnli": ("entailment", "neutral", "contradiction"),
    "qnli": ("entailment", "not_entailment"),
    "rte": ("entailment", "not_entailment"),
}
COLUMNS = {
    "cola": ("sentence",),
    "sst2": ("sentence",),
    "qqp": ("question1", "question2"),
    "mnli": ("premise", "hypothesis"),
    "qnli": ("question", "sentence"),
}
PAIR = ("sentence1", "sentence2")
ORIGINAL = {
    "cola": "CoLA",
    "sst2": "SST-2",
    "mrpc": "MRPC",
    "stsb": "STS-B",
    "qqp": "QQP",
    "mnli": "MNLI",
    "qnli": "QNLI",
    "rte": "RTE",
}
#: header of the original file, where it has one
HEADERS = {
    "sst2": "sentence\tlabel",
    "mrpc": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String",
    "stsb": "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\t"
    "score",
    "qqp": "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
    "mnli": "index\tpromptID\tpairID\tgenre\tp1\tp2\tq1\tq2\tsentence1\tsentence2\tlabel1\t"
    "gold_label",
    "qnli": "index\tquestion\tsentence\tlabel",
    "rte": "index\tsentence1\tsentence2\tlabel",
}
TRAIN, DEV = 40, 12
_SUBJECTS = ("the cat", "a dog", "the small bird", "she", "they")
_VERBS = ("sat", "ran", "slept")
_PLACES = ("on the mat", "under a tree", "in the house", "on a red car")


def rows(task: str, split: str) -> list[tuple[list[str], int | float]]:
    """Return texts and label of each example; the verbs say the label, so it can be learnt."""
    draw = random.Random(f"{task} {split}")
    classes = 3 if task == "mnli" else 2
    found = []
    start = {"train": 0, "validation_mismatched": 200}.get(split, 100)  # no text is in two splits
    for number in range(start, start + (TRAIN if split == "train" else DEV)):
        first = draw.randrange(3)
        second = draw.randrange(3)
        texts = [f"{draw.choice(_SUBJECTS)} {_VERBS[first]} {draw.choice(_PLACES)} ."]
        pair = len(COLUMNS.get(task, PAIR)) == 2
        if pair:
            texts.append(f'{draw.choice(_SUBJECTS)} "{_VERBS[second]}" {number} times')
        else:
            texts[0] += f" {number}"
        label = (first + second * pair) % classes if number - start >= classes else number - start
        found.append((texts, draw.randrange(11) / 2.0 if task == "stsb" else label))
    return found


def splits_of(task: str) -> tuple[str, ...]:
    return ("train", *SPLITS.get(task, ("validation",)))


def write_parquet(root: Path, *tasks: str) -> Path:
    """Write ``tasks`` below ``root/glue`` in the hub's layout; return ``root``."""
    import pyarrow
    from pyarrow import parquet

    for task in tasks or ORIGINAL:
        for split in splits_of(task):
            found = rows(task, split)
            names = COLUMNS.get(task, PAIR)
            table = {name: [texts[i] for texts, _ in found] for i, name in enumerate(names)}
            kind = pyarrow.float32() if task == "stsb" else pyarrow.int64()
            table["label"] = pyarrow.array([label for _, label in found], kind)
            table["idx"] = list(range(len(found)))
            path = root / "glue" / task / f"{split}-00000-of-00001.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(pyarrow.table(table), path)
    return root


def write_tsv(root: Path, *tasks: str, zipped: bool = False) -> Path:
    """Write ``tasks`` below ``root/glue`` as their authors gave them; return ``root``."""
    for task in tasks or ORIGINAL:
        folder = root / "glue" / ORIGINAL[task]
        folder.parent.mkdir(parents=True, exist_ok=True)
        texts = {
            f"{split.replace('validation', 'dev')}.tsv": _original(task, rows(task, split))
            for split in splits_of(task)
        }
        if zipped:
            with zipfile.ZipFile(folder.with_suffix(".zip"), "w") as archive:
                for name, text in texts.items():
                    archive.writestr(f"{folder.name}/{name}", text)
            continue
        folder.mkdir(exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8", newline="")
    return root


def _original(task: str, found: list[tuple[list[str], int | float]]) -> str:
    if task == "cola":
        return "".join(f"gj04\t{label}\t\t{texts[0]}\n" for texts, label in found)
    header = HEADERS[task]
    names = header.lstrip("\ufeff").split("\t")
    own = [
        n for n in names if n in ("sentence1", "sentence2", "question1", "question2", "sentence")
    ]
    own = ["question", "sentence"] if task == "qnli" else own
    own = ["#1 String", "#2 String"] if task == "mrpc" else own
    last = {"mrpc": "Quality", "stsb": "score", "qqp": "is_duplicate", "mnli": "gold_label"}
    lines = [header]
    for texts, label in found:
        cells = dict.fromkeys(names, "x") | dict(zip(own, texts, strict=True))
        shown = NAMED[task][int(label)] if task in NAMED else str(label)
        cells[last.get(task, "label")] = shown
        lines.append("\t".join(cells[name] for name in names))
    return "\n".join(lines) + "\n"


def words_for(task: str, root: Path) -> list[str]:
    """Return what makes ``dataset=glue/<task>`` take the files written here."""
    held = TRAIN // 10
    sizes = {"train": TRAIN, "train90": TRAIN - held, "train10": held}
    sizes |= dict.fromkeys(splits_of(task)[1:], DEV)
    return [
        f"dataset=glue/{task}",
        f"paths.data={root}",
        *(f"dataset.sizes.{name}={count}" for name, count in sizes.items()),
    ]
