"""Paths in overrides as one types them: with ``~/``, and run folders, whose names have a ``=``.

Shells leave both alone there, and Hydra does not understand them.
"""

from __future__ import annotations

import os
import re

from hydra_peft.config.quoting import override_value
from hydra_peft.errors import UserError

PATH_KEYS = (
    *("model.checkpoint", "paths.runs", "paths.cache", "paths.data", "paths.weights"),
    "init_from",
)
#: paths that are read as they are typed
_OTHERS = ("dataset.root", "dataset.file", "model.tokenizer", "model.text_checkpoint")

#: what a shell would have put a value in the place of; with braces it is for Hydra
_VARIABLE = re.compile(r"""(?:^["']?|/)\$(\w+)(?=/|["']?$)""")
#: what a value with commas is read as: texts in quotes, characters behind a backslash, others
_PIECE = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|.)""", re.DOTALL)
#: an equals sign that no backslash is before
_EQUALS = re.compile(r"(?<!\\)=")
#: how addresses of other machines begin, and drives, shares and variables of another system
_ADDRESS = re.compile(
    r"""["']?(?:(\w[\w+.-]*)://|(?P<file>file):(?=/)|[\w.-]+@[\w.-]+:"""
    r"""|(?P<windows>[A-Za-z]:[\\/]|\\\\|%\w+%))"""
)


def expand_home(word: str) -> str:
    """Return a word of the command line, with a ``~/`` that starts a path written out.

    A path with a ``=`` in it comes in quotes. Other words come back as they are; of several paths
    with commas, as in a sweep, each is looked at.

    Raises:
        UserError: a path has an environment variable in it, as ``$HOME/runs``, or is the address
            of something that is no file of this machine, as ``s3://bucket/runs``.
    """
    key, equals, value = word.partition("=")
    if key.lstrip("+") in _OTHERS:
        check_local(value)
    if not equals or key.lstrip("+") not in PATH_KEYS:
        return word
    return f"{key}={','.join(map(_expanded, _parted(value)))}"


def _parted(value: str) -> list[str]:
    """Return the paths that ``value`` names, parted by commas outside quotes."""
    parts = [""]
    for piece in _PIECE.findall(value):
        if piece == ",":
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def check_local(path: str) -> None:
    """Check that a path that was typed is none of another machine or system.

    Raises:
        UserError: it is the address of something, as ``s3://bucket/runs``.
    """
    if (address := _ADDRESS.match(path)) and not os.path.exists(path.strip("'\"")):
        local = path[address.end() :].rstrip("'\"") if "file" in address.groups() else "/..."
        what = "a path of Windows" if address["windows"] else "an address"
        raise UserError(
            f"'{path}' is {what}, and a folder or file of this machine is needed: give its "
            f"path, as {local}."
        )


def _expanded(path: str) -> str:
    mark = path[:1]
    check_local(path)
    if (variable := _VARIABLE.search(path)) and variable[1] in os.environ:
        raise UserError(
            f"'{path}' has a variable in it, which a shell leaves as it is in single quotes: "
            f"write the value in double quotes, or the variable as '${{oc.env:{variable[1]}}}'."
        )
    bare = path[1:-1] if mark in ("'", '"') and len(path) > 1 and path.endswith(mark) else path
    if bare == "~" or bare.startswith("~/"):
        return override_value(os.path.expanduser(bare))
    return (
        override_value(path)
        if bare == path and _EQUALS.search(path) and not set("()[]{}") & set(path)
        else path
    )
