"""Whether somebody alive is doing a run, by its claim."""

from __future__ import annotations

from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.runs.claims import Watch, holder


class Liveness:
    """Says which machine is doing a run.

    At the first look a holder on another machine counts as alive; looked at again and again, one
    that no longer beats is found dead. On this machine the death of a process shows at once.
    """

    def __init__(self) -> None:
        self._watches: dict[Path, Watch] = {}

    def host(self, runs: Path, folder: Path) -> str | None:
        """Return the name of the machine, None where nobody alive holds the run.

        Args:
            runs: the folder that the claim is kept in.
            folder: the run's, below it.

        Raises:
            UserError: the claim cannot be read.
        """
        try:
            held = holder(runs, folder)
            if held is None:
                self._watches.pop(folder, None)
                return None
            watch = self._watches.get(folder)
            if watch is None:
                watch = self._watches[folder] = Watch(runs, folder)
            if watch.is_dead():
                return None
        except OSError as error:
            raise UserError(
                f"cannot read the claim of {folder} ({error.strerror or error}): whether somebody "
                "is doing it is not known."
            ) from None
        return "?" if held.process is None else held.process.host
