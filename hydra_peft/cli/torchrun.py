"""An entry point in several processes: the main one prints, all end with one exit code."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence

from hydra_peft.cli.guard import MISTAKE, complain, guarded
from hydra_peft.errors import UserError

#: what torchrun tells each process that it starts
_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
#: for the main process to load what it needs and to speak
PATIENCE_SECONDS = 20.0
#: words of a command that ask for several runs
_SEVERAL = ("-m", "--multirun", "hydra.mode=MULTIRUN")


def is_one_of_many() -> bool:
    """Whether torchrun, or another starter that sets its variables, began several processes."""
    return all(os.environ.get(name) for name in _VARIABLES) and os.environ["WORLD_SIZE"] != "1"


def together(main: Callable[[], int]) -> int:
    """Return the exit code of ``main``, guarded; with torchrun the same in all its processes.

    There ``main`` is called in each of them. Only the main process prints: what the others have to
    say too, where it ends because of them.
    """
    return guarded(lambda: _one_of_many(main)) if is_one_of_many() else guarded(main)


def check_words(words: Sequence[str]) -> None:
    """Check that a command that torchrun started is for one run."""
    rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise UserError(
            f"RANK={rank} of WORLD_SIZE={size} is no process of torchrun's: start the run with "
            "torchrun, or unset RANK and WORLD_SIZE."
        )
    for word in words:
        if word in _SEVERAL or word.startswith("hydra/launcher="):
            raise UserError(
                f"torchrun trains one run in several processes, but '{word}' is about several "
                "runs: leave it out, or start the sweep without torchrun (hydra/launcher=local "
                "uses every GPU)."
            )


def _one_of_many(main: Callable[[], int]) -> int:
    try:
        check_words(sys.argv[1:])
    except UserError:
        # Before they look for each other: one that ends would leave the others looking.
        if os.environ["RANK"] == "0" or not os.environ["RANK"].isdecimal():
            raise
        # torchrun ends all as soon as one has ended: that is to be the one that says why.
        with contextlib.suppress(KeyboardInterrupt):
            time.sleep(PATIENCE_SECONDS)
        return MISTAKE
    from hydra_peft.training.torchrun import join

    with _interruptible():
        world = join()
    said = io.StringIO()
    with contextlib.ExitStack() as silence:
        if not world.is_main:
            silence.enter_context(contextlib.redirect_stdout(io.StringIO()))
            silence.enter_context(contextlib.redirect_stderr(said))
        code = _end_of(main)
        if world.lost is not None:
            complain(world.lost)
    # From now on it takes seconds, and torchrun sends this as soon as one of the others has ended.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    agreed, words = world.end(code, said.getvalue())
    if world.lost is not None or code == 0:  # otherwise it is the same mistake in all of them
        for rank, text in words.items():
            print(f"process {rank} of {world.size}: {text.strip()}", file=sys.stderr)
    return agreed


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the search for the other processes, and say what is searched if it takes long.

    Torch waits where Python's own handlers of signals are not called.
    """
    environ = os.environ
    sentence = (
        f"waiting for the {environ['WORLD_SIZE']} processes of this run at "
        f"{environ['MASTER_ADDR']}:{environ['MASTER_PORT']}; if there is to be one only, interrupt "
        "it and unset RANK and WORLD_SIZE"
    )
    speech = threading.Timer(PATIENCE_SECONDS, lambda: print(sentence, file=sys.stderr, flush=True))
    speech.daemon = True
    speech.start()
    ways = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(way, signal.SIG_DFL) for way in ways]
    try:
        yield
    finally:
        speech.cancel()
        for way, handler in zip(ways, before, strict=True):
            signal.signal(way, handler)


def _end_of(main: Callable[[], int]) -> int:
    """Return the exit code of ``main``, whatever it raises."""
    from hydra_peft.training.peers import PeerLost

    try:
        return guarded(main)
    except PeerLost:
        return 1  # for which there are words
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
