"""The store that the processes of one run share: values, who has ended with which words, and the
exit code that all agree on."""

from __future__ import annotations

import json
import time

from torch.distributed import Store  # type: ignore[attr-defined]

INTERRUPTED = 130
_POLL_SECONDS = 0.02


class PeerLost(RuntimeError):  # noqa: N818
    """Another process of the same run has ended, so that this one cannot go on."""


class Peers:
    """The ends of all processes of a run, as each writes its own into the store.

    Args:
        store: of torchrun; ends with it, and then raises RuntimeError.
        rank, size: the number of this process, and of how many.
    """

    def __init__(self, store: Store, rank: int, size: int) -> None:
        self.store = store
        self.rank = rank
        self.size = size

    def wait_for(self, key: str) -> str:
        """Return the value that another process sets; waits for it without limit.

        Raises:
            RuntimeError: a process ended before.
        """
        while not self.store.check([key]):
            # In this order: who has ended may have set it just before.
            if self.store.check(["ended"]) and not self.store.check([key]):
                raise RuntimeError("a process ended before it set what was waited for")
            time.sleep(_POLL_SECONDS)
        return self._value(key)

    def say_end(self, code: int, said: str) -> None:
        """Let the others know that this process ends with exit code ``code`` and these words."""
        try:
            self.store.set(f"end/{self.rank}", json.dumps({"code": code, "said": said}))
            self.store.set("ended", str(self.rank))
        except RuntimeError:
            return  # torchrun is gone; nobody is left to read it

    def agree(self, code: int, seconds: float) -> tuple[int, dict[int, str]]:
        """Return one exit code for all, and in the main process the words of those that failed.

        Args:
            code: this process's own.
            seconds: how long the others are waited for; one that does not end by then failed.
        """
        limit = time.monotonic() + seconds
        try:
            if self.rank != 0:
                return int(self._wait_until("code", limit) or code), {}
            agreed, words = code, {}
            for rank in range(1, self.size):
                text = self._wait_until(f"end/{rank}", limit)
                end = json.loads(text or '{"code": 1, "said": "it did not end."}')
                if end["code"] != 0:
                    agreed = agreed or int(end["code"])
                    words[rank] = str(end["said"])
            self.store.set("code", str(agreed))
        except RuntimeError:
            return code, {}
        return agreed, words

    def lost(self, seconds: float) -> str | None:
        """Return which process ended, and why, after a collective failed; None: by Ctrl-C.

        Args:
            seconds: how long its words are waited for.
        """
        try:
            rank = self._wait_until("ended", time.monotonic() + seconds)
            if rank is not None and int(rank) != self.rank:
                end = json.loads(self.store.get(f"end/{rank}"))
                if end["code"] == INTERRUPTED:
                    return None
                words = end["said"].strip().splitlines() or ["without a word"]
                return f"process {rank} of {self.size} ended: {words[-1]}"
        except RuntimeError:
            pass  # torchrun has ended too
        return f"one of {self.size} processes ended without a word: killed?"

    def _wait_until(self, key: str, limit: float) -> str | None:
        while not self.store.check([key]):
            if time.monotonic() > limit:
                return None
            time.sleep(_POLL_SECONDS)
        return self._value(key)

    def _value(self, key: str) -> str:
        return bytes(self.store.get(key)).decode()
