"""A run's folder in which something else lies where one of its files belongs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import load_backbone
from hydra_peft.runs.existing import folder_of
from hydra_peft.runs.folder import WRITTEN, check_file_places
from hydra_peft.runs.record import FILE
from hydra_peft.runs.run import Outcome
from hydra_peft.sweeps.status import Survey

Do = Callable[..., Outcome]


def bind(path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX) as made:
        patch.chdir(path.parent)  # a socket's name is short
        made.bind(path.name)


NO_RECORDS: dict[str, Callable[[Path], None]] = {
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a pipe": os.mkfifo,
    "a socket": bind,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("what", NO_RECORDS)
def test_what_lies_beside_no_record_is_set_aside(do: Do, tmp_path: Path, what: str) -> None:
    done = do("method=linear")
    adapter = (done.folder / "adapter.safetensors").read_bytes()
    record = done.folder / FILE
    record.unlink()
    NO_RECORDS[what](record)
    (warning,) = Survey(tmp_path / "runs").look().warnings
    assert f"{FILE} is not a plain file." in warning
    again = do("method=linear", "train.epochs=2")
    assert (again.record.status, again.skipped) == ("completed", False)
    aside = done.folder.with_name(f"{done.folder.name}.superseded-1")
    assert os.path.lexists(aside / FILE)
    assert not (aside / FILE).is_file()
    assert (aside / "adapter.safetensors").read_bytes() == adapter


@pytest.mark.parametrize("name", WRITTEN)
def test_no_file_can_take_the_place_of_a_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / name).symlink_to("elsewhere")  # a link is replaced
    check_file_places(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"{name} is a folder, and the run writes a file of that"):
        check_file_places(tmp_path)


def test_a_folder_in_the_place_of_a_file_is_told_before_training(
    do: Do, configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configure("method=linear")
    folder = folder_of(config, load_backbone(config.model, config.seed)[1])
    (folder / "adapter.json" / "inside").mkdir(parents=True)
    monkeypatch.setattr("hydra_peft.runs.run.Training", lambda *_: pytest.fail("it trained"))
    with pytest.raises(UserError, match=r"adapter\.json is a folder"):
        do("method=linear")
    assert [path.name for path in sorted(folder.rglob("*"))] == ["adapter.json", "inside"]
