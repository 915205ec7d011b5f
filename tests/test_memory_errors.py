"""Too little memory is told with what was asked for."""

from __future__ import annotations

import resource

import numpy as np
import pytest

from hydra_peft.memory_errors import memory_sentence


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
    ],
)
def test_what_is_of_memory(error: Exception, said: str | None) -> None:
    found = memory_sentence(error)
    assert found == said if said is None else found.startswith(said)  # type: ignore[union-attr]


def test_a_limit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * 2**30, -1))
    said = "there is not enough memory: take less at once, or raise the limit of 3 GiB (ulimit -v)."
    assert memory_sentence(MemoryError()) == said


def test_what_numpy_says() -> None:
    with pytest.raises(MemoryError) as caught:
        np.empty(10**15)
    assert "enough memory for another 7.11 PiB:" in str(memory_sentence(caught.value))
