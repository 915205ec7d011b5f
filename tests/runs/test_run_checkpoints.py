"""A checkpoint is data: what is not exactly one of this run is passed over."""

from __future__ import annotations

import logging
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hydra_peft.config.schema import FillsConfig, ProtocolConfig
from hydra_peft.runs.checkpoints import Checkpoints, Origin
from hydra_peft.runs.scoring import Scoring
from hydra_peft.runs.state import TrainingState
from hydra_peft.tasks import build_task
from hydra_peft.training.progress import Progress
from hydra_peft.training.seeding import RandomStreams

ORIGIN = Origin("a" * 12, "b" * 64, "c" * 64, "2.6")
PROTOCOL = ProtocolConfig(
    name="clean",
    train_split="train",
    evaluate_split="test",
    selection="last",
    evaluate_every=1,
    tune=False,
    grid={},
    fills=FillsConfig("clean", "xavier", 0.0, False, "backbone", "cosine", None, 0.0),
)


@pytest.fixture
def state() -> TrainingState:
    """A state after step 2 of epoch 1 (from 1) of 5 epochs of 3 steps of 4 out of 10 images."""
    import hydra_peft
    from hydra_peft.optimizers.adamw import AdamW

    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 2))
    hydra_peft.inject(model, "lora", targets=["0"], rank=1, head="1")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = AdamW(0.1, 0.0, [0.9, 0.99], 1e-8).build(trained)
    model(torch.randn(3, 4)).square().sum().backward()
    optimizer.step()
    progress = Progress()
    progress.begin_epoch(torch.Generator().get_state(), 3, torch.device("cpu"))
    progress.random = RandomStreams.seeded(0, 0, 0, torch.device("cpu"))
    for _ in range(2):
        progress.add(torch.tensor(1.0), torch.tensor(2), 4)
    task = build_task("classification", outputs=2, metrics=["accuracy"])
    scoring = Scoring(task, PROTOCOL, 5)
    return TrainingState(model, optimizer, progress, [], scoring, torch.device("cpu"), 10, 4, 3)


@pytest.fixture
def messages() -> Iterator[list[str]]:
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Handler()
    logging.getLogger("hydra_peft").addHandler(handler)
    yield found
    logging.getLogger("hydra_peft").removeHandler(handler)


def test_round_trip(tmp_path: Path, state: TrainingState) -> None:
    checkpoints = Checkpoints(tmp_path, ORIGIN)
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    checkpoints.write(state.step, state.tensors(), state.facts())
    with torch.no_grad():
        for tensor in state.model.parameters():
            tensor += 1
    state.progress.step = 0
    found = checkpoints.newest(state.check, state.max_bytes())
    assert found is not None
    step, tensors, facts = found
    assert step == 2
    state.load(tensors, facts)
    assert state.step == 2
    assert state.progress.seen == 8
    after = state.tensors()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[n], before[n]) for n in before if not n.startswith("random/"))


def altered_facts(**changes: Any) -> Callable[[dict[str, Tensor], dict[str, Any]], None]:
    return lambda _, facts: facts.update(changes)


