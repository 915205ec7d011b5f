"""MLflow itself, on a file of SQLite."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fabricated_runs import record

from hydra_peft.runs.tracking import Tracking, ids_in, tell_of_end
from hydra_peft.trackers import Start
from hydra_peft.trackers.mlflow import MLflow

mlflow = pytest.importorskip("mlflow", reason="needs mlflow: pip install 'hydra-peft[mlflow]'")
pytest.importorskip("sqlalchemy", reason="needs sqlalchemy: pip install 'hydra-peft[mlflow]'")


@pytest.mark.long  # MLflow makes its tables, which takes seconds
def test_a_run_is_shown_gone_on_with_and_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = MLflow(uri=f"sqlite:///{tmp_path}/mlflow.db", experiment="e")
    config = {"optimizer": {"lr": 0.25}, "many": {str(n): n for n in range(150)}, "x": "y" * 900}
    folder = tmp_path / "run"
    folder.mkdir()
    start = Start(folder, "digits hydra seed 0", record("running"), config, "")

    tracking = Tracking({"mlflow": tracker})
    tracking.begin(start)
    tracking.values({"train/loss": 0.5}, 1)
    tracking.end(record("interrupted", scores={}, selection={}), folder)
    client = mlflow.MlflowClient(tracking_uri=tracker.uri)
    id = ids_in(folder)["mlflow"]
    assert client.get_run(id).info.status == "KILLED"

    tracking = Tracking({"mlflow": tracker})
    tracking.begin(dataclasses.replace(start, resumed=True, epochs_done=1))
    assert client.get_run(id).info.status == "RUNNING"
    tracking.values({"train/loss": 0.25}, 2)
    tracking.values({"test/accuracy": 98.25}, 2)
    tracking.end(record(), folder)
    (run,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
    assert (run.info.run_id, run.info.status) == (id, "FINISHED")
    assert run.info.run_name == "digits hydra seed 0"
    losses = client.get_metric_history(id, "train/loss")
    assert [(one.step, one.value) for one in losses] == [(1, 0.5), (2, 0.25)]
    assert run.data.metrics["test/accuracy"] == run.data.metrics["result/test_accuracy"] == 98.25
    assert run.data.params["optimizer.lr"] == "0.25"
    assert run.data.params["many.149"] == "149"
    assert run.data.params["x"] == "y" * 500
    tags = {"method": "hydra r=2+2", "task": "digits", "config_id": start.record.config_id}
    assert tags.items() <= run.data.tags.items()

    tell_of_end({"mlflow": tracker}, record("failed"), folder)
    assert client.get_run(id).info.status == "FAILED"
    assert not [one for one in caplog.records if one.name == "hydra_peft"]


def test_without_a_server_the_run_goes_on_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = Tracking({"mlflow": MLflow(uri="http://127.0.0.1:9")})
    tracking.begin(Start(tmp_path, "title", record("running"), {}, ""))
    tracking.values({"train/loss": 0.5}, 1)
    tracking.end(record(), tmp_path)
    (entry,) = [one for one in caplog.records if one.name == "hydra_peft"]
    assert entry.getMessage().startswith("logger=mlflow failed and shows no more of this run: ")
