"""Table 4 beside what the bench wrote."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hydra_peft.tables.published import PublishedTable, read_published
from hydra_peft.tables.training_time import documents, newest_timing

PAPER = Path(__file__).resolve().parents[2] / "results" / "paper"
SECONDS = {"Full tuning": 200.0, "LoRA": 150.0, "SeqLoRA": 140.0, "Hydra": 160.0}


def published() -> PublishedTable:
    return read_published(PAPER / "table4_training_time.csv")


def write(path: Path, when: str, scale: float = 1.0, **changes: Any) -> None:
    content = {
        "label": "measured",
        "when": when,
        "hardware": {"cpu": "A CPU", "cores": 2, "gpu": "A GPU", "device": "cuda"},
        "versions": {"python": "3.11", "torch": "2.9", "timm": "1.0"},
        "code": {"commit": "abc", "dirty": False},
        "settings": {"batch_size": 128},
        "rows": [
            {"method": name, "parameters": 212_040, "s/epoch": scale * seconds}
            for name, seconds in SECONDS.items()
        ],
        "notes": ["a note"],
        **changes,
    }
    path.write_text(json.dumps(content))


def test_the_newest_file_stands_beside_the_paper(tmp_path: Path) -> None:
    write(tmp_path / "table4-a.json", "2026-02-01T00:00:00+00:00")
    write(tmp_path / "table4-b.json", "2026-01-01T00:00:00+00:00", 2.0)
    write(tmp_path / "table8-c.json", "2027-01-01T00:00:00+00:00", 3.0)
    timing, warnings = newest_timing(tmp_path)
    assert (timing.path.name, warnings) == ("table4-a.json", [])
    files = documents(published(), timing, [], "markdown")
    text = " ".join(files["md"].split())
    for part in (
        "| LoRA (paper, RTX 3090) | 0.22 | 115.44 | 0.78 |",
        "| LoRA (measured) | 0.21 | 150.00 | 0.75 |",
        "| Full tuning (measured) | 0.21 | 200.00 | 1.00 |",
        "A GPU (cuda); versions: torch 2.9, timm 1.0, python 3.11; commit abc; 2026-02-01",
        "- a note",
        "85.8 M for full tuning, which is ViT-B/16's",
    ):
        assert part in text, part
    frame = pd.read_csv(io.StringIO(files["csv"])).set_index("row")
    assert frame.loc["Hydra", "ratio"] == pytest.approx(0.8)
    assert frame.loc["Hydra", "paper_ratio"] == pytest.approx(119.37 / 148.95)


def test_predictions_are_called_so(tmp_path: Path) -> None:
    write(tmp_path / "table4-cpu.json", "", label="predicted")
    timing, _ = newest_timing(tmp_path)
    text = documents(published(), timing, [], "markdown")["md"]
    assert "Hydra (predicted)" in text
    assert "(measured)" not in text
    assert "no date" in text


@pytest.mark.parametrize("form", ["markdown", "csv", "latex", "html"])
def test_without_a_file_the_paper_stands_alone(tmp_path: Path, form: str) -> None:
    assert newest_timing(tmp_path) == (None, [])
    (text, *_) = documents(published(), None, [], form).values()
    assert "119.37" in text
    if form != "csv":
        assert "python scripts/bench.py table4" in text


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": []},
        {"rows": [1]},
        {"rows": [{"method": n, "parameters": 1, "s/epoch": -1.0} for n in SECONDS]},
        {"rows": [{"method": n, "parameters": 1, "s/epoch": "long"} for n in SECONDS]},
        {"hardware": []},
        {"notes": None},
    ],
)
def test_files_that_are_not_the_suites_are_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    write(tmp_path / "table4-bad.json", "2026-01-01", **changes)
    (tmp_path / "table4-torn.json").write_text('{"rows"')
    timing, warnings = newest_timing(tmp_path)
    assert timing is None
    assert len(warnings) == 2
    assert "table4-bad.json" in warnings[0]
    assert "table4-torn.json is not valid json" in warnings[1]
