"""The processes of one run as torchrun, or another starter with its variables, begins them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import (  # type: ignore[attr-defined]
    PrefixStore,
    ProcessGroup,
    Store,
    rendezvous,
)

from hydra_peft.errors import UserError
from hydra_peft.training import distributed
from hydra_peft.training.distributed import Share, World
from hydra_peft.training.peers import PeerLost, Peers

T = TypeVar("T")
#: a process that neither answers nor ends for so long hangs
PATIENCE = timedelta(minutes=30)
#: how long one that ends waits for the others to end too
LAST_SECONDS = 15.0
#: the same, where one has ended that may never say so; and how long its words are waited for
LOST_SECONDS = 2.0
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


class Torchrun(World):
    """One of several processes that torchrun, or another starter with its variables, began.

    Args:
        rank, size: see :class:`World`.
        local_rank: the number of this process on its machine, and of its GPU.
        store: through which the processes find each other.
    """

    def __init__(self, rank: int, size: int, local_rank: int, store: Store) -> None:
        self.rank = rank
        self.size = size
        self.local_rank = local_rank
        self._peers = Peers(PrefixStore("hydra_peft", store), rank, size)
        self._broadcasts = 0
        self._cuda = torch.cuda.is_available() and dist.is_nccl_available()
        groups = PrefixStore("groups", store)
        dist.init_process_group(
            # By the tensors' device: nccl begins when the first tensor on a GPU comes.
            "cpu:gloo,cuda:nccl" if self._cuda else "gloo",
            store=groups,
            rank=rank,
            world_size=size,
            timeout=PATIENCE,
        )
        # What hosts agree on never waits for a GPU, and can be given up when one of them ends.
        hosts = dist.new_group(backend="gloo", timeout=PATIENCE)
        assert isinstance(hosts, ProcessGroup), "all processes are members"
        self._hosts = hosts

    def local_device(self, device: torch.device) -> torch.device:
        """Return the device of this process: each has a GPU of its own.

        Raises:
            UserError: there are fewer GPUs than processes on this machine.
        """
        if device.type != "cuda":
            return device
        if self.local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {self.rank} is number {self.local_rank + 1} on its machine, where torch "
                f"finds {torch.cuda.device_count()} GPUs: set torchrun's --nproc-per-node to that, "
                "or device=cpu."
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def share(self, rows: Tensor) -> Share:
        """Return this process's part of the batch ``rows``: a contiguous one."""
        own = rows.tensor_split(self.size)[self.rank]
        if len(own) == 0:  # it still has to take part in the sum, with zeros
            return Share(rows[:1], 0, 0.0)
        return Share(own, len(own), len(own) / len(rows))

    # Not torch's DistributedDataParallel: adapters have a megabyte of gradients, so sending them
    # during backward gains nothing; DDP wants a gradient for every parameter, compiles what is
    # inside of it in its own way (DDPOptimizer splits the blocks), and loss and hits would need a
    # second collective. method=full pays: its gradients leave after backward.
    def all_reduce(
        self, parameters: Sequence[Tensor], loss: Tensor, right: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sum gradients, in place, loss and right answers of the shares, in one collective.

        Afterwards all processes hold the same bits. A parameter that no gradient reached has none
        in any process, since all compute the same graph.
        """
        gradients = [p.grad for p in parameters if p.grad is not None]
        scalars = (loss.float().reshape(1), right.float().reshape(1))  # exact up to 2**24 images
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), *scalars])
        self._call(lambda: dist.all_reduce(flat))
        parts = flat.split([*(gradient.numel() for gradient in gradients), 1, 1])
        for gradient, part in zip(gradients, parts, strict=False):
            gradient.copy_(part.view_as(gradient))
        return parts[-2][0], parts[-1][0].to(right.dtype)

    def total(self, count: int) -> int:
        """Return the sum of the processes' counts."""
        tensor = torch.tensor(count)
        self._call(lambda: dist.all_reduce(tensor, group=self._hosts))
        return int(tensor)

    def gather_batches(self, batches: Sequence[Tensor], size: int, count: int) -> Tensor:
        """Return the rows of all processes' ``batches`` in the order of the whole, on the CPU."""
        width = self._widest(batches[0].shape[1] if batches else 0)
        rounds = -(-count // (size * self.size))
        own = torch.zeros(rounds, size, width)
        for place, batch in zip(own, batches, strict=False):
            place[: len(batch)] = batch.cpu()
        parts = [torch.empty_like(own) for _ in range(self.size)]
        self._call(lambda: dist.all_gather(parts, own, group=self._hosts))
        return torch.stack(parts, dim=1).reshape(-1, width)[:count]

    def _widest(self, width: int) -> int:
        """Return the largest ``width``: a process without a batch does not know it."""
        tensor = torch.tensor(width)
        self._call(lambda: dist.all_reduce(tensor, dist.ReduceOp.MAX, group=self._hosts))
        return int(tensor)

    def broadcast(self, value: T) -> T:
        """Return the main process's ``value``; waits for it without limit."""
        self._broadcasts += 1
        key = f"broadcast/{self._broadcasts}"
        if self.is_main:
            self._call(lambda: self._peers.store.set(key, json.dumps(value)))
            return value
        found: T = json.loads(self._call(lambda: self._peers.wait_for(key)))
        return found

    def broadcast_bytes(self, data: bytes) -> bytes:
        """Return the main process's ``data``."""
        size = self.total(len(data) if self.is_main else 0)
        tensor = _as_tensor(data) if self.is_main else torch.empty(size, dtype=torch.uint8)
        self._call(lambda: dist.broadcast(tensor, src=0, group=self._hosts))
        return tensor.numpy().tobytes()

    def all_gather(self, data: bytes) -> list[bytes]:
        """Return the processes' ``data``, by rank; all of one length."""
        parts = [torch.empty(len(data), dtype=torch.uint8) for _ in range(self.size)]
        self._call(lambda: dist.all_gather(parts, _as_tensor(data), group=self._hosts))
        return [part.numpy().tobytes() for part in parts]

    def end(self, code: int, said: str) -> tuple[int, dict[int, str]]:
        """Leave: wait for the others to end too, and agree on the exit code.

        Args:
            code: this process's own.
            said: what it would have printed as an error.

        Returns:
            The exit code of all: the main process's, or if that is 0 another's; and in the main
            process what those others said that did not end with 0.
        """
        self._peers.say_end(code, said)
        if code != 0:
            self._leave_groups()  # connections close, which whoever waits for this process notices
        agreed, words = self._peers.agree(code, LAST_SECONDS if self.lost is None else LOST_SECONDS)
        if code == 0:
            self._leave_groups()
        return agreed, words

    def _leave_groups(self) -> None:
        # Connections close with the last reference. Of nccl's the process's end takes care: giving
        # them up may wait for a GPU that waits.
        dist.destroy_process_group(self.__dict__.pop("_hosts"))
        if not self._cuda:
            dist.destroy_process_group()

    def _call(self, what: Callable[[], T]) -> T:
        try:
            return what()
        except RuntimeError as error:
            lost = self._peers.lost(LOST_SECONDS)
            if lost is None:
                raise KeyboardInterrupt from error
            self.lost = lost
            raise PeerLost(lost) from error


def join() -> Torchrun:
    """Find the other processes; from now on ``distributed.current()`` returns them.

    Raises:
        UserError: they are not found, or the variables say nothing that can be.
    """
    try:
        rank, size, local_rank = (int(os.environ[name]) for name in _NUMBERS)
        store, _, _ = next(rendezvous("env://", timeout=PATIENCE))
        world = Torchrun(rank, size, local_rank, store)
    except (ValueError, RuntimeError) as error:
        words = str(error).splitlines() or [type(error).__name__]
        raise UserError(
            "the processes of this run do not find each other: start them with torchrun, or unset "
            f"RANK and WORLD_SIZE ({words[0]})."
        ) from None
    distributed.join(world)
    return world


def _as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
