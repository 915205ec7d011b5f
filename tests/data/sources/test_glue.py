"""GLUE out of parquet and out of the original files, and what is wrong with some files."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from glue_files import DEV, ORIGINAL, TRAIN, rows, splits_of, write_parquet, write_tsv

from hydra_peft.checkout import option
from hydra_peft.cli import check_data
from hydra_peft.data.glue_tables import TASKS, read_table
from hydra_peft.data.overlap import check_apart
from hydra_peft.data.overlap import rows as hash_rows
from hydra_peft.data.promises import check_promises
from hydra_peft.data.sources import DataRequest, labels_of, load_task, options_class
from hydra_peft.data.split import Texts
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError


def request(root: Path, task: str, *splits: str, hub: bool = False) -> DataRequest:
    cls = options_class("glue")
    assert cls is not None
    return DataRequest(
        benchmark="glue",
        name=task,
        folder=None,
        aliases=(),
        classes=max(1, len(TASKS[task].classes)),
        root=root,
        cache=root / "cache",
        splits=splits or splits_of(task),
        options=cls(hub=hub),
    )


def load(root: Path, task: str, *splits: str) -> TaskData:
    return load_task("glue", request(root, task, *splits))


@pytest.mark.parametrize("task", ORIGINAL)
def test_parquet_and_originals_are_the_same_data(tmp_path: Path, task: str) -> None:
    write_parquet(tmp_path / "a", task)
    write_tsv(tmp_path / "b", task)
    write_tsv(tmp_path / "c", task, zipped=True)
    found = {place: load(tmp_path / place, task) for place in "abc"}
    assert [data.lineage for data in found.values()] == ["parquet", "originals", "originals"]
    hashes = {data.describe()["sha256"] for data in found.values()}
    assert len(hashes) == 1
    split = found["a"].splits["train"]
    texts = split.inputs["text"]
    assert isinstance(texts, Texts)
    expected = rows(task, "train")
    assert [list(row) for row in zip(*texts.columns, strict=True)] == [t for t, _ in expected]
    assert split.targets.tolist() == [label for _, label in expected]
    assert split.targets.dtype == (torch.float32 if task == "stsb" else torch.int64)
    seen = labels_of("glue", request(tmp_path / "b", task))
    assert seen.splits == found["b"].seen_labels().splits


def test_yaml_promises_the_public_sizes() -> None:
    # reference: the card of nyu-mll/glue
    public = {
        "mnli": (392_702, 9_815),
        "sst2": (67_349, 872),
        "mrpc": (3_668, 408),
        "cola": (8_551, 1_043),
        "qnli": (104_743, 5_463),
        "qqp": (363_846, 40_430),
        "rte": (2_490, 277),
        "stsb": (5_749, 1_500),
    }
    for task, (train, dev) in public.items():
        yaml = option("dataset", f"glue/{task}")
        sizes = yaml["sizes"]
        assert (sizes["train"], sizes[yaml["splits"]["test"]]) == (train, dev)
        assert sizes["train10"] == train // 10
        assert sizes["train90"] + sizes["train10"] == train
        assert yaml["classes"] == max(1, len(TASKS[task].classes))
    mnli = option("dataset", "glue/mnli")
    assert mnli["splits"]["further"] == ["validation_mismatched"]
    assert mnli["sizes"]["validation_mismatched"] == 9_832


def test_a_tenth_is_held_out_by_content(tmp_path: Path) -> None:
    write_parquet(tmp_path, "rte")
    data = load(tmp_path, "rte", "train90", "train10", "train")
    parts = {name: hash_rows(split.hashes()) for name, split in data.splits.items()}
    assert len(parts["train10"]) == TRAIN // 10
    assert sorted(parts["train90"] + parts["train10"]) == sorted(parts["train"])
    seen = labels_of("glue", request(tmp_path, "rte", "train90", "train10"))
    assert [seen.splits[name].count for name in ("train90", "train10")] == [36, 4]
    # In another order the same ones are held out.
    original = write_tsv(tmp_path / "turned", "rte") / "glue" / "RTE" / "train.tsv"
    header, *lines = original.read_text().splitlines()
    original.write_text("\n".join([header, *reversed(lines)]) + "\n")
    turned = load(tmp_path / "turned", "rte", "train10")
    assert sorted(hash_rows(turned.splits["train10"].hashes())) == sorted(parts["train10"])


def rewrite(root: Path, task: str, change) -> Path:  # type: ignore[no-untyped-def]
    """Write a task's validation file again with changed columns; return it."""
    import pyarrow
    from pyarrow import parquet

    path = root / "glue" / task / "validation-00000-of-00001.parquet"
    columns = parquet.read_table(path).to_pydict()
    change(columns)
    parquet.write_table(pyarrow.table(columns), path)
    return path


