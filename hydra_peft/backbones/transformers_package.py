"""The package ``transformers``: imported where a text encoder is built, kept quiet.

``import hydra_peft``, images and tables do not need it.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from hydra_peft.errors import UserError

#: the first version whose models take ``dtype``, and whose names of modules are those used here
LEAST = 5


def transformers_package() -> ModuleType:
    """Return the package, which reports nothing below errors.

    Raises:
        UserError: it is not installed, or too old.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    try:
        package = importlib.import_module("transformers")
    except ImportError as error:
        raise UserError(
            "text encoders are built with the package transformers, which cannot be imported "
            f"({error}): pip install 'hydra-peft[text]'."
        ) from None
    if int(package.__version__.split(".")[0]) < LEAST:
        raise UserError(
            f"version {package.__version__} of the package transformers is too old: "
            f"pip install 'transformers>={LEAST}'."
        )
    package.logging.set_verbosity_error()
    return package
