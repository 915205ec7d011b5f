"""A completed run's record or config that was edited since is named and left out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from fabricated_runs import edited, put, record

from hydra_peft.config.text import to_yaml
from hydra_peft.errors import UserError
from hydra_peft.runs.collection import collect
from hydra_peft.runs.record import read_record, write_record
from hydra_peft.sweeps.status import Survey


def told(tmp_path: Path, folder: Path) -> str:
    """Return the sentence about the run, which every reader leaves out."""
    collection = collect(tmp_path)
    assert collection.completed == []
    assert Survey(tmp_path).look().of("done") == []
    with pytest.raises(UserError):
        read_record(folder)
    doubts: list[str] = []
    read_record(folder, doubts)
    assert doubts[0] in collection.warnings[0]
    return doubts[0]


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("98.25", "99.9"),
        lambda text: text.replace('"digits"', '"cells"'),
        lambda text: text.replace("hydra r=2+2", "hydra r=8+8"),
        lambda text: text.replace('"seal": {', '"seal": {"more": 1, ').replace("812.4", "912.4"),
    ],
)
def test_a_record_that_was_edited(tmp_path: Path, edit: Callable[[str], str]) -> None:
    folder = put(tmp_path)
    assert [run.folder for run in collect(tmp_path).completed] == [folder]
    path = folder / "result.json"
    text = path.read_text()
    path.write_text(json.dumps(json.loads(text)))  # the same in another form
    assert read_record(folder) == record()
    assert edit(text) != text
    path.write_text(edit(text))
    assert f"{path} is not as its run wrote it" in told(tmp_path, folder)


def test_a_config_that_was_edited(tmp_path: Path) -> None:
    folder = put(tmp_path)
    path = folder / "config.yaml"
    path.write_text(to_yaml({"seed": 0}))
    write_record(read_record(folder), folder)
    path.write_text(to_yaml({"seed": 1}))
    assert f"{path} is not the config of the run's record" in told(tmp_path, folder)
    path.unlink()  # records are copied without it
    assert read_record(folder).seed == 0


def test_texts_that_no_terminal_takes_are_sealed_as_they_are_read(tmp_path: Path) -> None:
    odd = dataclasses.replace(record(), model="\ud800 ü")
    write_record(odd, tmp_path)
    assert read_record(tmp_path).model == "\\ud800 ü"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scores": {"test": {"accuracy": 99.9}}}, "99.9, and 393 of 400 correct are 98.25"),
        ({"counts": {"scored": 400}}, "accuracy is 98.25, and None of 400"),
        ({"counts": {"scored": 400, "correct": 401}}, "401 of 400 examples correct"),
        ({"counts": {"scored": 0, "correct": 0}}, "0 of 0 examples correct"),
        ({"config_id": "0" * 12}, "config_id 000000000000 is not that of its science"),
    ],
)
def test_records_of_older_code_have_no_seal(
    tmp_path: Path, changes: dict[str, object], sentence: str
) -> None:
    folder = put(tmp_path)
    edited(folder, images_per_second=1.0)
    assert read_record(folder).images_per_second == 1.0
    edited(folder, **changes)
    assert f"contradicts itself: {sentence}" in told(tmp_path, folder).replace(
        "accuracy is 99", "99"
    )
