"""A machine divided: which GPU and how many threads each slot has."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

from hydra_peft.config.schema import LauncherConfig
from hydra_peft.cores import VARIABLES, threads_are_given
from hydra_peft.errors import UserError
from hydra_peft.sweeps import slots
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.slots import VISIBLE, plan_slots, slots_for, visible_gpus

CUDA = {"auto"}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend a machine: cores, GPUs that torch counts, and what the parent sees of them."""

    def pretend(*, cores: int, gpus: int = 0, visible: str | None = None) -> None:
        monkeypatch.setattr(slots, "usable_cores", lambda: cores)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(VISIBLE, raising=False)
        if visible is not None:
            monkeypatch.setenv(VISIBLE, visible)

    return pretend


Machine = Callable[..., None]


def seen(config: LauncherConfig, devices: set[str]) -> list[str]:
    return [slot.environment[VISIBLE] for slot in plan_slots(config, devices)]


def threads(config: LauncherConfig, devices: set[str]) -> set[str]:
    found = {slot.environment[key] for slot in plan_slots(config, devices) for key in VARIABLES}
    assert len(found) == 1
    return found


def test_each_slot_sees_one_gpu(machine: Machine) -> None:
    machine(cores=16, gpus=4)
    assert seen(LauncherConfig(), CUDA) == ["0", "1", "2", "3"]
    assert seen(LauncherConfig(gpus=[2, 0]), CUDA) == ["2", "0"]
    assert seen(LauncherConfig(gpus=[0, 2], jobs_per_gpu=2), CUDA) == ["0", "2", "0", "2"]
    assert threads(LauncherConfig(), CUDA) == {"4"}
    assert threads(LauncherConfig(gpus=3), CUDA) == {"16"}


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [
        ("5,7", 2, ["5", "7"]),
        ("GPU-8932f937, GPU-12ab", 2, ["GPU-8932f937", "GPU-12ab"]),
        ("3,-1,4", 1, ["3"]),
        ("", 0, [""]),
    ],
)
def test_gpus_are_counted_among_those_that_the_parent_sees(
    machine: Machine, visible: str, gpus: int, expected: list[str]
) -> None:
    machine(cores=2, gpus=gpus, visible=visible)
    assert seen(LauncherConfig(), CUDA) == expected
    assert seen(LauncherConfig(gpus=[gpus - 1]) if gpus else LauncherConfig(), CUDA) == [
        expected[-1]
    ]


@pytest.mark.parametrize(
    ("gpus", "asked", "message"),
    [
        (2, [0, 2, 5], "launcher.gpus names GPU 2, 5, but there are GPUs 0 to 1 here"),
        (1, [1], "launcher.gpus names GPU 1, but there is GPU 0 alone here"),
        (0, [0], "launcher.gpus names GPU 0, but there is no GPU here"),
    ],
)
def test_a_gpu_that_is_not_there(
    machine: Machine, gpus: int, asked: list[int], message: str
) -> None:
    machine(cores=2, gpus=gpus)
    with pytest.raises(UserError, match=message):
        plan_slots(LauncherConfig(gpus=asked), CUDA)


def test_cpu_slots_share_the_cores(machine: Machine) -> None:
    machine(cores=8, gpus=2)
    cpu = {"cpu"}
    assert seen(LauncherConfig(), cpu) == [""] * 4
    assert threads(LauncherConfig(), cpu) == {"2"}
    assert threads(LauncherConfig(cpu_slots=3), cpu) == {"2"}
    assert threads(LauncherConfig(cpu_slots=20), cpu) == {"1"}
    machine(cores=1)
    assert len(plan_slots(LauncherConfig(), {"auto"})) == 1


def test_threads_that_were_asked_for_are_the_most(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(cores=8)
    for asked, expected in (("1", "1"), ("64", "4"), ("many", "4"), ("0", "4")):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert threads(LauncherConfig(cpu_slots=2), {"cpu"}) == {expected}
        (environment, *_) = [slot.environment for slot in plan_slots(LauncherConfig(), {"cpu"})]
        assert threads_are_given({**os.environ, **environment})


def test_a_share_that_nobody_asked_for_may_shrink_under_load(machine: Machine) -> None:
    machine(cores=8)
    (environment, *_) = [slot.environment for slot in plan_slots(LauncherConfig(), {"cpu"})]
    assert not threads_are_given({**os.environ, **environment})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gpus", "some"),
        ("gpus", []),
        ("gpus", [0, 0]),
        ("gpus", [-1]),
        ("gpus", ["a"]),
        ("gpus", [True]),
        ("gpus", None),
        ("jobs_per_gpu", 0),
        ("cpu_slots", 0),
        ("cpu_slots", "many"),
        ("cpu_slots", True),
    ],
)
def test_values_that_mean_nothing(key: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"launcher\.{key}=.* is not allowed"):
        LauncherConfig(**{key: value})


def test_what_jobs_ask_for(machine: Machine, make_job: Callable[..., Job]) -> None:
    machine(cores=8, gpus=2)
    assert len(slots_for([make_job("seed=0"), make_job("seed=1")])) == 4
    found = slots_for([make_job("device=auto", "launcher.gpus=[1]", "launcher.jobs_per_gpu=2")])
    assert [slot.name for slot in found] == ["GPU 1", "GPU 1"]
    with pytest.raises(UserError, match="cannot differ between its jobs"):
        slots_for([make_job("launcher.cpu_slots=1"), make_job("launcher.cpu_slots=2")])


def test_a_launcher_that_depends_on_other_values(
    machine: Machine, make_job: Callable[..., Job]
) -> None:
    machine(cores=8)
    same = "launcher.cpu_slots=${seed}"
    assert (
        len(slots_for([make_job(same, "seed=3"), make_job(same, "seed=3", "train.epochs=2")])) == 3
    )
    with pytest.raises(UserError, match="cannot differ between its jobs"):
        slots_for([make_job(same, "seed=2"), make_job(same, "seed=3")])


def test_launcher_is_no_part_of_a_runs_identity(make_job: Callable[..., Job]) -> None:
    from hydra_peft.config.check import check_recorded
    from hydra_peft.config.identity import config_id
    from hydra_peft.config.plain import as_configured

    one, other = (
        make_job(*words).run_config()
        for words in ((), ("launcher.cpu_slots=3", "launcher.gpus=[0]"))
    )
    assert config_id(one) == config_id(other)
    # Configs of runs of before have no such section.
    older = as_configured(one)
    del older["launcher"]
    assert check_recorded(older).launcher == LauncherConfig()


def test_counting_gpus_initialises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("init", "_lazy_init"):
        monkeypatch.setattr(torch.cuda, name, lambda: pytest.fail("CUDA was initialised"))
    visible_gpus()
