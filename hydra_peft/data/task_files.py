"""Files of a prepared task: ordinary ones, within the task's folder, of bounded size."""

from __future__ import annotations

import os
import stat
from functools import cached_property
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.files import no_ordinary_file
from hydra_peft.quoting import of_file

#: no image of a published data set has a tenth of it
MAX_IMAGE_BYTES = 256 * 2**20


class TaskFiles:
    """A task's folder, which may be a link itself; nothing in it may lead out of it.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inside: dict[str, bool] = {}

    def status(self, file: Path, most: int = MAX_IMAGE_BYTES) -> os.stat_result:
        """Return size and times of ``file``, which is not opened: a pipe would never end.

        Raises:
            UserError: it is not there, no ordinary file, larger than ``most`` bytes, or a link on
                the way to it leads out of the folder.
        """
        shown = of_file(file, f"a file of {self.path}")  # its name may stand in a list
        try:
            status = os.lstat(file)
            link = stat.S_ISLNK(status.st_mode)
            if link:
                status = os.stat(file)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "no such file, fetch or prepare it" if missing else error.strerror or error
            raise UserError(f"cannot read {shown}: {reason}.") from None
        folder = os.path.dirname(file)
        if not self._leads_inside(folder) or (link and not self._leads_inside(str(file))):
            raise UserError(
                f"{shown} is, or lies behind, a link that leads out of the task's folder, which is "
                f"refused: put the files themselves into {self.path}, or make that folder the link."
            )
        if not stat.S_ISREG(status.st_mode):
            said = no_ordinary_file(Path(file), "fetch or prepare it again")
            raise UserError(
                of_file(said, f"{shown} is no ordinary file: fetch or prepare it again.")
            )
        if status.st_size > most:
            raise UserError(f"{shown} is larger than {most:,} bytes: fetch or prepare it again.")
        return status

    @cached_property
    def _root(self) -> str:
        return os.path.realpath(self.path)

    def _leads_inside(self, path: str) -> bool:
        # The folders of a split's images are few, so their links are followed once.
        if path not in self._inside:
            real = os.path.realpath(path)
            self._inside[path] = os.path.commonpath([real, self._root]) == self._root
        return self._inside[path]
