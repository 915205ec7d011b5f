"""scripts/predict.py: images to a table, and mistakes before torch is loaded."""

from __future__ import annotations

import ast
import csv
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fabricated_models import put_model
from PIL import Image

import hydra_peft
from hydra_peft.cli import predict
from hydra_peft.errors import UserError

NAMES = ["a", "b, c", *"defghijk"]
DATA = {"sha256": "a" * 64, "splits": {"test": "c" * 64}, "classes": NAMES}
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(compose_train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_model(compose_train, tmp_path_factory.mktemp("run"), data=DATA)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Five images in a folder and one below it, beside files that are none."""
    root = tmp_path / "photos"
    for number, name in enumerate(("b.png", "a.JPG", "c.gif", "more/d.png", ".hidden/e.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(number).randint(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(root / name)
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture
def call(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        own = {word.split("=")[0] for word in words}
        usual = [w for w in (f"run={folder}", "device=cpu") if w.split("=")[0] not in own]
        monkeypatch.setattr(sys, "argv", ["predict.py", *usual, *words])
        return (predict.main(), *capsys.readouterr())

    return call


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_table(call: Call, folder: Path, photos: Path, tmp_path: Path) -> None:
    code, out, err = call(f"images={photos}")
    assert (code, err) == (0, "")
    assert out == "written: predictions.csv (4 of 4 images)\n"
    table = rows(tmp_path / "predictions.csv")
    files = [photos / name for name in ("a.JPG", "b.png", "c.gif", "more/d.png")]
    assert [row["image"] for row in table] == [str(file) for file in files]
    names, probabilities = hydra_peft.load_run(folder, device="cpu").predict(files)
    assert [row["prediction"] for row in table] == names
    for row, expected in zip(table, probabilities.tolist(), strict=True):
        assert [float(row[f"p({name})"]) for name in NAMES] == pytest.approx(expected, rel=1e-5)


def test_what_cannot_be_read_is_named_and_left_out(
    call: Call, photos: Path, tmp_path: Path
) -> None:
    (photos / "a.JPG").write_bytes(b"nothing")
    code, out, err = call(f"images={photos}/*", f"output={tmp_path}/out.csv", "merged=true")
    assert code == 1
    assert out == f"written: {tmp_path}/out.csv (2 of 4 images, 2 could not be read)\n"
    first, second = err.splitlines()
    assert first.startswith(f"error: cannot read the image {photos}/a.JPG: ")
    assert second.startswith(f"error: cannot read the image {photos}/notes.txt: ")
    assert [Path(row["image"]).name for row in rows(tmp_path / "out.csv")] == ["b.png", "c.gif"]
    (tmp_path / "out.csv").unlink()
    code, out, err = call(f"images={photos}/notes.txt", f"output={tmp_path}/out.csv")
    assert (code, out) == (2, "")
    assert err.endswith("error: none of 1 image could be read: nothing was written.\n")
    assert not (tmp_path / "out.csv").exists()


def test_names_of_files_are_no_formulas_and_always_text(
    call: Call, photos: Path, tmp_path: Path
) -> None:
    shutil.copy(photos / "b.png", tmp_path / os.fsdecode(b"=1+1\xff.png"))
    assert call("images=*.png")[0] == 0
    (row,) = rows(tmp_path / "predictions.csv")
    assert row["image"] == "'=1+1\\udcff.png"


def test_no_table_becomes_a_file_of_the_data(
    call: Call, folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spares(files: list[Path], *runs: Path) -> None:
        raise UserError(f"{files} of {runs}")

    monkeypatch.setattr(predict, "check_spares_data", spares)
    told = f"error: {[Path('predictions.csv')]} of {(folder,)}\n"
    assert call(f"images={photos}") == (2, "", told)
    assert not (tmp_path / "predictions.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "images is missing"),
        (["images="], "images= has no value: leave it out, or give one"),
        (["images=none/*.png"], "images=none/*.png is no file and no folder"),
        (["images=empty"], "images=empty: no file in this folder ends as an image does (.apng"),
        (["images=photos", "output=empty"], "output=empty is a folder"),
        (["images=photos", "output=photos/notes.txt/a.csv"], "photos/notes.txt: "),
        (["images=photos", "output=photos/b.png"], "name a file that ends in .csv."),
        (["images=photos/*", "output=photos/d.csv"], "output=photos/d.csv is photos/d.csv, which"),
        (["images=photos", "output=run/metrics.csv"], "the place of metrics.csv of the run in "),
        (
            ["images=photos", "device=tpu"],
            "device=tpu is not allowed: it must be auto, cpu or",
        ),
        (["images=photos", "merged=1"], "merged=1 is not allowed"),
        (["images=photos", "run=empty"], "empty is no run, it has no result.json"),
        (["imges=photos"], "did you mean 'images'"),
    ],
)
def test_mistakes_are_told_before_torch_is_loaded(
    call: Call,
    folder: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").symlink_to(folder)
    (photos / "d.csv").write_text("")
    # Whoever imports it would load torch in a process of its own.
    monkeypatch.setitem(sys.modules, "hydra_peft.runs.predicting", None)
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    assert message in err


def test_the_notebook_runs(
    root: Path, folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = json.loads((root / "docs/predict.ipynb").read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    for was, now in (("results/runs/mini/digits/<run>", str(folder)), ("photos", str(photos))):
        assert f'"{was}' in code
        code = code.replace(f'"{was}', f'"{now}')
    monkeypatch.chdir(os.path.dirname(photos))
    values: dict[str, Any] = {}
    exec(compile(ast.parse(code), "predict.ipynb", "exec"), values)
    assert values["probabilities"].shape == torch.Size([1, 10])
    assert values["names"][0] in NAMES
