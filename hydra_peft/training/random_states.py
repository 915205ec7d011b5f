"""The states of the global random generators, as tensors and back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hydra_peft.errors import UserError

#: words of a Mersenne Twister, and the position in them
_WORDS = 624


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of the generators of torch (CPU, and ``device``'s), Python and numpy.

    Returns:
        ``torch`` and ``cuda`` in torch's own form (uint8); ``python`` and ``numpy`` as int64
        ``[626]``: the words, the position, whether a Gaussian number is kept; that number as
        ``python_gauss`` and ``numpy_gauss``, float64.
    """
    _, words, gauss = random.getstate()
    state: Any = np.random.get_state(legacy=False)
    numpy_words = [*state["state"]["key"].tolist(), state["state"]["pos"], state["has_gauss"]]
    return {
        **torch_states(device),
        "python": torch.tensor([*words, int(gauss is not None)]),
        "python_gauss": torch.tensor(gauss or 0.0, dtype=torch.float64),
        "numpy": torch.tensor(numpy_words),
        "numpy_gauss": torch.tensor(state["gauss"], dtype=torch.float64),
    }


def torch_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's generators alone: microseconds, and no wait for a GPU."""
    states = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put all generators into the states that :func:`random_states` returned.

    States of a GPU are ignored on a CPU, and a GPU without one keeps its own.

    Raises:
        UserError: one that no generator has; then none is changed.
    """
    python, numpy = (_words(states[name], name) for name in ("python", "numpy"))
    check_generator_state(states["torch"])
    kept = states["python_gauss"].item() if python[-1] else None
    random.setstate((3, tuple(python[:-1]), kept))
    np.random.set_state(
        {
            "bit_generator": "MT19937",
            "state": {"key": np.array(numpy[:_WORDS], dtype=np.uint32), "pos": numpy[_WORDS]},
            "has_gauss": numpy[-1],
            "gauss": states["numpy_gauss"].item(),
        }
    )
    set_torch_states(states, device)


def set_torch_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put torch's generators alone into the states that :func:`torch_states` returned."""
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)


def check_generator_state(state: Tensor) -> None:
    """Check that ``state`` is one of torch's CPU generator."""
    try:
        torch.Generator().set_state(state)
    except (RuntimeError, TypeError):
        raise UserError("it holds a random state that torch does not take.") from None


def check_random_states(states: Mapping[str, Tensor]) -> None:
    """Check what :func:`set_random_states` would, without setting anything.

    Raises:
        UserError: a state that no generator has.
    """
    check_generator_state(states["torch"])
    for name in ("python", "numpy"):
        _words(states[name], name)


def _words(state: Tensor, name: str) -> list[int]:
    words: list[int] = state.tolist()
    good = len(words) == _WORDS + 2 and all(0 <= word < 2**32 for word in words)
    if not (good and words[_WORDS] <= _WORDS and words[-1] in (0, 1)):
        raise UserError(f"it holds a random state of {name} that cannot be.")
    return words
