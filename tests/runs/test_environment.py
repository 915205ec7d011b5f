"""What a record says of the code that ran."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hydra_peft.runs import environment


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """A repository with a file in each folder, and what is said of it now."""
    for name in ("hydra_peft/a.py", "conf/train.yaml", "results/old.json", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    who = ["-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    return lambda: environment.code_version.__wrapped__()["changed"]


def test_only_what_is_loaded_makes_a_commit_dirty(
    checkout: Callable[[], object], tmp_path: Path
) -> None:
    for name in ("notes.txt", "results/new.json", "data.py"):
        (tmp_path / name).touch()
    (tmp_path / "results/old.json").write_text("measured again")
    assert checkout() == []
    (tmp_path / "conf/mine ä.yaml").touch()
    (tmp_path / "hydra_peft/b.py").touch()
    assert checkout() == ["conf/mine ä.yaml", "hydra_peft/b.py"]
    (tmp_path / "README.md").write_text("changed")
    (tmp_path / "hydra_peft/a.py").unlink()
    assert checkout() == [
        "README.md", "conf/mine ä.yaml", "hydra_peft/a.py", "hydra_peft/b.py"
    ]  # fmt: skip


@pytest.mark.usefixtures("checkout")
def test_a_clean_checkout_and_none_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = environment.code_version.__wrapped__()
    assert (said["dirty"], said["changed"], len(said["commit"])) == (False, [], 40)
    monkeypatch.setattr(environment, "ROOT", tmp_path / "no")
    assert environment.code_version.__wrapped__() == {"commit": None, "dirty": None, "changed": []}
