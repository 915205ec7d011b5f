"""What only a run's folder names is not quoted; what who trains names is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_net import TinyNet

from hydra_peft.backbones.checkpoints import load_checkpoint
from hydra_peft.data.glue_tables import read_table
from hydra_peft.data.label_files import Columns, read_label_file
from hydra_peft.data.list_files import read_list
from hydra_peft.data.table_columns import image_column, label_column
from hydra_peft.data.tables_package import loading
from hydra_peft.data.task_files import TaskFiles
from hydra_peft.errors import UserError
from hydra_peft.files import read_json
from hydra_peft.quoting import of_file, unquoted
from hydra_peft.tensor_files import write_tensors

SECRET = "root:x:0"
#: files of labels, with what is asked of their columns: image, label, split
LABELS: list[tuple[str, tuple[str | None, ...]]] = [
    (f"{SECRET},b\na.png,1\n", ("image", None, None)),
    (f"{SECRET},b,c\na.png,1,2\n", (None, None, None)),
    (f"{SECRET},b\na,1\n", (None, None, None)),
    (f"{SECRET}.png,b\na.png,1\n", (None, None, None)),
    (f"{SECRET},{SECRET}\na.png,b.png\n", (None, None, None)),
    (f"image,b\n{SECRET}.png,1\n", ("image", None, None)),
    (f"image,b\n../{SECRET},1\n", ("image", None, None)),
    (f"image,b\nx/../{SECRET},1\n", ("image", None, None)),
    (f"image,b\n{SECRET}\0,1\n", ("image", None, None)),
    (f"image,b\n{SECRET}/folder,1\n", ("image", None, None)),
    (f"image,b\n{SECRET}/a.png,1\n{SECRET}/a.png,1\n", ("image", None, None)),
    (f"image,b\n{SECRET}/a.png,nan\n", ("image", None, None)),
    (f"image,b,s\na.png,1,{SECRET}\n", ("image", "b", "s")),
    (f"image,b\na.png,1\nb.png,2\nc.png,{SECRET}\n", ("image", None, None)),
    (f"image,b\na.png,{SECRET}\n", ("image", None, None)),
    (f"image,b,s\na.png,1,train\nb.png,{SECRET},test\n", ("image", "b", "s")),
]


def labels(folder: Path, text: str, columns: tuple[str | None, ...]) -> None:
    (folder / SECRET / "folder").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", f"{SECRET}/a.png"):
        (folder / name).write_bytes(b"")
    (file := folder / "labels.csv").write_text(text)
    read_label_file(file, folder, Columns(*columns))


def listed(folder: Path, line: str) -> None:
    (file := folder / "test.txt").write_text(line)
    read_list(file, 2)


def glue(folder: Path, name: str, original: str, text: str) -> None:
    (folder / original).mkdir()
    (folder / original / "dev.tsv").write_text(text)
    read_table(folder, name, "validation", hub=False)


def column(kind: Callable[..., str], given: str | None, *features: str) -> None:
    values = {name: SimpleNamespace(dtype="binary") for name in features}
    kind(values, given, *([""] * (kind is label_column)), "a table")


def failing() -> None:
    with loading("a table", "mend it"):
        raise ValueError(f"expected 1 column, got 2: {SECRET}")


def weights(folder: Path) -> None:
    write_tensors(file := folder / "a.safetensors", {SECRET: torch.ones(1)}, {})
    load_checkpoint(TinyNet(), str(file))


READERS: list[Callable[[Path], Any]] = [
    *(lambda folder, one=one: labels(folder, *one) for one in LABELS),
    lambda folder: listed(folder, SECRET),
    lambda folder: listed(folder, f"/{SECRET} 1"),
    lambda folder: listed(folder, f"a/../{SECRET} 1"),
    lambda folder: listed(folder, f"{SECRET}\0 1"),
    lambda folder: listed(folder, f"{SECRET} 1\n{SECRET} 1"),
    lambda folder: TaskFiles(folder).status(folder / SECRET),
    lambda folder: glue(folder, "rte", "RTE", f"{SECRET}\tb\n"),
    lambda folder: glue(folder, "rte", "RTE", f"sentence1\tsentence2\tlabel\na\tb\t{SECRET}\n"),
    lambda folder: glue(folder, "sst2", "SST-2", f"sentence\tlabel\na\t{SECRET}\n"),
    lambda _: column(image_column, "image", SECRET),
    lambda _: column(image_column, None, SECRET, "b"),
    lambda _: column(label_column, None, SECRET),
    lambda _: failing(),
    weights,
]


@pytest.mark.parametrize("reader", READERS)
def test_what_stands_in_a_file(reader: Callable[[Path], Any], tmp_path: Path) -> None:
    for name in ("own", "recorded"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=SECRET):
        reader(tmp_path / "own")
    with pytest.raises(UserError) as caught, unquoted():
        reader(tmp_path / "recorded")
    assert SECRET not in str(caught.value)
    assert of_file(SECRET) == SECRET


def test_a_valid_label_stays_one(tmp_path: Path) -> None:
    with unquoted():
        glue(tmp_path, "rte", "RTE", "sentence1\tsentence2\tlabel\na\tb\tentailment\n")


@pytest.mark.parametrize("content", [f'{{"{SECRET}": 1, "{SECRET}": 2}}', '{"a": 1e999}'])
def test_json_behind_a_link(content: str, tmp_path: Path) -> None:
    (file := tmp_path / "own.json").write_text(content)
    (link := tmp_path / "link.json").symlink_to(file)
    with pytest.raises(UserError, match=f"{SECRET}|1e999"):
        read_json(file, links=True)
    with pytest.raises(UserError) as caught:
        read_json(link, links=True)
    assert not any(said in str(caught.value) for said in (SECRET, "1e999"))
