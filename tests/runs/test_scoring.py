"""Scores that a run will compute: metrics of other packages tried before it trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from plugin_package import forget

from hydra_peft import plugins
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.runs.scoring import check_metrics
from hydra_peft.tasks import build_task


def test_a_metric_that_cannot_score_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "from hydra_peft.metrics import Metric\n"
    text += "METRIC = Metric('{}', 'own', {}, ('classification',))\n"
    (tmp_path / "halved.py").write_text(text.format("halved", "lambda *_: 1 / 0"))
    (tmp_path / "fifty.py").write_text(text.format("fifty", "lambda *_: 50"))
    monkeypatch.syspath_prepend(str(tmp_path))
    scored = {"test": Split({}, torch.tensor([0, 1, 2, 0]))}
    before = torch.get_rng_state()
    plugins.use(["halved", "fifty"])
    try:
        for names in (["accuracy"], ["accuracy", "fifty"]):
            check_metrics(build_task("classification", outputs=3, metrics=names), scored)
        with pytest.raises(UserError, match=r"^metric halved cannot score: ZeroDivisionError: "):
            check_metrics(build_task("classification", outputs=3, metrics=["halved"]), scored)
    finally:
        forget()
    assert torch.equal(torch.get_rng_state(), before)
