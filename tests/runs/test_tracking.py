"""Trackers are told of a run from its beginning to its end, and none of them can end it."""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fabricated_runs import record

from hydra_peft.config.identity import config_id
from hydra_peft.config.plain import as_plain, from_plain
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs.folder import TRACKERS
from hydra_peft.runs.record import Record
from hydra_peft.runs.run import run
from hydra_peft.runs.tracking import Tracking, ids_in, tell_of_end
from hydra_peft.runs.writer import RunWriter
from hydra_peft.trackers import Session, Start, Tracker

#: what each tracker of a test was told, by its name
heard: dict[str, list[Any]] = {}


class _Noting(Session):
    def __init__(self, name: str, fails: str) -> None:
        self.name, self.fails, self.id = name, fails, f"id-{name}"

    def _note(self, what: str, *said: Any) -> None:
        heard[self.name].append((what, *said))
        if self.fails == what:
            raise ConnectionError("no network\nat all")

    def values(self, values: Mapping[str, float], epoch: int) -> None:
        self._note("values", dict(values), epoch)

    def end(self, record: Record) -> None:
        self._note("end", record)

    def abandon(self) -> None:
        self._note("abandon")


@dataclasses.dataclass(frozen=True)
class Noted(Tracker):
    """Notes what it is told, and fails where it is asked to."""

    name: ClassVar[str] = "noted"
    called: str = "noted"
    fails: str = ""

    def begin(self, start: Start) -> Session:
        heard.setdefault(self.called, []).append(("begin", start))
        if self.fails == "begin":
            raise ConnectionError("no network\nat all")
        return _Noting(self.called, self.fails)

    def ended(self, record: Record, folder: Path, known: str | None) -> None:  # noqa: ARG002
        heard.setdefault(self.called, []).append(("ended", record.status, known))
        if self.fails == "ended":
            raise ConnectionError("no network\nat all")


@pytest.fixture(autouse=True)
def _nothing_heard() -> None:
    heard.clear()


def noting(config: RunConfig, **fails: str) -> RunConfig:
    trackers = {name: Noted(name, where) for name, where in fails.items()}
    return dataclasses.replace(config, logger=trackers)


def test_all_that_happens_is_told_and_what_fails_is_left_out_once(
    configure: Callable[..., RunConfig], caplog: pytest.LogCaptureFixture
) -> None:
    config = noting(configure("method=lora"), good="", a="begin", b="values", c="end")
    outcome = run(config)
    assert outcome.record.status == "completed"
    begin, *values, end = heard["good"]
    start = begin[1]
    assert start.folder == outcome.folder
    assert (start.title, start.resumed, start.known, start.trial) == (
        "digits lora r=4 seed 0",
        False,
        None,
        False,
    )
    assert start.labels() == ["mini", "digits", "lora r=4", "clean"]
    assert start.config["optimizer"]["lr"] == config.optimizer.lr
    assert start.record.config_id == config_id(config)
    names = {"train/loss", "train/train_accuracy", "train/lr", "train/images_per_second"}
    assert [(set(told), epoch) for _, told, epoch in values] == [
        (names, 1),
        (names, 2),
        ({"test/accuracy"}, 2),
    ]
    assert values[1][1]["train/loss"] == outcome.record.training["loss"]
    assert values[2][1]["test/accuracy"] == outcome.record.score
    assert end == ("end", outcome.record)
    assert [what for what, *_ in heard["a"]] == ["begin"]
    assert [what for what, *_ in heard["b"]] == ["begin", "values", "abandon"]
    assert [what for what, *_ in heard["c"]][-2:] == ["end", "abandon"]
    log = (outcome.folder / "train.log").read_text()
    for name in ("a", "b"):
        said = f"logger={name} failed and shows no more of this run: ConnectionError: no network at"
        assert log.count(said) == 1
    assert caplog.text.count("logger=c failed") == 1  # after the record, when the log is closed
    assert ids_in(outcome.folder) == {"good": "id-good", "b": "id-b", "c": "id-c"}


