"""Signals wait until they are delivered, and go to whoever handled them before."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from hydra_peft.training.interrupts import Interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[dict[int, list[int]]]:
    """Give every signal a handler that notes its calls; put the earlier ones back."""
    called: dict[int, list[int]] = {signum: [] for signum in SIGNALS}
    before = {
        signum: signal.signal(signum, lambda number, _: called[number].append(number))
        for signum in SIGNALS
    }
    yield called
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_waits_for_its_delivery(handlers: dict[int, list[int]], signum: int) -> None:
    own = signal.getsignal(signum)
    with Interrupts() as interrupts:
        interrupts.defer()
        assert not interrupts.pending
        signal.raise_signal(signum)
        assert interrupts.pending
        assert handlers[signum] == []
        interrupts.deliver()
        assert handlers[signum] == [signum]
        assert not interrupts.pending
        assert signal.getsignal(signum) != own
    assert signal.getsignal(signum) == own
    assert handlers[signum] == [signum]


def test_before_defer_signals_act_at_once(handlers: dict[int, list[int]]) -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGTERM)
        assert handlers[signal.SIGTERM] == [signal.SIGTERM]
        assert not interrupts.pending


def test_what_still_waits_at_the_end_is_delivered(handlers: dict[int, list[int]]) -> None:
    with Interrupts() as interrupts:
        interrupts.defer()
        signal.raise_signal(signal.SIGUSR1)
    assert handlers[signal.SIGUSR1] == [signal.SIGUSR1]
    with pytest.raises(ValueError, match="another"), Interrupts() as interrupts:  # noqa: PT012
        interrupts.defer()
        signal.raise_signal(signal.SIGUSR2)
        raise ValueError("another")
    assert handlers[signal.SIGUSR2] == [signal.SIGUSR2]


def test_a_second_ctrl_c_does_not_wait() -> None:
    with pytest.raises(KeyboardInterrupt), Interrupts() as interrupts:  # noqa: PT012
        interrupts.defer()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it waited")


def test_user_signals_without_a_handler_are_left_alone() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with Interrupts() as interrupts:
        interrupts.defer()
        signal.raise_signal(signal.SIGUSR1)
        assert not interrupts.pending
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN


def test_ignored_ctrl_c_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Interrupts() as interrupts:
        interrupts.defer()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.pending  # a checkpoint is written all the same
        interrupts.deliver()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_outside_of_the_main_thread_nothing_is_taken() -> None:
    own = signal.getsignal(signal.SIGTERM)
    found = []

    def work() -> None:
        with Interrupts() as interrupts:
            interrupts.defer()
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [own]


def test_a_signal_that_nobody_handles_ends_the_process_after_it_was_tidied_up() -> None:
    program = (
        "import signal\n"
        "from hydra_peft.training.interrupts import Interrupts\n"
        "with Interrupts() as interrupts:\n"
        "    interrupts.defer()\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    try:\n"
        "        interrupts.deliver()\n"
        "    except SystemExit:\n"
        "        print('tidied up', flush=True)\n"
        "        raise\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "tidied up\n"
    assert done.returncode == -signal.SIGTERM
