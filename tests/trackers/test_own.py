"""The tracker of docs/trackers.md, as it stands there, from a module of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fabricated_runs import record
from plugin_package import forget

from hydra_peft import plugins
from hydra_peft.config.typed import typed
from hydra_peft.runs.tracking import Tracking
from hydra_peft.trackers import Start, tracker_class


def test_a_tracker_of_one_s_own_is_told_of_a_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (root / "docs" / "trackers.md").read_text(encoding="utf-8")
    code, options = re.findall(r"```(?:python|yaml)\n(.*?)```", page, re.DOTALL)
    (tmp_path / "lines.py").write_text(code)
    assert 'prefix: "> "' in options
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.use(["lines"])
    lines = typed(tracker_class("lines"), {"prefix": "> "}, "logger.lines")
    forget()
    tracking = Tracking({"lines": lines})
    tracking.begin(Start(tmp_path, "digits lora", record("running"), {}, ""))
    tracking.values({"train/loss": 0.5}, 1)
    tracking.end(record(), tmp_path)
    told = capsys.readouterr().err.splitlines()
    assert told == ["> digits lora 1 {'train/loss': 0.5}", "> digits lora completed 98.25"]