def test_a_resumed_run_goes_on_with_the_same_session(
    configure: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, count = RunWriter.step, iter(range(10_000))
    csv_file = configure("logger=csv").logger

    def stepping(self: RunWriter) -> None:
        step(self)
        if next(count) == self.steps // 2 + 1:  # in the second epoch
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunWriter, "step", stepping)
    config = noting(configure(), good="")
    config = dataclasses.replace(config, logger={**config.logger, **csv_file})
    with pytest.raises(KeyboardInterrupt):
        run(config)
    monkeypatch.undo()
    what, interrupted = heard.pop("good")[-1]
    assert (what, interrupted.status) == ("end", "interrupted")
    outcome = run(config)
    start = heard["good"][0][1]
    assert (start.resumed, start.epochs_done, start.known) == (True, 1, "id-good")
    assert [told[2] for told in heard["good"][1:-1]] == [2, 2]
    with (outcome.folder / "values.csv").open() as file:
        lines = list(csv.DictReader(file))
    losses = [line["epoch"] for line in lines if line["name"] == "train/loss"]
    assert losses == ["1", "2"]
    told = {line["name"]: float(line["value"]) for line in lines}
    assert told["train/loss"] == outcome.record.training["loss"]
    assert told["result/test_accuracy"] == outcome.record.score


def test_trackers_are_no_part_of_a_run_s_identity(configure: Callable[..., RunConfig]) -> None:
    usual = configure()
    assert list(usual.logger) == ["tensorboard"]
    none = configure("logger=[]")
    several = configure("logger=[csv,mlflow,wandb]", "logger.wandb.tags=[a]")
    assert (none.logger, list(several.logger)) == ({}, ["csv", "mlflow", "wandb"])
    assert config_id(usual) == config_id(none) == config_id(several)
    assert usual.settings == several.settings
    assert from_plain(as_plain(several)) == several
    assert several.logger["mlflow"].uri == f"sqlite:///{several.paths.runs}/mlflow.db"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+logger.tensorbord={}"], "logger 'tensorbord' is unknown .did you mean 'tensorboard'"),
        (["+logger.csv=3"], "logger.csv is a group of settings, not 3"),
        (["logger=wandb", "logger.wandb.mode=off"], "logger.wandb.mode=off is not allowed: .*auto"),
        (["logger=wandb", "+logger.wandb.projects=a"], "unknown key 'logger.wandb.projects'"),
    ],
)
def test_wrong_options_are_one_sentence(
    configure: Callable[..., RunConfig], words: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        configure(*words)


def test_a_tracker_whose_package_is_missing_is_one_sentence(
    configure: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hydra_peft.runs.first_look import look_first

    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    said = r"logger=wandb needs the package wandb, .*: pip install 'hydra-peft\[wandb\]', or choose"
    with pytest.raises(UserError, match=said):
        look_first(configure("logger=[csv,wandb]"))


def test_the_end_of_a_run_whose_process_died_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / TRACKERS).write_text(json.dumps({"good": "id-7", "b": "../x", "c": ["y"]}))
    trackers = {"good": Noted("good"), "b": Noted("b", "ended")}
    tell_of_end(trackers, record("failed"), tmp_path)
    assert heard == {"good": [("ended", "failed", "id-7")], "b": [("ended", "failed", None)]}
    assert f"logger=b does not show how {tmp_path} ended: ConnectionError" in caplog.text


def test_a_run_that_ends_without_a_record_is_let_go_of(tmp_path: Path) -> None:
    tracking = Tracking({"good": Noted("good"), "b": Noted("b", "abandon")})
    tracking.begin(Start(tmp_path, "title", record("running"), {}, ""))
    tracking.abandon()
    tracking.end(record(), tmp_path)
    assert [what for what, *_ in heard["good"]] == ["begin", "abandon"]
