"""Too little memory is told with what was asked for."""

from __future__ import annotations

import errno
import resource
import weakref

import numpy as np
import pytest

from hydra_peft import memory_errors
from hydra_peft.memory_errors import let_go, memory_sentence, of_limit, reserve


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory: take less at once, or free some."),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total of"),
            "there is not enough memory on the GPU for another 20.00 GiB: take less",
        ),
        (
            RuntimeError("[enforce fail at x.cpp:1] . you tried to allocate 2048 bytes. memory"),
            None,
        ),
        (
            RuntimeError("[enforce fail at x:1] can't allocate memory: you tried to allocate 9"),
            "there is not enough memory: take less",
        ),
        (RuntimeError("can't start new thread"), "no further thread can be started here: raise"),
        (ValueError("out of memory"), None),
        (
            ImportError("libtorch_cuda.so: failed to map segment from shared object"),
            "there is not enough memory to go on (libtorch_cuda.so: failed to map segment from ",
        ),
        (ImportError("cannot import name 'x'"), None),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "there is not enough memory to go on ("),
        (OSError(errno.ENOSPC, "No space left on device"), None),
        (SystemError("error return without exception set"), None),  # a bug, without a limit
    ],
)
def test_what_is_of_memory(error: Exception, said: str | None) -> None:
    found = memory_sentence(error)
    assert found == said if said is None else found.startswith(said)  # type: ignore[union-attr]


def test_a_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * 2**30, -1))
    said = "there is not enough memory: take less at once, or raise the limit of 3 GiB (ulimit -v)."
    assert memory_sentence(MemoryError()) == said
    assert of_limit(MemoryError())
    assert not of_limit(ValueError())
    assert not of_limit(RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB."))
    unsaid = SystemError("error return without exception set")
    assert str(memory_sentence(unsaid)).endswith("raise the limit of 3 GiB (ulimit -v).")


def test_without_a_limit_the_same_would_come_again() -> None:
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    assert not of_limit(MemoryError())


def test_what_was_reserved_and_what_was_computed_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * 2**30, -1))

    class Large:
        pass

    def compute() -> None:
        large = Large()
        seen.append(weakref.ref(large))
        raise MemoryError

    seen: list[weakref.ref[Large]] = []
    reserve()
    reserved = memory_errors._RESERVED
    assert [len(one) for one in reserved] == [memory_errors._RESERVE]
    try:
        compute()
    except MemoryError as error:
        assert seen[0]() is not None
        let_go(error)
        assert seen[0]() is None
    assert not reserved


def test_what_numpy_says() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(10**15)
    assert "enough memory for another 7.11 PiB:" in str(memory_sentence(caught.value))
