"""Values of a config with interpolations resolved, shared by the jobs of a sweep."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

#: an interpolation, up to the end of the text that it stands in
_INTERPOLATION = re.compile(r"\$\{[^'\"]*")
#: the first name in it is itself an interpolation, or it calls a function that may look anywhere
_ANYWHERE = re.compile(
    r"\$\{[\s.\[]*\w*\$\{|"
    r"\$\{(?!\s*(?:project_root|in_proportion|log_spaced|embedded|prepared_weights|tuned_on)\s*:"
    r"|\s*oc\.select\s*:\s*\w+[.,}])[^}$]*:"
)


class Resolved:
    """Memo of resolved sections; jobs that agree in all that a section refers to share its values.

    For jobs that are composed under the same devices and environment.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], Any] = {}
        self._found: dict[str, dict[str, Any]] = {}

    def get(self, key: str, texts: Mapping[str, str], resolve: Callable[[], Any]) -> Any:
        """Return the value of the top-level ``key``.

        Args:
            key: of a section or a single value.
            texts: ``repr`` of each top-level value of the config, nothing resolved.
            resolve: returns the value; called where no job before had the same texts.
        """
        referred = sorted(_referred(key, texts))
        known = (key, *referred, *(texts[name] for name in referred))
        if known not in self._values:
            self._values[known] = resolve()
        return self._values[known]

    def once(self, known: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``find`` returns, which is called once for all jobs with this ``known``."""
        if known not in self._found:
            self._found[known] = find()
        return self._found[known]


def _referred(key: str, texts: Mapping[str, str]) -> set[str]:
    """Return the top-level keys that the value of ``key`` can depend on, itself included."""
    found, left = {key}, [key]
    while left:
        names = _names(texts[left.pop()])
        new = (texts.keys() if names is None else names & texts.keys()) - found
        found |= new
        left.extend(new)
    return found


@functools.lru_cache(maxsize=512)
def _names(text: str) -> set[str] | None:
    """Return the words in interpolations of ``text``; None where these may look anywhere."""
    if _ANYWHERE.search(text):
        return None
    return {name for part in _INTERPOLATION.findall(text) for name in re.findall(r"\w+", part)}
