"""Jobs in a pack: the same runs as one after the other, whoever ends, fails or is stopped."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from hydra_peft.adaptation.storage import TENSORS
from hydra_peft.packing.reasons import packed_line, why_not_packed
from hydra_peft.packing.room import MOST, Room
from hydra_peft.runs.record import Record, read_record
from hydra_peft.runs.shared import Kept, Shared
from hydra_peft.sweeps import packed, sequential
from hydra_peft.sweeps.job import Job, JobEnd
from hydra_peft.sweeps.packed import _Members
from hydra_peft.sweeps.with_trials import WithTrials

MakeJob = Callable[..., Job]
SHORT = ("train.batch_size=45", "method.rank=2")
LORA = (*SHORT, "method=lora")
HYDRA = (*SHORT, "method=hydra", "method.rank=1")

DIVERGING = (*LORA, "optimizer=sgd", "optimizer.lr=1e6", "method.scale=1000", "train.epochs=4")


def records(tmp_path: Path) -> dict[str, tuple[Record, Path]]:
    found = [path.parent for path in (tmp_path / "runs").glob("*/*/*/result.json")]
    return {record.config_id: (record, path) for path in found if (record := read_record(path))}


@pytest.fixture
def pack_of(make_job: MakeJob) -> Callable[..., list[Job]]:
    def made(*jobs: tuple[str, ...]) -> list[Job]:
        return [make_job(*words, "launcher.pack=3") for words in jobs]

    return made


def test_packed_runs_are_those_of_a_sweep_in_turn(
    pack_of: Callable[..., list[Job]], tmp_path: Path
) -> None:
    jobs = pack_of(LORA, HYDRA, ("method=linear",), DIVERGING)
    ends = list(packed.launch_jobs(jobs))
    assert [end.job for end in ends[-2:]] == [jobs[3], jobs[2]]  # alone, at the end
    assert [end.status for end in ends] == ["completed", "completed", "diverged", "completed"]
    together = records(tmp_path)
    shared = sorted((r.status, r.method_label, r.path.get("packed")) for r, _ in together.values())
    assert shared == [
        ("completed", "hydra r=1+1", 3),
        ("completed", "linear", None),
        ("completed", "lora r=2", 3),
        ("diverged", "lora r=2", None),
    ]
    for _, folder in together.values():
        assert (folder / "train.log").read_text().count("layers adapted") == 1

    (tmp_path / "runs").rename(tmp_path / "packed")
    assert len(list(sequential.launch_jobs(jobs[:3]))) == 3
    alone = records(tmp_path)
    assert len(alone) == 3
    for key, (record, folder) in alone.items():
        assert together[key][0].score == pytest.approx(record.score, abs=2.0)  # one image of 50
        kept = load_file(tmp_path / "packed" / folder.relative_to(tmp_path / "runs") / TENSORS)
        for name, value in load_file(folder / TENSORS).items():
            torch.testing.assert_close(kept[name], value, rtol=0, atol=1e-5, msg=name)


@pytest.mark.long
def test_a_pack_that_is_stopped_goes_on_where_it_was(
    pack_of: Callable[..., list[Job]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_LOOK", 0.01)
    jobs = pack_of(LORA, (*HYDRA, "train.epochs=3"), (*LORA, "seed=1", "train.epochs=3"))
    with closing(packed.launch_jobs(jobs)) as ends:
        assert next(ends).job is jobs[0]
    interrupted = [r for r, _ in records(tmp_path).values() if r.status == "interrupted"]
    assert len(interrupted) == 2
    assert all("resumes it" in str(record.error) for record in interrupted)
    again = list(packed.launch_jobs(jobs))
    assert sorted(end.status for end in again) == ["completed"] * 3
    assert sum("skipped" in end.line for end in again) == 1
    for record in interrupted:
        now, folder = records(tmp_path)[record.config_id]
        assert now.status == "completed"
        assert "resumed after step" in (folder / "train.log").read_text()


@pytest.mark.long
def test_the_first_failure_stops_all_where_that_is_asked_for(
    pack_of: Callable[..., list[Job]],
) -> None:
    jobs = pack_of(DIVERGING, (*HYDRA, "train.epochs=30"), ("method=linear",))
    ends: list[JobEnd] = list(packed.launch_jobs(jobs, fail_fast=True))
    assert sorted(end.status for end in ends) == ["diverged", "interrupted"]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("method=lora",), None),
        (("method=vera",), None),
        (
            ("method=linear",),
            "linear trains the head alone, so no step of the backbone is left to share",
        ),
        (("method=full",), "full trains the backbone, so no product is frozen"),
        (("method=vpt_deep",), "vpt_deep adapts more than linear layers"),
        (("method=lora", "train.profile=true"), "train.profile=true looks at one run"),
    ],
)
def test_a_plan_says_what_is_done_alone(
    make_job: MakeJob, words: tuple[str, ...], reason: str | None
) -> None:
    assert why_not_packed(make_job(*words).run_config()) == reason


def test_a_plan_names_each_reason_once(make_job: MakeJob) -> None:
    config = make_job("method=lora").run_config()
    linear: Any = dataclasses.replace(config, method=make_job().run_config().method)
    trains = "(linear trains the head alone, so no step of the backbone is left to share)"
    assert packed_line([("a", config), ("b", linear), ("c", linear), ("d", config)]) == (
        "2 of 4 jobs share their steps: each product with frozen weights is computed once for all "
        f"of them; alone: b, c {trains}"
    )
    none = "no other one here could share steps on its backbone, in its precision"
    double = dataclasses.replace(config, precision="bf16")
    for other, jobs in (
        (linear, f"alone: a ({none}); alone: b {trains}"),
        (double, f"alone: a, b ({none})"),
    ):
        said = packed_line([("a", config), ("b", other)])
        assert said == f"no job shares steps with another; {jobs}"
    search = dataclasses.replace(config.protocol, tune=True)
    searched = dataclasses.replace(config, protocol=search)
    said = packed_line([("a", searched), ("b", linear)])
    assert said.startswith("the trials of 1 of 2 jobs share their steps: ")
    dataset = dataclasses.replace(config.dataset, source="mini_glue", name="acceptable")
    texts = dataclasses.replace(config, dataset=dataset)
    alone = "; alone: a, b (texts differ in length, so no batch is shared)"
    assert packed_line([("a", texts), ("b", texts)]).endswith(alone)


def test_without_a_further_thread_fewer_runs_share_steps(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    jobs = [make_job("method=lora", f"seed={seed}") for seed in range(4)]
    pairs = [(job, job.run_config()) for job in jobs]
    members = _Members(WithTrials(pairs), pairs[0][1].launcher, "cpu")
    while members._may_start():
        members._start()
    assert members._pack.members == len(members._threads) == len(started) == 2
    started.clear()
    started.extend(members._threads)
    none = _Members(WithTrials(pairs), pairs[0][1].launcher, "cpu")
    with pytest.raises(RuntimeError, match="start new thread"):
        none._start()
    assert none._pack.members == 0


def test_room_is_limited() -> None:
    room = Room(torch.device("cpu"))
    assert room.for_another(1)
    assert not room.for_another(MOST)
    room._before = -(2**60)
    assert not room.for_another(2)


def test_members_read_the_same_data_once_and_keep_it_as_long_as_one_uses_it() -> None:
    kept = Kept()
    first, second = Shared(kept=kept), Shared(kept=kept)
    made: list[str] = []

    def make(name: str) -> Callable[[], str]:
        return lambda: made.append(name) or name  # type: ignore[func-returns-value]

    assert [one._once("splits", "a", make("a")) for one in (first, second, first)] == ["a"] * 3
    assert made == ["a"]
    assert first._once("splits", "b", make("b")) == "b"
    assert list(kept.made.values()) == ["a", "b"]
    with pytest.raises(ZeroDivisionError):
        second._once("splits", "c", lambda: 1 // 0)
    assert list(kept.made.values()) == ["b"]


SEARCH = (
    "protocol.tune=true",
    "protocol.tune_seed=0",
    "protocol.grid.optimizer.lr=[1e-3,1e-2]",
    "protocol.grid.method.scale=null",
    "protocol.grid.method.dropout=null",
)


def test_certain_trials_of_a_search_share_steps_and_are_done_once(
    pack_of: Callable[..., list[Job]], tmp_path: Path
) -> None:
    jobs = pack_of((*LORA, *SEARCH), (*LORA, *SEARCH, "seed=1"))
    ends = list(packed.launch_jobs(jobs))
    assert [end.status for end in ends] == ["completed"] * 2
    trials = [read_record(p.parent) for p in (tmp_path / "runs/tuning").glob("*/*/*/result.json")]
    assert [record.path.get("packed") for record in trials] == [2, 2]
    found = [record for record, _ in records(tmp_path).values()]
    assert [record.path.get("packed") for record in found] == [2, 2]
    (tmp_path / "runs").rename(tmp_path / "packed")
    list(sequential.launch_jobs(jobs[:1]))
    (alone,) = (record for record, _ in records(tmp_path).values())
    assert [r.tuning["chosen"] for r in found] == [alone.tuning["chosen"]] * 2
    assert {r.config_id for r in trials} == {one["config_id"] for one in alone.tuning["candidates"]}
