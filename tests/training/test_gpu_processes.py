"""One process alone as torchrun starts it: NCCL on a GPU, gloo on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
from devices import DEVICES
from torch import nn

from hydra_peft.training.torchrun import Torchrun


@pytest.fixture
def world() -> Iterator[Torchrun]:
    """One process that has joined; its groups are left at the end."""
    joined = Torchrun(0, 1, 0, dist.HashStore())
    yield joined
    del joined._hosts
    dist.destroy_process_group()


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_loss_and_hits_go_through_the_collective(
    device: str, world: Torchrun, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = world.local_device(torch.device(device))
    sent: list[torch.Tensor] = []
    original: Callable[..., object] = dist.all_reduce
    monkeypatch.setattr(
        dist,
        "all_reduce",
        lambda tensor, **rest: (sent.append(tensor), original(tensor, **rest))[1],
    )
    model = nn.Linear(4, 3).to(where)
    share = world.share(torch.arange(5, device=where))
    assert (share.count, share.weight) == (5, 1.0)
    loss = model(torch.randn(5, 4, device=where)).square().mean()
    loss.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]
    total, right = world.all_reduce(
        list(model.parameters()), loss.detach(), torch.tensor(2).to(where)
    )
    assert [tensor.device.type for tensor in sent] == [device]
    assert float(total) == loss.item()
    assert int(right) == 2
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.equal(parameter.grad, gradient)
    backend = dist.get_backend_config() if hasattr(dist, "get_backend_config") else ""
    assert device == "cpu" or "nccl" in backend


@pytest.mark.parametrize("device", DEVICES)
def test_what_hosts_agree_on_needs_no_gpu(device: str, world: Torchrun) -> None:
    world.local_device(torch.device(device))
    assert world.total(3) == 3
    assert world.any(True)
    assert world.broadcast_bytes(b"bytes") == b"bytes"
    assert world.all_gather(b"mine") == [b"mine"]
    assert world.broadcast({"who": 0}) == {"who": 0}
