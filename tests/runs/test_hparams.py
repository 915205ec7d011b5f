"""What TensorBoard's own HParams backend lists of runs, read back from their event files."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import record
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler

from hydra_peft.runs import hparams
from hydra_peft.runs.hparams import hyper_parameters, results
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.record import Record, read_record
from hydra_peft.runs.training import Training
from hydra_peft.runs.tuning import run_protocol
from hydra_peft.runs.writer import RunWriter

Do = Callable[..., Outcome]
#: three steps an epoch
SHORT = ["train.epochs=2", "train.batch_size=30", "train.checkpoint_every=1"]
SUCCESS, FAILURE = api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE
ENDED = [api_pb2.STATUS_UNKNOWN, SUCCESS, FAILURE, api_pb2.STATUS_RUNNING]


@pytest.fixture
def configure(configure: Callable[..., Any], small_task: Path) -> Callable[..., Any]:
    """Compose a short run on the small task."""
    task = ["dataset=svhn", "data.allow_partial=true", f"paths.data={small_task}"]
    return lambda *overrides: configure(*task, *SHORT, *overrides)


class Row:
    """One row of the tab: the run's place, its hyper-parameters, metrics and status."""

    def __init__(self, group: Any) -> None:
        (session,) = group.sessions
        self.name = session.name
        self.status = session.status
        self.hparams = {
            key: getattr(value, value.WhichOneof("kind")) for key, value in group.hparams.items()
        }
        self.metrics = {value.name.tag: value.value for value in session.metric_values}
        assert all(value.name.group == "" for value in session.metric_values)


@pytest.fixture
def tab(tmp_path: Path) -> Callable[[], dict[str, Row]]:
    """Return the rows that TensorBoard, started anew, lists below ``runs``, by their place."""

    def read() -> dict[str, Row]:
        multiplexer = EventMultiplexer()
        multiplexer.AddRunsFromDirectory(str(tmp_path / "runs"))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(tmp_path / "runs"))
        context = Context(TBContext(data_provider=provider))
        experiment = context.experiment_from_metadata(
            RequestContext(), "", True, context.hparams_metadata(RequestContext(), ""), []
        )
        request = api_pb2.ListSessionGroupsRequest(
            start_index=0, slice_size=1000, allowed_statuses=ENDED
        )
        for info in experiment.hparam_infos:
            request.col_params.add(hparam=info.name)
        response = Handler(RequestContext(), context, "", request).run()
        rows = [Row(group) for group in response.session_groups]
        assert response.total_size == len(rows) == len({row.name for row in rows})
        return {row.name: row for row in rows}

    return read


def place(folder: Path, tmp_path: Path) -> str:
    return str((folder / "tensorboard").relative_to(tmp_path / "runs"))


def check(row: Row, record: Record) -> None:
    """The row says what the record says."""
    assert row.status == SUCCESS
    assert row.hparams == hyper_parameters(record)
    assert row.hparams["seed"] == record.seed
    expected = {
        "result/test_accuracy": record.score,
        "result/adapter_parameters": record.parameters["adapter"],
        "result/head_parameters": record.parameters["head"],
        "result/train_seconds": record.times["train"],
        "result/total_seconds": record.times["total"],
    }
    assert results(record) == expected
    shown = {key: value for key, value in row.metrics.items() if key.startswith("result/")}
    assert shown == pytest.approx(expected, rel=1e-6)


def test_every_run_is_one_row_with_its_metrics(
    do: Do, tab: Callable[[], dict[str, Row]], tmp_path: Path
) -> None:
    done = [
        do("train.epochs=1", *words)
        for words in (
            ["method=hydra", "seed=0"],
            ["method=hydra", "seed=1"],
            ["method=lora", "method.rank=8", "optimizer.lr=0.003"],
            ["method=linear", "model.pretrained=false"],
        )
    ]
    rows = tab()
    assert rows.keys() == {place(outcome.folder, tmp_path) for outcome in done}
    for outcome in done:
        check(rows[place(outcome.folder, tmp_path)], outcome.record)
        assert len(list((outcome.folder / "tensorboard").iterdir())) == 1
    hydra, _, lora, linear = (rows[place(outcome.folder, tmp_path)].hparams for outcome in done)
    assert (hydra["method"], hydra["method.rank_parallel"], hydra["method.rank_sequential"]) == (
        "hydra",
        2,
        2,
    )
    assert (lora["method.rank_parallel"], lora["optimizer.lr"]) == (8, 0.003)
    assert (linear["dataset"], linear["weights"]) == ("svhn", "random")
    assert "method.rank_parallel" not in linear
    assert hydra["train.epochs"] == 1
    assert hydra.keys() >= {"optimizer.weight_decay", "protocol", "model", "method.scale"}


