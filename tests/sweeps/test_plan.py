"""What is to be done about a job, by what its folder holds."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import record
from fabricated_sweeps import fabricate

from hydra_peft.runs.assembly import load_backbone
from hydra_peft.runs.claims import claim
from hydra_peft.runs.existing import folder_of
from hydra_peft.runs.record import read_record, write_record
from hydra_peft.sweeps import plan as plan_module
from hydra_peft.sweeps.job import Composition, Job
from hydra_peft.sweeps.one_job import do_job
from hydra_peft.sweeps.plan import PlannedJob, plan
from hydra_peft.sweeps.plan_text import plan_text

MakeJob = Callable[..., Job]


def composition(job: Job) -> Composition:
    return Composition(job, job.run_config())


def planned(*jobs: Job) -> list[PlannedJob]:
    return plan([composition(job) for job in jobs])


def test_a_new_job_writes_nothing(make_job: MakeJob, tmp_path: Path) -> None:
    (job,) = planned(make_job())
    assert (job.state, job.reason, job.starts) == ("new", None, True)
    assert str(job.folder).startswith(f"{tmp_path}/runs/mini/digits/linear-seed0-")
    assert not (tmp_path / "runs").exists()


def test_states_follow_the_record(make_job: MakeJob) -> None:
    do_job(make_job())
    (done,) = planned(make_job())
    assert (done.state, done.starts) == ("done", False)
    assert done.folder is not None
    real = read_record(done.folder)
    expected = {
        "running": ("to_resume", "to_resume", "to_resume"),
        "interrupted": ("to_resume", "to_resume", "to_resume"),
        "failed": ("failed", "new", "new"),
        "diverged": ("failed", "failed", "new"),
    }
    for status, states in expected.items():
        write_record(dataclasses.replace(real, status=status, error="it was so."), done.folder)
        for retry, state in zip(("none", "failed", "all"), states, strict=True):
            (job,) = planned(make_job(f"sweep.retry={retry}"))
            assert (job.state, job.starts) == (state, state != "failed"), (status, retry)
            if state == "failed":
                needed = "all" if status == "diverged" else "failed"
                assert job.reason is not None
                assert "it was so" in job.reason
                assert f"sweep.retry={needed} starts it again" in job.reason


def test_on_existing(make_job: MakeJob) -> None:
    do_job(make_job())
    (job,) = planned(make_job("sweep.on_existing=rerun"))
    assert job.state == "new"
    (job,) = planned(make_job("sweep.on_existing=error"))
    assert job.state == "broken"
    assert "holds this very run already" in str(job.reason)


def test_a_done_run_on_other_data_is_broken(make_job: MakeJob) -> None:
    do_job(make_job())
    (done,) = planned(make_job())
    assert done.folder is not None
    real = read_record(done.folder)
    write_record(dataclasses.replace(real, data={**real.data, "sha256": "0" * 64}), done.folder)
    (job,) = planned(make_job())
    assert job.state == "broken"
    assert "holds this run on other data" in str(job.reason)


def test_a_failed_run_on_other_data_begins_anew(make_job: MakeJob) -> None:
    """As the run itself decides: what failed on data of before says nothing of those of now."""
    (new,) = planned(make_job())
    assert new.folder is not None
    do_job(make_job())
    real = read_record(new.folder)
    for data, state in (({**real.data, "sha256": "0" * 64}, "new"), ({}, "failed")):
        write_record(dataclasses.replace(real, status="failed", data=data), new.folder)
        (job,) = planned(make_job())
        assert (job.state, job.starts) == (state, state == "new")


def test_a_claim_of_somebody_alive_is_running(make_job: MakeJob, tmp_path: Path) -> None:
    (job,) = planned(make_job())
    assert job.folder is not None
    with claim(tmp_path / "runs", job.folder):
        (held,) = planned(make_job())
    assert (held.state, held.starts) == ("running", True)
    assert str(held.reason).startswith("process ")
    (free,) = planned(make_job())
    assert free.state == "new"


def test_a_search_of_which_a_run_failed_is_not_gone_on_with_unasked(
    make_job: MakeJob, tmp_path: Path
) -> None:
    tune = ("protocol.tune=true", "protocol.grid.optimizer.lr=[1e-3,1e-2]")
    do_job(make_job(*tune))
    (done,) = planned(make_job(*tune))
    assert done.folder is not None
    shutil.rmtree(done.folder)
    trial, _ = sorted((tmp_path / "runs/tuning").rglob("result.json"))
    record = dataclasses.replace(read_record(trial.parent), status="failed", error="it burnt.")
    write_record(record, trial.parent)
    (job,) = planned(make_job(*tune))
    assert (job.state, job.starts) == ("failed", False)
    told = f"a run of its search ({record.config_id}) failed (it burnt); sweep.retry=failed starts"
    assert str(job.reason).startswith(told)
    # Asked for, or part of another search.
    for words in (
        (*tune, "sweep.retry=failed"),
        ("protocol.tune=true", "protocol.grid.optimizer.lr=[1]"),
        (*tune, "seed=1"),
        (),
    ):
        (other,) = planned(make_job(*words))
        assert (other.state, other.reason) == ("new", None)
    assert do_job(make_job(*tune, "sweep.retry=failed")).status == "completed"
    assert planned(make_job(*tune))[0].state == "done"


@pytest.fixture
def fabricated(make_job: MakeJob) -> Path:
    """The folder of a job that is done, without training."""
    config = composition(make_job()).config
    assert config is not None
    weights = load_backbone(config.model, config.seed)[1]
    fabricate(record(), [config])
    return folder_of(config, weights)


def test_a_search_that_diverged_throughout_is_not_begun_again_unasked(make_job: MakeJob) -> None:
    tune = (
        "protocol.tune=true",
        "protocol.grid.optimizer.lr=[1e6]",
        "protocol.grid.method.dropout=[0]",
    )
    words = (*tune, "method=lora", "protocol.grid.method.scale=[100]", "train.batch_size=8")
    end = do_job(make_job(*words))
    assert (end.status, "all 1 combinations" in str(end.error)) == ("failed", True)
    (job,) = planned(make_job(*words))
    assert job.state == "failed"
    assert job.reason == "all 1 runs of its search diverged; sweep.retry=all starts them again"
    assert planned(make_job(*words, "sweep.retry=failed"))[0].state == "failed"
    assert planned(make_job(*words, "sweep.retry=all"))[0].state == "new"


def test_a_folder_under_another_runs_name_is_refused(make_job: MakeJob) -> None:
    do_job(make_job())
    (done,), (other,) = planned(make_job()), planned(make_job("seed=1"))
    assert done.folder is not None
    assert other.folder is not None
    done.folder.rename(other.folder)
    (job,) = planned(make_job("seed=1"))
    assert (job.state, job.starts) == ("broken", False)
    assert "holds another run than its name says" in str(job.reason)
    end = do_job(make_job("seed=1"))
    assert (end.status, "move that folder elsewhere" in str(end.error)) == ("failed", True)


def test_a_damaged_record_starts_anew(make_job: MakeJob) -> None:
    (job,) = planned(make_job())
    assert job.folder is not None
    job.folder.mkdir(parents=True)
    (job.folder / "result.json").write_text("{")
    (job.folder / "adapter.safetensors").write_bytes(b"somebody's")
    (again,) = planned(make_job())
    assert again.state == "new"
    assert again.reason == "its result.json is damaged or contradicted; what is there is set aside"
    assert do_job(make_job()).status == "completed"
    aside = job.folder.with_name(f"{job.folder.name}.superseded-1")
    assert (aside / "adapter.safetensors").read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("scores", {"test": {"accuracy": "x"}}),
        ("scores", {"test": {"accuracy": 10**400}}),
        ("times", []),
        ("times", {"total": "x"}),
        ("parameters", {"adapter": "many"}),
        ("started", 7),
    ],
)
def test_a_planted_value_starts_anew_and_can_be_told(
    make_job: MakeJob, fabricated: Path, part: str, value: Any
) -> None:
    path = fabricated / "result.json"
    content = json.loads(path.read_text())
    content[part] = {**content[part], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(content))
    jobs = planned(make_job())
    assert [job.state for job in jobs] == ["new"]
    assert "1 job: 1 new" in plan_text(jobs)


def test_one_broken_job_leaves_the_weights_alone(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "_weights", lambda _: pytest.fail("weights were read"))
    jobs = [make_job("method=lora", "method.rank=10000"), make_job()]
    broken, other = planned(*jobs)
    assert broken.state == "broken"
    assert "rank 10000" in str(broken.reason)
    assert (other.state, other.folder) == ("new", None)


def test_shared_parts_are_looked_at_once(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("check_model", "check_data", "_weights"):
        original = getattr(plan_module, name)

        def counted(config, name=name, original=original, **more):  # type: ignore[no-untyped-def]
            calls.append(name)
            return original(config, **more)

        monkeypatch.setattr(plan_module, name, counted)
    jobs = planned(*(make_job(f"seed={seed}") for seed in range(4)))
    assert {job.state for job in jobs} == {"new"}
    assert sorted(calls) == ["_weights", "check_data", "check_model"]


def test_each_head_is_tried_on_its_own(
    make_job: MakeJob, extra_heads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(plan_module, "check_model", lambda c, **_: tried.append(c.head.identity()))
    place = f"hydra.searchpath=[file://{extra_heads}]"
    other = [make_job(place, "head=two_layers", f"head.hidden={hidden}") for hidden in (8, 9)]
    planned(make_job(), make_job("seed=1"), *other)
    assert [(head["name"], head.get("hidden")) for head in tried] == [
        ("linear", None),
        ("two_layers", 8),
        ("two_layers", 9),
    ]


def test_random_weights_are_those_of_each_seed(make_job: MakeJob) -> None:
    first, second = planned(*(make_job("model.pretrained=false", f"seed={s}") for s in (0, 1)))
    assert first.folder is not None
    assert second.folder is not None
    assert first.folder.name[-8:] != second.folder.name[-8:]


def test_the_same_run_twice_is_started_once(make_job: MakeJob) -> None:
    first, twin = planned(make_job("seed=1"), make_job("seed=1", "train.compile=false"))
    assert (first.starts, twin.starts, twin.same_as) == (True, False, 1)


def test_missing_weights_are_a_mistake_of_each_job(make_job: MakeJob) -> None:
    jobs = planned(*(make_job("model.checkpoint=/nowhere/x.npz", f"seed={s}") for s in (0, 1)))
    assert [job.state for job in jobs] == ["broken", "broken"]
    assert "/nowhere/x.npz is not there" in str(jobs[1].reason)


def test_a_bug_is_not_taken_for_a_broken_job(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(plan_module, "check_model", fail)
    with pytest.raises(ZeroDivisionError):
        planned(make_job())
