"""Classes of a task in words, and the sentences that a text encoder reads of them.

They lie in ``conf/prompts/<benchmark>/<task>.yaml``, for text heads and for preparing data::

    classes:                       # by label; a class's name in the original, and what it is called
      AnnualCrop: annual crop land
    templates:                     # one sentence each, {} is the class
      - 'a centered satellite photo of {}.'

Those of ELEVATER are openai/CLIP's (``data/prompts.md``). No torch is loaded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra_peft.checkout import CONF, option
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: the folder of ``conf`` that has a folder for each benchmark
FOLDER = "prompts"


@dataclass(frozen=True)
class Prompts:
    """Words for the classes of a task.

    Attributes:
        keys: the classes' names in the original data set, by label.
        names: what they are called in sentences, by label.
        templates: sentences with ``{}`` in the place of a class.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    templates: tuple[str, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str) -> Prompts:
        """Return the prompts in plain ``values``, which messages call ``where``.

        Raises:
            UserError: they are malformed, or two classes are called alike.
        """
        classes, templates = values.get("classes"), values.get("templates")
        right = (
            isinstance(classes, dict)
            and all(isinstance(text, str) and text for pair in classes.items() for text in pair)
            and isinstance(templates, list)
            and all(isinstance(text, str) and "{}" in text for text in templates)
        )
        if not right or not classes or not templates:
            raise UserError(
                f"{where} must have 'classes', texts by text (quote numbers and yes or no), and "
                "'templates', texts with {} in them."
            )
        names = tuple(classes.values())
        if alike := next((name for name in names if names.count(name) > 1), ""):
            raise UserError(
                f"{where} calls two classes {quoted(alike)}: texts must tell them apart."
            )
        return cls(tuple(classes), names, tuple(templates))

    def sentences(self) -> list[list[str]]:
        """Return the sentences of each class: every template with the class's name in it."""
        return [[t.replace("{}", name) for t in self.templates] for name in self.names]

    @property
    def sha256(self) -> str:
        """Hash of all sentences, in order."""
        text = json.dumps(self.sentences(), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def find_prompts(benchmark: str, task: str) -> Prompts | None:
    """Return the prompts of a task; None where it has none.

    Raises:
        UserError: its file is malformed.
    """
    place = f"{benchmark}/{task}"
    if not (values := option(FOLDER, place)):
        return None
    return Prompts.of(values, f"{CONF / FOLDER / place}.yaml")
