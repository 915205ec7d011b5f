"""``init_from``: the run that a run starts from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InitFrom:
    """``init_from``: the run whose trained adapter is started from, and what is known of it.

    One types its folder; the rest is read from there before the run has its identity, so that
    nobody who has the run needs the folder.

    Attributes:
        folder: of that run.
        config_id: of that run.
        adapter: sha256 of the file with its adapter.
        task: benchmark and name of its task.
        settings: hash of its settings, which runs with other seeds and tasks share.
    """

    folder: str
    config_id: str
    adapter: str
    task: str
    settings: str

    def in_settings(self) -> dict[str, str]:
        """Return what a run's settings say of it: of one row each seed may start from that seed's
        run."""
        return {"init_from.task": self.task, "init_from.settings": self.settings}
