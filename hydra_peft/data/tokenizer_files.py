"""Where the file of a tokenizer lies; no torch, nothing is read."""

from __future__ import annotations

import os
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.links import missing

FILE = "tokenizer.json"


def tokenizer_file(path: Path) -> Path:
    """Return the ``tokenizer.json`` at ``path``: the file, or in the folder.

    Raises:
        UserError: there is none.
    """
    file = path / FILE if os.path.isdir(path) else path
    if os.path.isfile(file):
        return file
    raise UserError(
        f"{missing(file, 'is not there or is not a file')}, and"
        " texts need a tokenizer: save it with "
        "transformers (AutoTokenizer.from_pretrained(...).save_pretrained(<folder>)), and set "
        "model.tokenizer=<folder> where it does not lie beside the weights."
    )
