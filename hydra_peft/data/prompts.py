"""Classes of a task in words, and the sentences that a text encoder reads of them.

They lie in ``conf/prompts/<benchmark>/<task>.yaml``, for text heads and for preparing data::

    classes:                       # by label; a class's name in the original, and what it is called
      AnnualCrop: annual crop land
    templates:                     # one sentence each, {} is the class
      - 'a centered satellite photo of {}.'

Those of ELEVATER are openai/CLIP's (``data/prompts.md``). No torch is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

from hydra_peft.checkout import CONF, option
from hydra_peft.errors import UserError

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

    def sentences(self) -> list[list[str]]:
        """Return the sentences of each class: every template with the class's name in it."""
        return [[t.replace("{}", name) for t in self.templates] for name in self.names]


def find_prompts(benchmark: str, task: str) -> Prompts | None:
    """Return the prompts of a task; None where it has none.

    Raises:
        UserError: its file is malformed.
    """
    place = f"{benchmark}/{task}"
    if not (values := option(FOLDER, place)):
        return None
    classes, templates = values.get("classes"), values.get("templates")
    right = (
        isinstance(classes, dict)
        and all(isinstance(text, str) for pair in classes.items() for text in pair)
        and isinstance(templates, list)
        and all(isinstance(text, str) and "{}" in text for text in templates)
    )
    if not right or not classes or not templates:
        raise UserError(
            f"{CONF / FOLDER / place}.yaml must have 'classes', texts by text (quote numbers and "
            "yes or no), and 'templates', texts with {} in them."
        )
    return Prompts(tuple(classes), tuple(classes.values()), tuple(templates))