def other_tensor(name: str, tensor: Tensor | None) -> Callable[[dict, dict], None]:
    def change(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor

    return change


RECORD = {"epoch": 1, "loss": 1.0, "train_accuracy": 1.0, "lr": 0.1, "seconds": 1.0}
HOSTILE = {
    "epoch": altered_facts(epoch=5),
    "negative": altered_facts(step=-1),
    "step": altered_facts(step=4),
    "not whole": altered_facts(step=1.5),
    "bool": altered_facts(epoch=True),
    "records": altered_facts(epochs=[RECORD] * 100_000),
    "record": altered_facts(epoch=1, epochs=[RECORD | {"path": "../../etc"}]),
    "kept": altered_facts(kept=[1, 2, 3]),
    "evaluations": altered_facts(evaluations=10**9),
    "looks": altered_facts(looks=[[1, "x"]]),
    "seconds": altered_facts(seconds=-1.0),
    "huge": altered_facts(seconds=10**400),
    "not a number": altered_facts(seconds="1"),
    "path": other_tensor("model/../../x", torch.zeros(1)),
    "missing": other_tensor("progress/losses", None),
    "shape": other_tensor("progress/losses", torch.zeros(4)),
    "dtype": other_tensor("progress/correct", torch.zeros(())),
    "order": other_tensor("progress/order", torch.zeros(5056, dtype=torch.uint8)),
    "words": other_tensor("random/numpy", torch.full((626,), 10**9)),
    "index": other_tensor("optimizer/99/step", torch.zeros(())),
    "best": other_tensor("best/1.weight", torch.zeros(2, 4)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_state_that_cannot_be_is_refused_whatever_its_hashes(
    tmp_path: Path, state: TrainingState, messages: list[str], name: str
) -> None:
    tensors, facts = dict(state.tensors()), state.facts()
    HOSTILE[name](tensors, facts)
    checkpoints = Checkpoints(tmp_path, ORIGIN)
    checkpoints.write(2, tensors, facts)
    before = [p.clone() for p in state.model.parameters()]
    assert checkpoints.newest(state.check, state.max_bytes()) is None
    message, anew = messages
    assert anew == f"no checkpoint in {checkpoints.folder} can be used: training starts anew"
    assert "is not resumed from: it " in message
    pairs = zip(before, state.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"{}", b"\0" * 64],
)
def test_what_is_no_checkpoint_is_passed_over(
    tmp_path: Path, state: TrainingState, messages: list[str], content: bytes
) -> None:
    checkpoints = Checkpoints(tmp_path, ORIGIN)
    checkpoints.write(1, state.tensors(), state.facts())
    path = checkpoints.folder / "step-00000002.safetensors"
    path.write_bytes(content)
    found = checkpoints.newest(state.check, state.max_bytes())
    assert found is not None
    assert found[0] == 1
    assert (len(messages), messages[0].count(str(path))) == (2, 1)
    assert messages[1] == "training goes back to step 1"
    before = checkpoints.folder / "step-00000001.safetensors"
    before.unlink()
    os.mkfifo(before)
    assert checkpoints.newest(state.check, state.max_bytes()) is None
    assert messages[3] == f"{before} is not resumed from: it is a link or no ordinary file."
    assert messages[4].endswith("can be used: training starts anew")


def test_a_pickle_is_not_run(tmp_path: Path, state: TrainingState, messages: list[str]) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "exploded",)

    checkpoints = Checkpoints(tmp_path, ORIGIN)
    checkpoints.folder.mkdir()
    (checkpoints.folder / "step-00000002.safetensors").write_bytes(pickle.dumps(Bomb()))
    assert checkpoints.newest(state.check, state.max_bytes()) is None
    assert messages
    assert not (tmp_path / "exploded").exists()


def test_too_large_a_file_is_not_opened(
    tmp_path: Path, state: TrainingState, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, ORIGIN)
    checkpoints.folder.mkdir()
    with (checkpoints.folder / "step-00000002.safetensors").open("wb") as file:
        file.truncate(2**34)  # sparse
    monkeypatch.setattr(
        "hydra_peft.runs.checkpoints.read_tensors_and_metadata", lambda _: pytest.fail("opened")
    )
    assert checkpoints.newest(state.check, state.max_bytes()) is None
    assert "are not a checkpoint" in messages[0]


def test_a_link_is_neither_followed_nor_emptied(tmp_path: Path, state: TrainingState) -> None:
    other = tmp_path / "other"
    Checkpoints(other, ORIGIN).write(2, state.tensors(), state.facts())
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "checkpoints").symlink_to(other / "checkpoints")
    checkpoints = Checkpoints(mine, ORIGIN)
    assert checkpoints.newest(state.check, state.max_bytes()) is None
    checkpoints.remove()
    assert len(list((other / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize(
    ("origin", "message"),
    [
        (Origin("x", ORIGIN.weights, ORIGIN.data, "2.6"), "another run"),
        (Origin(ORIGIN.config_id, "x", ORIGIN.data, "2.6"), "other weights"),
        (Origin(ORIGIN.config_id, ORIGIN.weights, "x", "2.6"), "other data"),
        (Origin(ORIGIN.config_id, ORIGIN.weights, ORIGIN.data, "2.7"), "another version of torch"),
        (Origin(*list(vars(ORIGIN).values())[:4], {"lr": 1.0}), "another choice by tuning"),
    ],
)
def test_of_another_origin(
    tmp_path: Path, state: TrainingState, messages: list[str], origin: Origin, message: str
) -> None:
    Checkpoints(tmp_path, origin).write(2, state.tensors(), state.facts())
    assert Checkpoints(tmp_path, ORIGIN).newest(state.check, state.max_bytes()) is None
    assert f"it is of {message}." in messages[0]
