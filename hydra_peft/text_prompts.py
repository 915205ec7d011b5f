"""Prompts: texts that name the classes of a task, for text towers; no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: where a name goes in a template
PLACE = "{}"
_KEYS = ("templates", "names")


@dataclass(frozen=True)
class Prompts:
    """Templates and class names; each class is said in each template.

    Attributes:
        templates: each with one ``{}``.
        names: one a class, in the order of the labels.
    """

    templates: tuple[str, ...]
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any], key: str) -> Prompts:
        """Return the prompts in the plain ``values``, which messages call ``key``.

        Raises:
            UserError: a key is unknown or missing, a template has not one ``{}``, a text is empty,
                or two classes have one name.
        """
        if unknown := sorted(values.keys() - set(_KEYS)):
            raise UserError(f"unknown key '{key}.{unknown[0]}'; known here: {', '.join(_KEYS)}.")
        found = {}
        for name in _KEYS:
            texts = values.get(name)
            if not isinstance(texts, list) or not texts:
                raise UserError(f"{key}.{name} is missing: it must be a list of texts.")
            # yaml reads a digit as a number
            found[name] = tuple(text if isinstance(text, str) else str(text) for text in texts)
            if empty := [place for place, text in enumerate(found[name]) if not text.strip()]:
                raise UserError(f"{key}.{name}[{empty[0]}] is empty.")
        for template in found["templates"]:
            if template.count(PLACE) != 1:
                raise UserError(
                    f"{key}.templates has {quoted(template)}: each needs one {PLACE}, where the "
                    "name goes."
                )
        if len(set(found["names"])) < len(found["names"]):
            twice = next(n for n in found["names"] if found["names"].count(n) > 1)
            raise UserError(f"{key}.names has {quoted(twice)} twice: classes need different names.")
        return cls(**found)

    def sentences(self, name: str) -> list[str]:
        """Return what is said of the class ``name``: each template with it."""
        return [template.replace(PLACE, name) for template in self.templates]

    @property
    def sha256(self) -> str:
        """Hash of all texts, in order."""
        text = json.dumps([self.templates, self.names], ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
