"""Presets of conf/experiment: each says what it is for, composes, and its jobs fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from hydra_peft.backbones.backbones import Weights
from hydra_peft.cli import train
from hydra_peft.cli.composing import compositions, expand
from hydra_peft.sweeps.plan import plan


def test_every_experiment_composes_and_its_jobs_fit(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each preset's grid (its first and last job) passes the checks before its first job.

    But for those on data and weights: what VTAB-1k needs is not here.
    """
    monkeypatch.setattr("hydra_peft.sweeps.plan.check_data", lambda _: None)
    monkeypatch.setattr("hydra_peft.sweeps.plan._weights", lambda _: Weights("none", "", "0" * 64))
    for module in ("runs.first_look", "runs.assembly"):
        monkeypatch.setattr(f"hydra_peft.{module}.check_weights_exist", lambda *_: None)
    train.register()
    paths = [f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]
    names = sorted(path.stem for path in (root / "conf/experiment").glob("*.yaml"))
    assert {"demo", "mini", "mini_random"} <= set(names)
    for name in names:
        head = (root / f"conf/experiment/{name}.yaml").read_text()
        for line in ("# Fills:", "# Command:", "# Expect:", "# Time:"):
            assert line in head, (name, line)
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(root / "conf"), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            words = [f"+experiment={name}", *paths]
            config = loader.load_configuration("train", words, RunMode.MULTIRUN)
            jobs = expand(config, loader)
            assert len(jobs) > 1
            some = [jobs[0], jobs[-1]]  # which differ in all that is swept
            # One by one: there is little that two jobs so different share.
            planned = plan([one for job in some for one in compositions(config, loader, [job])])
        reasons = {str(job.reason) for job in planned if job.state != "new"}
        # The run of MNLI, from which others start, is a stage of its own, done first.
        starts = "init_from=task:mnli starts from the run of glue/mnli"
        assert all(reason.startswith(starts) for reason in reasons), (name, reasons)
        assert not reasons or name in ("table3", "table9")