def test_a_resumed_run_is_one_row_with_its_last_values(
    do: Do, tab: Callable[[], dict[str, Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = RunWriter.step
    count = iter(range(100))

    def stepping(self: RunWriter) -> None:
        step(self)
        if next(count) == 4:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunWriter, "step", stepping)
    with pytest.raises(KeyboardInterrupt):
        do()
    monkeypatch.undo()
    (row,) = tab().values()
    assert row.status == api_pb2.STATUS_UNKNOWN  # neither a success nor a failure
    assert not [key for key in row.metrics if key.startswith("result/")]
    time.sleep(1)  # TensorBoard orders the files of one process by the second of their names
    outcome = do()
    assert outcome.record.resumed
    (row,) = tab().values()
    check(row, outcome.record)
    assert row.metrics["train/loss"] == pytest.approx(outcome.record.training["loss"])


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_a_failure_is_shown_until_the_run_is_taken_up_again(
    do: Do, tab: Callable[[], dict[str, Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no score")

    monkeypatch.setattr("hydra_peft.runs.training.evaluate", fail)
    for _ in range(2):  # the second one goes on from the checkpoint of the first epoch
        with pytest.raises(TypeError):
            do("sweep.retry=failed")
        (row,) = tab().values()
        assert row.status == FAILURE
        assert row.metrics["result/adapter_parameters"] == 16_680
        assert "result/test_accuracy" not in row.metrics
    monkeypatch.undo()
    outcome = do("sweep.retry=failed")
    assert outcome.record.resumed
    (row,) = tab().values()
    check(row, outcome.record)


def test_a_run_that_fails_before_training_is_listed(
    do: Do, tab: Callable[[], dict[str, Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("hydra_peft.runs.run.choose_feed", fail)
    with pytest.raises(MemoryError):
        do()
    (row,) = tab().values()
    assert row.status == FAILURE
    assert row.hparams["method"] == "hydra"
    monkeypatch.undo()
    outcome = do("sweep.retry=failed")
    (row,) = tab().values()
    check(row, outcome.record)


def test_a_diverged_run_has_failed(do: Do, tab: Callable[[], dict[str, Row]]) -> None:
    outcome = do("optimizer.lr=1e6")
    assert outcome.record.status == "diverged"
    (row,) = tab().values()
    assert row.status == FAILURE
    assert "result/test_accuracy" not in row.metrics


def test_a_run_that_was_killed_is_listed_without_an_end(
    do: Do, tab: Callable[[], dict[str, Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"

    def killed(*_: object) -> None:
        # What is on the disk at this moment is what a killed process leaves.
        shutil.copytree(tmp_path / "runs", copies)
        raise SystemExit

    monkeypatch.setattr(Training, "execute", killed)
    with pytest.raises(SystemExit):
        do()
    shutil.rmtree(tmp_path / "runs")
    shutil.move(copies, tmp_path / "runs")
    (path,) = (tmp_path / "runs").rglob("result.json")
    assert read_record(path.parent).status == "running"
    (row,) = tab().values()
    assert row.status == api_pb2.STATUS_UNKNOWN
    assert row.hparams["dataset"] == "svhn"


def test_of_a_tuned_run_the_chosen_rate_is_shown(
    configure: Callable[..., Any], tab: Callable[[], dict[str, Row]], tmp_path: Path
) -> None:
    tune = [
        "protocol.tune=true",
        "protocol.grid.optimizer.lr=[1e-2]",
        "protocol.grid.method.scale=[2]",
    ]
    outcome = run_protocol(configure(*tune, "protocol.grid.method.dropout=[0]", "train.epochs=1"))
    rows = tab()
    assert len(rows) == 2  # the one of the search, and the one that counts
    row = rows[place(outcome.folder, tmp_path)]
    check(row, outcome.record)
    assert (row.hparams["optimizer.lr"], row.hparams["method.scale"]) == (1e-2, 2.0)


def test_a_disk_that_takes_no_more_leaves_the_record(
    do: Do, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hydra_peft.runs.hparams.write_end", full)
    with caplog.at_level("WARNING", logger="hydra_peft"):
        outcome = do()
    assert read_record(outcome.folder).status == "completed"
    assert "logger=tensorboard failed and shows no more of this run: OSError" in caplog.text


@pytest.mark.parametrize("kind", ["folder", "pipe", "link"])
@pytest.mark.parametrize("ending", ["", hparams.FAILED])
def test_what_is_no_event_file_of_ours_is_passed_over(
    tmp_path: Path, kind: str, ending: str
) -> None:
    place, secret = tmp_path / hparams.TENSORBOARD, tmp_path / "secret"
    place.mkdir()
    secret.write_text("kept")
    other = place / f"events.out.tfevents.9999999999{ending}"
    puts = {"folder": os.mkdir, "pipe": os.mkfifo, "link": lambda path: path.symlink_to(secret)}
    puts[kind](other)
    hparams.write_end(record(), tmp_path)
    written = [path for path in place.iterdir() if path.is_file() and not path.is_symlink()]
    assert len(written) == 1
    assert written[0].stat().st_size > 0
    assert secret.read_text() == "kept"
