"""The folder that a user put original files into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.links import missing
from hydra_peft.workshop.prepare.archives import extract

#: where archives are unpacked, within the source folder
UNPACKED = ".unpacked"


class SourceFolder:
    """Finds original files in a folder, unpacks archives when needed, and remembers what was used.

    Args:
        folder: as the user gave it; files may lie in it or in one sub-folder.
        name: the original's name, for messages.
        needs: what the folder should hold, for messages.
        page: where to get it, for messages.

    Attributes:
        used: the files that were read, for the manifest.
        notes: sentences about the result that a reader of the manifest should know.
        incomplete: those of them that say that this is not the whole of what was published.

    Raises:
        UserError: ``folder`` does not exist.
    """

    def __init__(self, folder: Path, *, name: str, needs: Sequence[str], page: str) -> None:
        if not folder.is_dir():
            said = missing(folder, "is not a folder")
            raise UserError(f"source={said}: it should hold {', '.join(needs)}, see {page}.")
        self.folder = folder
        self.name = name
        self.needs = needs
        self.page = page
        self.used: dict[Path, None] = {}
        self.notes: list[str] = []
        self.incomplete: list[str] = []

    def find(self, *relative: str) -> Path | None:
        """Return the first of ``relative`` that exists here, in a sub-folder, or unpacked."""
        places = self._places()
        for name in relative:
            for place in places:
                if (place / name).exists():
                    return place / name
        return None

    def files(self, *patterns: str, archives: Sequence[str] = ()) -> list[Path]:
        """Return the files that match a glob pattern, sorted; they go into the manifest.

        Args:
            patterns: acceptable patterns below the source folder, best first; all files are of the
                first place where one matches, so that no set is put together from two places.
            archives: names of archives that hold them; see :meth:`file`.

        Raises:
            UserError: nothing matches.
        """
        found = self._matches(patterns)
        present = [path for path in map(self.find, archives) if path is not None]
        if not found and present:
            self._unpack(present[0])
            found = self._matches(patterns)
        if not found:
            raise self._missing((*patterns, *archives))
        self.used.update(dict.fromkeys([*present, *found]))
        return found

    def file(self, *relative: str, archives: Sequence[str] = ()) -> Path:
        """Return a file that is read as a whole; it goes into the manifest with its hash.

        Args:
            relative: acceptable paths below the source folder, best first.
            archives: names of archives that hold it; the first one present is unpacked if the
                file is not there yet, and recorded.

        Raises:
            UserError: none of them is there.
        """
        found = self.folder_or_file(*relative, archives=archives)
        if not found.is_file():
            raise UserError(f"{found} should be a file of {self.name}, and is none.")
        self.used[found] = None
        return found

    def folder_or_file(self, *relative: str, archives: Sequence[str] = ()) -> Path:
        """Return a folder (or file) without recording it; see :meth:`file` for the arguments."""
        found = self.find(*relative)
        if found is None:
            for archive in archives:
                path = self.find(archive)
                if path is not None:
                    self._unpack(path)
                    break
            found = self.find(*relative)
        for archive in archives:
            path = self.find(archive)
            if path is not None:
                self.used[path] = None
        if found is None:
            raise self._missing((*relative, *archives))
        return found

    def note(self, sentence: str) -> None:
        """Add a sentence to the manifest and to what the user sees."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def expect_count(self, what: str, found: int, published: int) -> None:
        """Note it, and the source as incomplete, if it holds another number than was published.

        A part of an original is well-formed and can be prepared; but other examples than the
        benchmark's may then come first.

        Args:
            what: of what; goes into the sentence.
        """
        if found != published:
            sentence = (
                f"{self.name}: {found:,} {what} where {published:,} were published, so the "
                "examples are not exactly the benchmark's."
            )
            self.note(sentence)
            if sentence not in self.incomplete:
                self.incomplete.append(sentence)

    def expect_sha256(self, what: str, found: str, published: str) -> None:
        """Note it, and the source as incomplete, if a file's content is not what was published."""
        if found != published:
            sentence = (
                f"{self.name}: the content of {what} has the sha256 {found[:12]}..., published was "
                f"{published[:12]}..., so the examples may be others."
            )
            self.note(sentence)
            self.incomplete.append(sentence)

    def hashes(self) -> list[dict[str, str | int]]:
        """Return name, bytes and sha256 of each file that was used."""
        return [
            {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path, links=True)}
            for path in self.used
        ]

    def _places(self) -> list[Path]:
        """The folder, its sub-folders, and what was unpacked."""
        places = [self.folder, *sorted(p for p in self.folder.iterdir() if _visible_folder(p))]
        unpacked = self.folder / UNPACKED
        if unpacked.is_dir():
            # Hidden ones are being unpacked, or were when someone pulled the plug.
            places += sorted(p for p in unpacked.iterdir() if _visible_folder(p))
        return places

    def _matches(self, patterns: Sequence[str]) -> list[Path]:
        places = self._places()
        for pattern in patterns:
            for place in places:
                if found := sorted(path for path in place.glob(pattern) if path.is_file()):
                    return found
        return []

    def _missing(self, names: Sequence[str]) -> UserError:
        either = "neither " if len(names) > 1 else ""
        verb = "is" if len(names) > 1 else "is not"
        return UserError(
            f"{self.name}: {either}{' nor '.join(names)} {verb} in {self.folder}; it should hold "
            f"{', '.join(self.needs)}, see {self.page}."
        )

    def _unpack(self, archive: Path) -> None:
        target = self.folder / UNPACKED / archive.name
        if not target.exists():
            extract(archive, target)


def _visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")
