"""The state tensors of any torch optimizer: written by name, checked, and put back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

#: shape and type of a tensor
Kind = tuple[torch.Size, torch.dtype]
#: a parameter's shape that no counter and no scalar of an optimizer has
_PROBE = (3, 2)


def state_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return every state tensor of ``optimizer`` by names like ``3/exp_avg``; not copied.

    The number is the parameter's position over all groups. A parameter that no gradient has
    reached yet has no state.
    """
    return {
        f"{index}/{key}": value
        for index, values in optimizer.state_dict()["state"].items()
        for key, value in values.items()
        if isinstance(value, Tensor)
    }


def load_state_tensors(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the state of ``optimizer`` back to what :func:`state_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def state_layout(
    optimizer: Optimizer, names: Mapping[str, object] | None = None
) -> dict[str, Kind]:
    """Return shape and type of each state tensor that ``optimizer`` has after a step.

    Args:
        names: of a state; parameters of which it has nothing are left out. None is all of them.
    """
    reached = None if names is None else {name.split("/")[0] for name in names}
    layout: dict[str, Kind] = {}
    index = 0
    for group in optimizer.param_groups:
        probe = _probe(optimizer, group)
        for parameter in group["params"]:
            if reached is None or str(index) in reached:
                for key, tensor in probe.items():
                    like = tensor.shape == torch.Size(_PROBE)
                    kind = (parameter.shape, parameter.dtype)
                    layout[f"{index}/{key}"] = kind if like else (tensor.shape, tensor.dtype)
            index += 1
    return layout


def _probe(optimizer: Optimizer, group: Mapping[str, object]) -> dict[str, Tensor]:
    """Return the state of one small parameter after a step of an optimizer with these options."""
    parameter = torch.zeros(_PROBE, requires_grad=True)
    parameter.grad = torch.zeros(_PROBE)
    twin: Optimizer = type(optimizer)([{**group, "params": [parameter]}])  # type: ignore[call-arg]
    twin.step()
    return {key: value for key, value in twin.state[parameter].items() if isinstance(value, Tensor)}
