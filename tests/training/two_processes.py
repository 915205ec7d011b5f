"""Program of two processes that test_distributed.py starts: they meet as under torchrun.

Torchrun itself, which test_torchrun.py starts, would import torch three times: once is enough here,
the second process is a fork of the first.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra_memo
import torch
from hydra import compose, initialize_config_dir
from torch import nn
from torch.nn import functional as F

from hydra_peft.cli.train import CONF, register
from hydra_peft.config.check import check_config
from hydra_peft.data.split import Batch, Split
from hydra_peft.errors import UserError
from hydra_peft.runs import training
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.run import run
from hydra_peft.tasks import build_task
from hydra_peft.training import evaluation
from hydra_peft.training.progress import EpochRecord, Step
from hydra_peft.training.torchrun import Torchrun, join

CPU = torch.device("cpu")
root, out = Path(sys.argv[1]), Path(sys.argv[2])


def become_two() -> None:
    """Fork, and leave each process the variables that torchrun sets.

    Process 0 ends as process 1 did, where that one fails.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    child = os.fork()
    os.environ |= meeting | {name: str(int(child == 0)) for name in ("RANK", "LOCAL_RANK")}
    if child:
        atexit.register(lambda: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) and os._exit(1))


become_two()
world = join()
said: dict[str, Any] = {}
written: list[str] = []


def note_writing(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what this process opens for writing, makes, renames or removes below its folder."""
    path = str(arguments[0]) if arguments else ""
    writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link")
    writes |= (
        event == "open"
        and isinstance(arguments[2], int)
        and bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    )
    if writes and path.startswith(str(out)):
        written.append(f"{event} {path}")


def talking(world: Torchrun) -> None:
    said["told"] = world.broadcast({"who": world.rank})
    said["any"] = [world.any(world.rank == 1), world.any(False)]
    said["total"] = world.total(10 + world.rank)
    said["gathered"] = [part.decode() for part in world.all_gather(f"by {world.rank}".encode())]
    said["broadcast"] = world.broadcast_bytes(b"first" if world.is_main else b"other").decode()
    order = out / "order"
    if not world.is_main:
        said["first was done"] = world.main_first(order.exists)
    else:
        world.main_first(order.touch)
    world.check_same("taste", "same")
    try:
        world.check_same("taste", str(world.rank))
    except UserError as error:
        said["differ"] = str(error)


def gradients(world: Torchrun) -> None:
    """Shares of batches of 5, 2 and 1 against the whole batch."""
    said["gradient"], said["sums"] = [], []
    for size in (5, 2, 1):
        torch.manual_seed(size)
        model, images, labels = nn.Linear(4, 3), torch.randn(size, 4), torch.arange(size) % 3
        unused = nn.Parameter(torch.ones(2))
        whole = F.cross_entropy(model(images), labels)
        expected = torch.autograd.grad(whole, list(model.parameters()))
        share = world.share(torch.arange(size))
        logits = model(images[share.rows])
        loss = share.weigh(F.cross_entropy(logits, labels[share.rows]), len(share.rows))
        loss.backward()
        right = (logits.argmax(1) == labels[share.rows])[: share.count].sum()
        loss, right = world.all_reduce([*model.parameters(), unused], loss.detach(), right)
        assert unused.grad is None
        found = [p.grad for p in model.parameters()]
        said["gradient"].append(
            max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
        )
        all_right = int((model(images).argmax(1) == labels).sum())
        said["sums"].append([abs(float(loss - whole)), int(right) - all_right])


def scoring(world: Torchrun) -> None:
    """Five batches for two processes."""
    evaluation.EVALUATION_BATCH = 8
    images = torch.randint(0, 256, (37, 3, 2, 2), dtype=torch.uint8)
    split = Split({"image": images}, torch.randint(0, 3, (37,)))
    model, rounds, seen = nn.Linear(12, 3), [], []

    def prepare(batch: Batch) -> torch.Tensor:
        seen.append(len(batch))
        return batch.inputs["image"].flatten(1) / 255

    score = evaluation.evaluate(
        model,
        build_task("classification", outputs=3, metrics=["accuracy"]),
        split,
        prepare=prepare,
        device=CPU,
        precision="fp32",
        after_batch=lambda: rounds.append(1),
        world=world,
    )
    said["batches"], said["rounds"] = seen, len(rounds)
    whole = int((model(images.flatten(1) / 255).argmax(1) == split.targets).sum())
    said["score"] = [round(score.values["accuracy"] * score.count / 100) - whole, score.count]


def do(name: str, *overrides: str) -> Outcome:
    paths = [f"paths.runs={out}/{name}", f"paths.cache={root}/cache", f"paths.data={root}"]
    settings = ["dataset=svhn", "data.allow_partial=true", "train.batch_size=21", "device=cpu"]
    settings += ["model.pretrained=false", "+model.arguments.depth=2"]
    settings += ["train.epochs=2", "scheduler.warmup_epochs=0", "train.checkpoint_every=null"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", [*settings, *paths, *overrides])
    return run(check_config(config))


def stopped(name: str, step: int, *overrides: str) -> None:
    """Do a run in which the second process alone gets a signal, in ``step``."""
    original = training.train

    def signalled(*arguments: Any, **rest: Any) -> Iterator[Step | EpochRecord]:
        for event in original(*arguments, **rest):
            if isinstance(event, Step) and event.number == step and not world.is_main:
                signal.raise_signal(signal.SIGTERM)
            yield event

    training.train = signalled
    try:
        do(name, *overrides)
    except KeyboardInterrupt as error:
        said[f"stopped {name}"] = str(error)
    training.train = original


def runs(_: Torchrun) -> None:
    """With dropout: undisturbed; stopped and resumed; stopped, and left to the tests."""
    logging.getLogger("hydra_peft").setLevel(logging.INFO)
    noise = ["method=hydra", "method.dropout=0.3", "model.drop_path=0.2"]
    said["whole"] = do("whole", *noise).record.status
    stopped("again", 5, *noise)
    outcome = do("again", *noise)
    said["again"] = [outcome.record.status, [e["at_step"] for e in outcome.record.resumed]]
    said["third time"] = do("again", *noise).skipped
    stopped("left", 3, *noise)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


register()
hydra_memo.remember()
signal.signal(signal.SIGTERM, interrupt)
parts: list[Callable[[Torchrun], None]] = [talking, gradients, scoring, runs]
if not world.is_main:
    sys.addaudithook(note_writing)
    (out / "proof").write_text("that writing is noticed")
for part in parts:
    part(world)
said["random"] = torch.rand(1).item()
said["written"] = [line.replace(str(out), "") for line in written]
(out / f"{world.rank}.json").write_text(json.dumps(said))
sys.exit(world.end(0, "")[0])
