"""A run that was stopped anywhere goes on and ends as if it had never been."""

from __future__ import annotations

import csv
import json
import logging
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from flat_results import results
from prepared_root import write_task

from hydra_peft.errors import UserError
from hydra_peft.runs import training as training_module
from hydra_peft.runs.checkpoints import Checkpoints
from hydra_peft.runs.ledger import Ledger, NotOurs, TakenOver
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.record import read_record
from hydra_peft.runs.writer import RunWriter

Do = Callable[..., Outcome]
#: 27 images: 4 steps an epoch, 12 in all; 15 test images
LENGTH = ["train.epochs=3", "train.batch_size=7", "train.checkpoint_every=null"]
METHODS = {
    "lora": ["method=lora", "method.dropout=0.3", "model.drop_path=0.2"],
    "hydra": ["method=hydra", "method.dropout=0.3", "model.drop_path=0.2"],
    "linear": ["method=linear"],
    "sgd": ["method=lora", "optimizer=sgd", "optimizer.lr=0.05", "scheduler=linear"],
    "full": ["method=full", "model.drop_path=0.2"],
    "normed": ["method=linear", "head.norm=batch", "train.eval_after=2"],
    "augmented": ["method=lora", "method.dropout=0.3", "data.augment=randaugment"],
    "best": [
        "method=hydra",
        "model.drop_path=0.1",
        "protocol.name=official",
        "protocol.selection=best",
        "protocol.evaluate_every=1",
        "optimizer.lr=0.05",
    ],
}


@pytest.fixture
def model(shallow: list[str]) -> list[str]:
    return shallow


@pytest.fixture(scope="module")
def small_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared root with one small task, svhn."""
    root = tmp_path_factory.mktemp("data")
    write_task(root / "svhn", classes=10, train800=20, val200=7, test=15)
    return root


@pytest.fixture
def do(do: Do, small_task: Path, monkeypatch: pytest.MonkeyPatch) -> Do:
    """Do a run on the small task, which is scored in five batches."""
    task = ["dataset=svhn", "data.allow_partial=true", f"paths.data={small_task}"]

    def run(*overrides: str) -> Outcome:
        monkeypatch.setattr("hydra_peft.training.evaluation.EVALUATION_BATCH", 3)
        return do(*task, *overrides)

    return run


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Send a signal during a step (counted from 1 in this process) or a batch of scoring."""

    def at(*, step: int | None = None, batch: int | None = None, signum: int = signal.SIGINT):
        seen = {"step": 0, "batch": 0}
        step_original, evaluate_original = RunWriter.step, training_module.evaluate

        def count(what: str, wanted: int | None) -> None:
            seen[what] += 1
            if seen[what] == wanted:
                signal.raise_signal(signum)

        def stepping(self: RunWriter) -> None:
            step_original(self)
            count("step", step)

        def evaluating(*arguments: Any, after_batch: Callable[[], None], **rest: Any) -> Any:
            def after() -> None:
                count("batch", batch)
                after_batch()

            return evaluate_original(*arguments, after_batch=after, **rest)

        monkeypatch.setattr(RunWriter, "step", stepping)
        monkeypatch.setattr(training_module, "evaluate", evaluating)

    return at


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """What runs that were never stopped gave, by method."""
    return {}


def result(outcome: Outcome) -> tuple[bytes, dict[str, Any]]:
    files = (outcome.folder / f"{name}.safetensors" for name in ("adapter", "predictions"))
    return b"".join(file.read_bytes() for file in files), results(outcome.record)


def same(one: tuple[bytes, dict[str, Any]], other: tuple[bytes, dict[str, Any]]) -> None:
    assert one[1] == other[1]
    assert one[0] == other[0]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """Messages of warnings, but that the task's learning rate was chosen on another backbone."""
    logger = logging.getLogger("hydra_peft")
    logger.addHandler(caplog.handler)

    def told() -> list[str]:
        messages = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
        return [message for message in messages if "is not tuned for vit_mini" not in message]

    yield told
    logger.removeHandler(caplog.handler)


