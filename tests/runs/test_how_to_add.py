"""The examples of docs/architecture.md, put in place as they stand, run and merge."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import hydra_peft.adapters
import hydra_peft.data.sources
import hydra_peft.methods
import hydra_peft.metrics
import hydra_peft.tasks
from hydra_peft.runs import rebuild
from hydra_peft.runs.outcome import Outcome

ROOT = Path(__file__).parents[2]
PACKAGES = (
    hydra_peft.adapters,
    hydra_peft.data.sources,
    hydra_peft.methods,
    hydra_peft.metrics,
    hydra_peft.tasks,
)


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the files that the page shows; return the root of their configs."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    shown = re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", page, flags=re.DOTALL)
    assert len(shown) == 7
    for name, text in shown:
        file = tmp_path / "shown" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for package in PACKAGES:
        place = tmp_path / "shown" / package.__name__.replace(".", "/")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(place)])
    return tmp_path / "shown" / "conf"


def test_the_pages_examples_train_and_merge(
    do: Callable[..., Outcome], examples: Path, tmp_path: Path
) -> None:
    place = f"hydra.searchpath=[file://{examples}]"
    outcome = do(place, "method=gain", "dataset=dots", "train.epochs=1")
    record = outcome.record
    assert (record.status, record.primary) == ("completed", "mae")
    again = rebuild.reevaluate(
        outcome.folder, cache=tmp_path / "cache", checkpoint=None, data=None, device="cpu"
    )
    assert again.unmerged.values == record.scores["test"]
    assert again.merged is not None
    assert again.merged.values["mae"] == pytest.approx(record.score, rel=1e-4)
