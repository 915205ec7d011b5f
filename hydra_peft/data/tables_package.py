"""The package ``datasets``: imported where it is needed, kept quiet, its errors as one sentence.

It reads parquet, Arrow and the Hugging Face hub, and keeps what it read as Arrow files that are
mapped into memory, in its own cache (``HF_HOME``, ``HF_DATASETS_CACHE``). No torch is loaded.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from hydra_peft.errors import UserError, reason_of
from hydra_peft.optional import check_major_version, optional_package
from hydra_peft.quoting import of_file

#: the first version that runs no code of a data set's
LEAST = 4


def tables_package() -> ModuleType:
    """Return the package, with a progress bar only where somebody watches.

    Raises:
        UserError: it is not installed, or is so old that it would run a data set's code.
    """
    use = "parquet and the Hugging Face hub are read with the package datasets"
    package = optional_package("datasets", extra="hf", use=use)
    check_major_version(package, LEAST, "runs code that comes with data sets")
    for name in ("datasets", "huggingface_hub"):  # what they log they raise, too
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not sys.stderr.isatty():
        package.disable_progress_bars()
    return package


def kept_below() -> tuple[str, ...]:
    """Return the folders that the package keeps files in, downloaded and unpacked ones."""
    config = tables_package().config
    from huggingface_hub import constants

    places = (config.HF_DATASETS_CACHE, constants.HF_HUB_CACHE)
    return tuple(os.path.abspath(os.path.expanduser(place)) for place in places)


@contextmanager
def loading(place: object, advice: str) -> Iterator[None]:
    """Turn whatever the package raises into one sentence.

    Args:
        place: what is loaded.
        advice: what is to be done about it.

    Raises:
        UserError: something was raised.
    """
    try:
        yield
    except UserError:
        raise
    # Of Arrow, of file systems, of the network: there is no common kind.
    except Exception as error:
        first = error
        while first.__cause__ is not None:  # "An error occurred while generating the dataset"
            first = first.__cause__  # type: ignore[assignment]
        said = of_file(reason_of(first, 300), type(first).__name__)
        raise UserError(f"cannot load {place}: {said}; {advice}.") from None
