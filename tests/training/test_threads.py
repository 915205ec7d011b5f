"""The number of threads under load: simulated machines, and what is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest
import torch

from hydra_peft.cores import SHARED, threads_are_given
from hydra_peft.training.threads import INTERVAL, LoadFollower


@pytest.fixture(autouse=True)
def _four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


class Machine:
    """Four cores; whoever asks for one gets it, this process what torch's threads can get.

    Attributes:
        others: cores that other processes keep busy.
    """

    def __init__(self) -> None:
        self.now = self.idle = self.own = 0.0
        self.others = 0.0
        self.blind = False

    def counted(self) -> tuple[float, float] | None:
        return None if self.blind else (self.idle, 4 * self.now)

    def follower(self, follow: bool = True) -> AbstractContextManager[LoadFollower]:
        return self.made().following(follow)

    def made(self) -> LoadFollower:
        return LoadFollower(counted=self.counted, used=lambda: self.own, clock=lambda: self.now)

    def train(self, follower: LoadFollower, seconds: float, step: float = 0.05) -> set[int]:
        """Let steps go by; return the numbers of threads there were."""
        seen = set()
        for _ in range(round(seconds / step)):
            threads = torch.get_num_threads()
            # Threads and others share the cores fairly where there are too few.
            own = min(threads, 4 * threads / (threads + self.others), 4)
            others = min(self.others, 4 - own)
            self.now += step
            self.own += own * step
            self.idle += (4 - own - others) * step
            follower.look()
            seen.add(torch.get_num_threads())
        return seen


def test_a_quiet_machine_changes_nothing() -> None:
    machine = Machine()
    with machine.follower() as follower:
        machine.others = 0.2
        assert machine.train(follower, 30) == {4}
    assert follower.fewest == 4


@pytest.mark.parametrize(("others", "left"), [(1, 3), (2, 2), (3, 1), (8, 1)])
def test_cores_that_others_use_are_left_to_them(others: float, left: int) -> None:
    machine = Machine()
    machine.others = others
    with machine.follower() as follower:
        machine.train(follower, 30)
        assert machine.train(follower, 30) == {left}
        assert follower.fewest == left
    assert torch.get_num_threads() == 4


def test_a_load_that_goes_gives_the_threads_back() -> None:
    machine = Machine()
    with machine.follower() as follower:
        machine.others = 2
        machine.train(follower, 10)
        assert torch.get_num_threads() == 2
        machine.others = 0
        machine.train(follower, 10)
        assert torch.get_num_threads() == 4


def test_a_load_that_comes_and_goes_makes_ever_fewer_changes() -> None:
    machine = Machine()
    changes = []
    with machine.follower() as follower:
        for _ in range(4):
            count = 0
            for second in range(60):
                before = torch.get_num_threads()
                machine.others = 3.0 * (second % 4 < 2)
                machine.train(follower, 1, step=0.5)
                count += torch.get_num_threads() != before
            changes.append(count)
    assert changes[0] > changes[-1]
    assert changes[-1] <= 4


def test_looks_are_half_a_second_apart_and_one_long_step_is_one() -> None:
    machine = Machine()
    machine.others = 3
    with machine.follower() as follower:
        assert machine.train(follower, INTERVAL / 2) == {4}
        assert machine.train(follower, 20, step=20) == {2}  # it got 16 / 7 of the cores
        assert machine.train(follower, 20, step=20) == {1}


def test_the_load_while_a_run_was_prepared_counts() -> None:
    machine = Machine()
    made = machine.made()
    machine.now, machine.own, machine.idle = 8.0, 8.0, 8.0  # of 32 seconds others had 16
    with made.following(True) as follower:
        assert torch.get_num_threads() == 2
        assert follower.fewest == 2


def test_scoring_has_the_threads_it_would_have_alone() -> None:
    machine = Machine()
    machine.others = 2
    with machine.follower() as follower:
        machine.train(follower, 10)
        with follower.all():
            assert torch.get_num_threads() == 4
        assert torch.get_num_threads() == 2


def test_an_error_puts_the_threads_back() -> None:
    machine = Machine()
    machine.others = 3

    def fail() -> None:
        with machine.follower() as follower:
            machine.train(follower, 10)
            with follower.all():
                raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.get_num_threads() == 4


def test_what_is_not_known_or_not_wanted_changes_nothing() -> None:
    for machine, follow in ((Machine(), True), (Machine(), False)):
        machine.blind, machine.others = follow, 3
        with machine.follower(follow) as follower:
            assert machine.train(follower, 10) == {4}


def test_a_system_that_does_not_count_says_nothing() -> None:
    machine = Machine()
    machine.others = 3
    made = LoadFollower(
        counted=lambda: (0.0, 0.0), used=lambda: machine.own, clock=lambda: machine.now
    )
    with made.following(True) as follower:
        assert machine.train(follower, 10) == {4}


@pytest.mark.parametrize(
    ("environment", "given"),
    [
        ({}, False),
        ({"OMP_NUM_THREADS": ""}, False),
        ({"OMP_NUM_THREADS": "4"}, True),
        ({"MKL_NUM_THREADS": "2"}, True),
        ({"OMP_NUM_THREADS": "2", SHARED: "1"}, False),
    ],
)
def test_who_gave_the_number(environment: dict[str, str], given: bool) -> None:
    assert threads_are_given(environment) == given
