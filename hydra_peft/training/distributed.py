"""Several processes that train one run together, each on a share of every batch, as torchrun starts
them; or one alone, for which all of this does nothing."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

T = TypeVar("T")
#: a process that neither answers nor ends for so long hangs
PATIENCE = timedelta(minutes=30)
#: how long one that ends waits for the others to end too
LAST_SECONDS = 15.0
#: the same, where one has ended that may never say so; and how long its words are waited for
LOST_SECONDS = 2.0
INTERRUPTED = 130
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK")


class PeerLost(RuntimeError):  # noqa: N818
    """Another process of the same run has ended, so that this one cannot go on."""


@dataclass(frozen=True)
class Share:
    """One process's part of a batch.

    Attributes:
        rows: positions of its images, at least one.
        count: how many of them it stands for: all, or none if the batch is too small for it.
        weight: ``count`` over the batch's size: the sum of all processes' weighted mean losses is
            the batch's mean loss, also where shares differ in size.
    """

    rows: Tensor
    count: int
    weight: float

    def weigh(self, loss: Tensor) -> Tensor:
        """Return this share's part of the batch's mean loss, from the mean ``loss`` of its rows."""
        return loss if self.weight == 1.0 else loss * self.weight


class World:
    """The processes of one run, seen from one of them. This one is alone.

    All of them call the methods in the same order; those that have to wait for another raise
    :class:`PeerLost`, or KeyboardInterrupt, when one of the others has ended.

    Attributes:
        rank, size: the number of this process, and of how many.
        lost: which of the others ended before its time, in words, once that has been noticed.
    """

    rank = 0
    size = 1
    lost: str | None = None

    @property
    def leads(self) -> bool:
        """Whether this is the first process, the only one that writes and prints."""
        return self.rank == 0

    def on(self, device: torch.device) -> torch.device:
        """Return the device of this process, of the kind of ``device``."""
        return device

    def share(self, rows: Tensor) -> Share:
        """Return this process's part of the batch ``rows``."""
        return Share(rows, len(rows), 1.0)

    def add_up(
        self,
        parameters: Sequence[Tensor],  # noqa: ARG002
        loss: Tensor,
        right: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Add up the gradients of ``parameters``, in place, and return the summed two scalars."""
        return loss, right

    def total(self, count: int) -> int:
        """Return the sum of the processes' counts."""
        return count

    def interleave(
        self,
        batches: Sequence[Tensor],
        size: int,  # noqa: ARG002
        count: int,  # noqa: ARG002
    ) -> Tensor:
        """Return the rows of all processes' ``batches`` in the order of the whole, on the CPU.

        Args:
            batches: this process's, float32: number ``rank`` of the whole and each ``size``-th on.
            size: rows of every batch but the last.
            count: rows of the whole.
        """
        return torch.cat(list(batches)).cpu()

    def any(self, flag: bool) -> bool:
        """Return whether one of the processes says so."""
        return self.total(int(flag)) > 0

    def tell(self, value: T) -> T:
        """Return the first process's ``value``, which json can hold."""
        return value

    def in_turn(self, action: Callable[[], T]) -> T:
        """Do ``action`` in the first process, and when it is done in the others: caches are there.

        Returns:
            What this process's own returned.
        """
        if self.leads:
            done = action()
            self.tell(None)
            return done
        self.tell(None)
        return action()

    def broadcast(self, data: bytes) -> bytes:
        """Return the first process's ``data``."""
        return data

    def gather(self, data: bytes) -> list[bytes]:
        """Return the processes' ``data``, by rank; all of one length."""
        return [data]

    def check_same(self, what: str, text: str) -> None:
        """Check that all processes have the same ``text``.

        Raises:
            UserError: they do not; it says that they differ in ``what``.
        """
        if len({*self.gather(hashlib.sha256(text.encode()).digest())}) > 1:
            raise UserError(
                f"the processes of this run have not the same {what}: give each machine the same "
                "command, code, weights and data."
            )


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
        self._store = PrefixStore("hydra_peft", store)
        self._told = 0
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

    def on(self, device: torch.device) -> torch.device:
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
        if len(own) == 0:  # it still has to take part in adding up, with zeros
            return Share(rows[:1], 0, 0.0)
        return Share(own, len(own), len(own) / len(rows))

    # Not torch's DistributedDataParallel: adapters have a megabyte of gradients, so sending them
    # during backward gains nothing; DDP wants a gradient for every parameter, compiles what is
    # inside of it in its own way (DDPOptimizer splits the blocks), and loss and hits would need a
    # second collective. method=full pays: its gradients leave after backward.
    def add_up(
        self, parameters: Sequence[Tensor], loss: Tensor, right: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Add up gradients, in place, loss and right answers of the shares, in one collective.

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

    def interleave(self, batches: Sequence[Tensor], size: int, count: int) -> Tensor:
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

    def tell(self, value: T) -> T:
        """Return the first process's ``value``; waits for it without limit."""
        self._told += 1
        key = f"told/{self._told}"
        if self.leads:
            self._call(lambda: self._store.set(key, json.dumps(value)))
            return value
        said: T = json.loads(self._wait(key))
        return said

    def broadcast(self, data: bytes) -> bytes:
        """Return the first process's ``data``."""
        size = self.total(len(data) if self.leads else 0)
        tensor = _as_tensor(data) if self.leads else torch.empty(size, dtype=torch.uint8)
        self._call(lambda: dist.broadcast(tensor, src=0, group=self._hosts))
        return tensor.numpy().tobytes()

    def gather(self, data: bytes) -> list[bytes]:
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
            The exit code of all: the first process's, or if that is 0 another's; and in the first
            process what those others said that did not end with 0.
        """
        self._say_end(code, said)
        if code != 0:
            self._leave_groups()  # connections close, which whoever waits for this process notices
        agreed, words = self._agree(code)
        if code == 0:
            self._leave_groups()
        return agreed, words

    def _say_end(self, code: int, said: str) -> None:
        try:
            self._store.set(f"end/{self.rank}", json.dumps({"code": code, "said": said}))
            self._store.set("ended", str(self.rank))
        except RuntimeError:
            return  # torchrun is gone; nobody is left to read it

    def _agree(self, code: int) -> tuple[int, dict[int, str]]:
        limit = time.monotonic() + (LAST_SECONDS if self.lost is None else LOST_SECONDS)
        try:
            if not self.leads:
                return int(self._await_until("code", limit) or code), {}
            agreed, words = code, {}
            for rank in range(1, self.size):
                text = self._await_until(f"end/{rank}", limit)
                end = json.loads(text or '{"code": 1, "said": "it did not end."}')
                if end["code"] != 0:
                    agreed = agreed or int(end["code"])
                    words[rank] = str(end["said"])
            self._store.set("code", str(agreed))
        except RuntimeError:
            return code, {}
        return agreed, words

    def _leave_groups(self) -> None:
        # Connections close with the last reference. Of nccl's the process's end takes care: giving
        # them up may wait for a GPU that waits.
        dist.destroy_process_group(self.__dict__.pop("_hosts"))
        if not self._cuda:
            dist.destroy_process_group()

    def _await_until(self, key: str, limit: float) -> str | None:
        while not self._store.check([key]):
            if time.monotonic() > limit:
                return None
            time.sleep(0.02)
        return bytes(self._store.get(key)).decode()

    def _wait(self, key: str) -> str:
        def wait() -> str:
            while not self._store.check([key]):
                # In this order: who has ended may have said it just before.
                if self._store.check(["ended"]) and not self._store.check([key]):
                    raise RuntimeError("it ended before it said what was waited for")
                time.sleep(0.02)
            return bytes(self._store.get(key)).decode()

        return self._call(wait)

    def _call(self, what: Callable[[], T]) -> T:
        try:
            return what()
        except RuntimeError as error:
            raise self._lost() from error

    def _lost(self) -> BaseException:
        """Return what to raise when talking to the others failed: it says who ended, and why."""
        try:
            rank = self._await_until("ended", time.monotonic() + LOST_SECONDS)
            if rank is not None and int(rank) != self.rank:
                end = json.loads(self._store.get(f"end/{rank}"))
                if end["code"] == INTERRUPTED:
                    return KeyboardInterrupt()
                words = end["said"].strip().splitlines() or ["without a word"]
                self.lost = f"process {rank} of {self.size} ended: {words[-1]}"
        except RuntimeError:
            pass  # torchrun has ended too
        self.lost = self.lost or f"one of {self.size} processes ended without a word: killed?"
        return PeerLost(self.lost)


_current = World()


def current() -> World:
    """Return the processes that this one trains with: none, unless :func:`join` was called."""
    return _current


def join() -> Torchrun:
    """Find the other processes; from now on :func:`current` returns them.

    Raises:
        UserError: they are not found, or the variables say nothing that can be.
    """
    global _current
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
    _current = world
    return world


def _as_tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)
