"""The package ``transformers``: imported where a text encoder is built, kept quiet.

``import hydra_peft``, images and tables do not need it.
"""

from __future__ import annotations

import os
from types import ModuleType

from hydra_peft.optional import check_major_version, optional_package

#: the first version whose models take ``dtype``, and whose names of modules are those used here
LEAST = 5


def transformers_package() -> ModuleType:
    """Return the package, which reports nothing below errors.

    Raises:
        UserError: it is not installed, or too old.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    use = "text encoders are built with the package transformers"
    package = optional_package("transformers", extra="text", use=use)
    check_major_version(package, LEAST, "is too old")
    package.logging.set_verbosity_error()
    return package