def fail_at_scoring(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk made a noise")

    with monkeypatch.context() as patch:
        patch.setattr(training_module, "evaluate", fail)
        with pytest.raises(RuntimeError):
            do(*LENGTH)


#: what the stop while its first scores are computed is told of; of others it takes long
SCORED = ("linear", "normed")


# Every way of training at two places, and every place for one that scores more than once.
@pytest.mark.parametrize(
    ("name", "where"),
    [
        *((name, {"step": 6}) for name in METHODS),
        *(
            pytest.param(name, {"batch": 1}, marks=[pytest.mark.long] * (name not in SCORED))
            for name in METHODS
        ),
        *(("best", where) for where in ({"step": 1}, {"step": 12}, {"batch": 8})),
    ],
)
def test_stopped_anywhere_and_resumed_gives_the_same_bits(
    do: Do,
    stop: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    undisturbed: dict[str, tuple[bytes, dict[str, Any]]],
    name: str,
    where: dict[str, int],
) -> None:
    overrides = [*METHODS[name], *LENGTH]
    if name not in undisturbed:
        undisturbed[name] = result(do(*overrides, f"paths.runs={tmp_path}/undisturbed"))
    stop(**where)
    with pytest.raises(KeyboardInterrupt, match="typing the same command again resumes it"):
        do(*overrides)
    monkeypatch.undo()
    (path,) = (tmp_path / "runs").rglob("result.json")
    folder = path.parent
    assert read_record(folder).status == "interrupted"
    assert "resumes it" in str(read_record(folder).error)
    (checkpoint,) = (folder / "checkpoints").iterdir()
    torch.rand(5)  # whatever else the process that goes on has drawn
    steps: list[int] = []
    original = RunWriter.step
    monkeypatch.setattr(RunWriter, "step", lambda self: (steps.append(1), original(self))[1])
    outcome = do(*overrides)
    same(undisturbed[name], result(outcome))
    assert outcome.folder == folder
    done = int(checkpoint.stem.removeprefix("step-"))
    assert len(steps) == 12 - done
    (resumed,) = outcome.record.resumed
    assert (resumed["at_step"], resumed["epoch"]) == (done, 1 + (done - 1) // 4)
    assert not (folder / "checkpoints").exists()
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert f"resumed after step {done} " in (folder / "train.log").read_text()


def test_stopped_at_every_second_step(
    do: Do, stop: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    overrides = [*METHODS["hydra"], *LENGTH, "train.epochs=2"]
    whole = do(*overrides, f"paths.runs={tmp_path}/undisturbed")
    for _ in range(4):
        stop(step=2)
        with pytest.raises(KeyboardInterrupt):
            do(*overrides)
        monkeypatch.undo()
    outcome = do(*overrides)
    same(result(whole), result(outcome))
    assert [entry["at_step"] for entry in outcome.record.resumed] == [2, 4, 6, 8]
    times = outcome.record.times
    assert times["total"] > times["train_and_evaluate"] > times["train"] > 0
    assert times["total"] == pytest.approx(times["prepare"] + times["train_and_evaluate"])


#: what of these is told from which, test_run_checkpoints.py tries in files alone
DAMAGES = ("edited", "description", "not one")


@pytest.mark.parametrize(
    "damage",
    ["truncated", "foreign", *(pytest.param(one, marks=pytest.mark.long) for one in DAMAGES)],
)
def test_a_bad_checkpoint_falls_back_to_the_one_before(
    do: Do,
    stop: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    warnings: Callable[[], list[str]],
    undisturbed: dict[str, tuple[bytes, dict[str, Any]]],
    damage: str,
) -> None:
    overrides = [*METHODS["hydra"], *LENGTH, "train.checkpoint_every=1"]
    if "often" not in undisturbed:
        undisturbed["often"] = result(do(*overrides, f"paths.runs={tmp_path}/undisturbed"))
    stop(step=10)
    with pytest.raises(KeyboardInterrupt):
        do(*overrides)
    monkeypatch.undo()
    (folder,) = (tmp_path / "runs").rglob("checkpoints")
    before, newest = sorted(folder.iterdir())
    assert [before.name, newest.name] == ["step-00000008.safetensors", "step-00000010.safetensors"]
    content = newest.read_bytes()
    if damage == "truncated":
        newest.write_bytes(content[:-7])
    elif damage == "edited":
        newest.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "description":
        at = content.index(b"config_id")
        newest.write_bytes(content[:at] + b"confog_id" + content[at + 9 :])
    elif damage == "foreign":
        other = do(*METHODS["lora"], *LENGTH, f"paths.runs={tmp_path}/other").record
        id = read_record(folder.parent).config_id
        newest.write_bytes(content.replace(id.encode(), other.config_id.encode()))
    else:
        newest.write_bytes(b"\xff" * 100)
    outcome = do(*overrides)
    same(undisturbed["often"], result(outcome))
    assert [entry["at_step"] for entry in outcome.record.resumed] == [8]
    warning, back = dict.fromkeys(warnings())
    assert warning.startswith(f"{newest} is not resumed from: ")
    assert (warning.count(str(newest)), back) == (1, "training goes back to step 8")


def test_without_a_good_checkpoint_it_starts_anew(
    do: Do, stop: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stop(step=5)
    with pytest.raises(KeyboardInterrupt):
        do(*LENGTH)
    monkeypatch.undo()
    (checkpoint,) = (tmp_path / "runs").rglob("step-*")
    checkpoint.write_bytes(b"")
    outcome = do(*LENGTH)
    assert outcome.record.resumed == []
    whole = do(*LENGTH, f"paths.runs={tmp_path}/undisturbed")
    same(result(whole), result(outcome))


def test_a_rerun_that_was_interrupted_goes_on_and_is_done_again_only_when_complete(
    do: Do, stop: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, rerun = do(*LENGTH), (*LENGTH, "sweep.on_existing=rerun")
    stop(step=5)
    with pytest.raises(KeyboardInterrupt, match="resumes it"):
        do(*rerun)
    monkeypatch.undo()
    second = do(*rerun)
    assert [entry["at_step"] for entry in second.record.resumed] == [5]
    same(result(first), result(second))
    assert do(*rerun).record.resumed == []
    assert len(list(first.folder.parent.iterdir())) == 3  # two of them superseded


def test_who_ran_which_part_is_recorded(
    do: Do,
    stop: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    warnings: Callable[[], list[str]],
) -> None:
    stop(step=5)
    with pytest.raises(KeyboardInterrupt):
        do(*LENGTH)
    monkeypatch.undo()
    (path,) = (tmp_path / "runs").rglob("result.json")
    old = json.loads(path.read_text())
    code = {**old["code"], "commit": "0" * 40}
    path.write_text(json.dumps({**old, "code": code}))
    assert do(*LENGTH).record.resumed[0]["code"] == code
    (warning,) = set(warnings())
    assert warning.startswith("other code than before the interruption goes on")


def test_a_failure_of_somebody_else_is_taken_as_it_is_unless_asked_for(
    do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_at_scoring(do, monkeypatch)
    again = do(*LENGTH)
    assert (again.skipped, again.record.status) == (True, "failed")
    asked = do(*LENGTH, "sweep.retry=failed")
    assert (asked.skipped, asked.record.status) == (False, "completed")
    diverging = (*LENGTH, "optimizer.lr=1e6", "method.scale=100")
    assert (do(*diverging).record.status, do(*diverging).skipped) == ("diverged", True)
    assert do(*diverging, "sweep.retry=failed").skipped
    assert not do(*diverging, "sweep.retry=all").skipped


def test_on_other_data_it_starts_anew(
    do: Do,
    stop: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    warnings: Callable[[], list[str]],
) -> None:
    stop(step=5)
    with pytest.raises(KeyboardInterrupt):
        do(*LENGTH)
    monkeypatch.undo()
    (checkpoint,) = (tmp_path / "runs").rglob("step-*")
    sha256 = read_record(checkpoint.parent.parent).data["sha256"]
    original = Checkpoints.newest

    def newest(self: Checkpoints, *rest: Any) -> Any:
        assert self.origin.data == sha256
        object.__setattr__(self.origin, "data", "0" * 64)
        return original(self, *rest)

    monkeypatch.setattr(Checkpoints, "newest", newest)
    assert do(*LENGTH).record.resumed == []
    assert any("it is of other data" in warning for warning in warnings())


def test_checkpoints_come_every_so_many_epochs_and_two_are_kept(
    do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    original = Checkpoints.write

    def spy(self: Checkpoints, *rest: Any) -> None:
        original(self, *rest)
        seen.append(sorted(path.name for path in self.folder.iterdir()))

    monkeypatch.setattr(Checkpoints, "write", spy)
    outcome = do(*LENGTH, "train.epochs=7", "train.checkpoint_every=2")
    names = [f"step-{number:08d}.safetensors" for number in (8, 16, 24)]
    assert seen == [names[:1], names[:2], names[1:]]
    assert not (outcome.folder / "checkpoints").exists()


def test_a_handler_that_returns_lets_training_go_on(do: Do, stop: Callable[..., None]) -> None:
    called: list[int] = []
    earlier = signal.signal(signal.SIGUSR1, lambda signum, _: called.append(signum))
    try:
        stop(step=5, signum=signal.SIGUSR1)
        outcome = do(*LENGTH)
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert called == [signal.SIGUSR1]
    assert outcome.record.status == "completed"
    assert outcome.record.resumed == []


def test_leaving_the_process_is_an_interruption(
    do: Do, stop: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As submitit's handlers do after they have queued the job again."""

    def leave(*_: object) -> None:
        raise SystemExit(0)

    earlier = signal.signal(signal.SIGUSR2, leave)
    try:
        stop(step=5, signum=signal.SIGUSR2)
        with pytest.raises(SystemExit):
            do(*LENGTH)
    finally:
        signal.signal(signal.SIGUSR2, earlier)
    monkeypatch.undo()
    (record,) = (tmp_path / "runs").rglob("result.json")
    assert read_record(record.parent).status == "interrupted"
    assert do(*LENGTH).record.resumed[0]["at_step"] == 5


def test_a_failure_leaves_its_sentence_and_traceback(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fail_at_scoring(do, monkeypatch)
    (path,) = (tmp_path / "runs").rglob("result.json")
    record = read_record(path.parent)
    assert (record.status, record.error) == ("failed", "RuntimeError: the disk made a noise")
    assert record.traceback == "traceback.txt"
    assert "in fail" in (path.parent / "traceback.txt").read_text()
    outcome = do(*LENGTH, "sweep.retry=failed")
    assert outcome.record.traceback is None
    assert not (outcome.folder / "traceback.txt").exists()


def test_an_interruption_while_images_are_decoded_leaves_a_trace(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hydra_peft.runs.assembly.prepare_split", interrupt)
    with pytest.raises(KeyboardInterrupt, match="before training"):
        do(*LENGTH)
    monkeypatch.undo()
    (path,) = (tmp_path / "runs").rglob("result.json")
    assert read_record(path.parent).status == "interrupted"


def test_a_mistake_found_before_training_leaves_the_folder_as_it_was(
    do: Do, stop: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UserError("an image is damaged.")

    monkeypatch.setattr("hydra_peft.runs.assembly.prepare_split", refuse)
    with pytest.raises(UserError, match="damaged"):
        do(*LENGTH)
    assert not list((tmp_path / "runs").rglob("result.json"))
    monkeypatch.undo()
    stop(step=5)
    with pytest.raises(KeyboardInterrupt):
        do(*LENGTH)
    monkeypatch.undo()
    (path,) = (tmp_path / "runs").rglob("result.json")
    content = path.read_bytes()
    monkeypatch.setattr("hydra_peft.runs.assembly.prepare_split", refuse)
    with pytest.raises(UserError, match="damaged"):
        do(*LENGTH)
    assert path.read_bytes() == content
    monkeypatch.undo()
    assert do(*LENGTH).record.resumed[0]["at_step"] == 5


def test_a_lost_claim_ends_the_run_and_leaves_the_folder_alone(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = RunWriter.step
    kept: list[dict[str, bytes]] = []

    def files() -> dict[str, bytes]:
        (path,) = (tmp_path / "runs").rglob("result.json")
        return {str(p): p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}

    def stepping(self: RunWriter) -> None:
        original(self)
        if len(self.epochs) == 0 and not kept:
            (place,) = (tmp_path / "runs" / ".claims").rglob("00000001.json")
            place.with_name("00000002.json").write_bytes(place.read_bytes())
            kept.append(files())

    monkeypatch.setattr(RunWriter, "step", stepping)
    with pytest.raises(TakenOver):
        do(*LENGTH, "train.checkpoint_every=1")
    assert files() == kept[0]


@pytest.mark.parametrize("when", ["training", "scoring", "at the end"])
def test_a_folder_removed_meanwhile_ends_the_run_in_one_sentence(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, when: str
) -> None:
    def remove() -> None:
        (path,) = (tmp_path / "runs").rglob("result.json")
        shutil.rmtree(path.parent)

    if when == "training":
        original = RunWriter.step
        steps: list[int] = []

        def stepping(self: RunWriter) -> None:
            original(self)
            steps.append(1)
            if len(steps) == 5:
                remove()

        monkeypatch.setattr(RunWriter, "step", stepping)
    elif when == "scoring":
        evaluate = training_module.evaluate
        monkeypatch.setattr(
            training_module, "evaluate", lambda *a, **k: (remove(), evaluate(*a, **k))[1]
        )
    else:
        leave = RunWriter.__exit__
        monkeypatch.setattr(RunWriter, "__exit__", lambda self, *a: (leave(self, *a), remove())[0])
    with pytest.raises(NotOurs, match="was removed while the run was going on"):
        do(*LENGTH, "train.checkpoint_every=1")
    assert not list((tmp_path / "runs").rglob("result.json"))
    monkeypatch.undo()
    assert do(*LENGTH).record.status == "completed"


def test_a_signal_right_after_the_end_leaves_a_completed_run_completed(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = Ledger.write

    def write(self: Ledger) -> None:
        original(self)
        if self.record.status == "completed":
            raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "write", write)
    with pytest.raises(KeyboardInterrupt):
        do(*LENGTH)
    monkeypatch.undo()
    (path,) = (tmp_path / "runs").rglob("result.json")
    assert read_record(path.parent).status == "completed"
    assert do(*LENGTH).skipped


def test_interrupted_again_before_training_it_still_says_that_it_resumes(
    do: Do, stop: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stop(step=5)
    with pytest.raises(KeyboardInterrupt):
        do(*LENGTH)
    monkeypatch.undo()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hydra_peft.runs.assembly.prepare_split", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"before training.*resumes it"):
        do(*LENGTH)
    monkeypatch.undo()
    assert do(*LENGTH).record.resumed[0]["at_step"] == 5


def test_what_a_killed_process_left_is_tidied_up(
    do: Do, stop: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stop(step=5)
    with pytest.raises(KeyboardInterrupt):
        do(*LENGTH)
    monkeypatch.undo()
    (path,) = (tmp_path / "runs").rglob("result.json")
    record = json.loads(path.read_text()) | {"status": "running"}  # nobody wrote that it ended
    path.write_text(json.dumps(record))
    path.with_name(".result.json.abc123").write_text("{")
    path.with_name(".metrics.csv.abc123").write_text("epo")
    (path.parent / "checkpoints" / ".step-00000006.safetensors.x").write_bytes(b"half")
    (path.parent / "checkpoints" / "step-00000012.safetensors").mkdir()
    outcome = do(*LENGTH)
    assert outcome.record.resumed[0]["at_step"] == 5
    assert not list(outcome.folder.glob(".*"))