def refused(root: Path, task: str = "rte", split: str = "validation") -> str:
    with pytest.raises(UserError) as error:
        read_table(root / "glue", task, split, hub=False)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path: Path) -> None:
    write_parquet(tmp_path, "rte")
    rewrite(tmp_path, "rte", lambda c: c["label"].__setitem__(2, -1))
    assert "has the label -1 in row 3, which hides the true one" in refused(tmp_path)
    rewrite(tmp_path, "rte", lambda c: c["label"].__setitem__(2, 2))
    assert "has the label 2 in row 3: it must be a class from 0 to 1" in refused(tmp_path)
    rewrite(tmp_path, "rte", lambda c: c["label"].__setitem__(2, 1))
    rewrite(tmp_path, "rte", lambda c: c["sentence2"].__setitem__(4, None))
    assert "has no text in column 'sentence2' of row 5 (it is null)" in refused(tmp_path)
    path = rewrite(tmp_path, "rte", lambda c: c.pop("label"))
    assert "has no column 'label' (it has sentence1, sentence2, idx)" in refused(tmp_path)
    path.write_bytes(b"PAR1")
    assert f"cannot load {path}" in refused(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert f"{path} is no ordinary file" in refused(tmp_path)
    path.unlink()
    assert "has no validation in" in refused(tmp_path)
    assert "data.hub=true" in refused(tmp_path)


def test_originals_that_are_no_such_files(tmp_path: Path) -> None:
    write_tsv(tmp_path, "mnli", "cola")
    path = tmp_path / "glue" / "MNLI" / "dev_matched.tsv"
    good = path.read_text()
    path.write_text(good.replace("\tneutral\n", "\t-\n"))
    said = refused(tmp_path, "mnli", "validation_matched")
    assert re.search(r"dev_matched\.tsv, row \d+: label '-' is unknown", said)
    path.write_text(good + "13\ta row\n")
    table = read_table(tmp_path / "glue", "mnli", "validation_matched", hub=False)
    assert len(table.labels) == DEV
    assert table.notes == (f"1 rows of {path} lack columns and are left out",)
    (tmp_path / "glue" / "CoLA" / "dev.tsv").write_bytes(b"gj04\t1\t\t\xff\xfe\n")
    assert "is no text in UTF-8" in refused(tmp_path, "cola")


@pytest.mark.parametrize("label", [math.nan, 1e39, -0.5, 5.5])
def test_a_score_of_stsb_is_from_0_to_5(tmp_path: Path, label: float) -> None:
    write_parquet(tmp_path, "stsb")
    rewrite(tmp_path, "stsb", lambda c: c["label"].__setitem__(2, label))
    assert "in row 3: it must be a number from 0 to 5" in refused(tmp_path, "stsb")


def test_texts_that_are_none_and_columns_of_one_name(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    write_parquet(tmp_path, "rte")
    path = tmp_path / "glue" / "rte" / "validation-00000-of-00001.parquet"
    table = parquet.read_table(path)
    columns = [*table.columns, table.columns[0]]
    twice = pyarrow.table(columns, names=[*table.column_names, "sentence1"])
    parquet.write_table(twice, path)
    assert "exists 2 times" in refused(tmp_path)
    offsets = pyarrow.py_buffer(np.arange(len(table) + 1, dtype=np.int32).tobytes())
    content = pyarrow.py_buffer(b"\xff" * len(table))
    no_text = pyarrow.Array.from_buffers(pyarrow.string(), len(table), [None, offsets, content])
    parquet.write_table(table.set_column(0, "sentence1", no_text), path)
    assert f"cannot load {path}: 'utf-8' codec can't decode" in refused(tmp_path)


def test_a_damaged_zip_and_an_endless_field(tmp_path: Path) -> None:
    write_tsv(tmp_path, "rte", zipped=True)
    path = tmp_path / "glue" / "RTE.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("RTE/dev.tsv", bytes(range(256)) * 8)
    content = bytearray(path.read_bytes())
    content[60:120] = b"\xff" * 60
    path.write_bytes(content)
    assert f"cannot load {path}: " in refused(tmp_path)
    path.unlink()
    os.mkfifo(path)
    assert f"{path} is no ordinary file" in refused(tmp_path)
    write_tsv(tmp_path, "cola")
    dev = tmp_path / "glue" / "CoLA" / "dev.tsv"
    dev.write_text(f"gj04\t1\t\t{'a' * 200_000}\n")
    assert f"cannot load {dev}: field larger than field limit" in refused(tmp_path, "cola")
    dev.unlink()
    dev.symlink_to("/dev/zero")
    assert f"{dev} is no ordinary file" in refused(tmp_path, "cola")


def test_the_hub_is_asked_for_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Rows(dict):  # type: ignore[type-arg]
        column_names = ("sentence", "label", "idx")

    def load_dataset(*names: str, split: str) -> Rows:
        asked.append((*names, split))
        return Rows(sentence=["it rained", "rained it"], label=[1, 0], idx=[0, 1])

    monkeypatch.setattr(
        "hydra_peft.data.glue_tables.tables_package",
        lambda: SimpleNamespace(load_dataset=load_dataset),
    )
    data = load_task("glue", request(tmp_path, "cola", "validation", hub=True))
    assert asked == [("nyu-mll/glue", "cola", "validation")]
    assert (data.lineage, data.splits["validation"].targets.tolist()) == ("hub", [1, 0])


def test_without_pyarrow_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path, "rte")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'hydra-peft[text]'" in refused(tmp_path)


def test_messages_speak_of_texts(tmp_path: Path) -> None:
    write_parquet(tmp_path, "rte")
    data = load(tmp_path, "rte", "train", "validation")
    roles = SplitRoles(train="train", test="validation")
    check_apart(data, "glue/rte", roles)
    first = data.splits["validation"].inputs["text"]
    assert isinstance(first, Texts)
    both = {"train": data.splits["validation"], "validation": data.splits["validation"]}
    with pytest.raises(UserError, match=r"12 of 12 texts of .* of unseen texts: mend the data\.$"):
        check_apart(dataclasses.replace(data, splits=both), "glue/rte", roles)
    seen = labels_of("glue", request(tmp_path, "rte"))
    sizes = {"train": 41, "validation": 12}
    with pytest.raises(UserError, match="has 40 texts in train where its yaml says 41: mend the"):
        check_promises(
            seen, name="rte", classes=2, sizes=sizes, test="validation", allow_partial=False
        )


def test_check_data_leaves_texts_to_the_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["check_data.py", "benchmark=glue", "task=rte", f"out={tmp_path}/out.json"]
    monkeypatch.setattr(sys, "argv", words)
    assert check_data.main() == 2
    assert (
        "task 'rte' of benchmark 'glue' has texts, which each run checks" in capsys.readouterr().err
    )
