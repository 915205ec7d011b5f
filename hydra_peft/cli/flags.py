"""The flags of the command line, checked before Hydra takes them."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from hydra._internal.utils import get_args_parser

from hydra_peft.cli.known_keys import known_key
from hydra_peft.cli.parted_words import DASHES, IN_ONE
from hydra_peft.cli.sound_words import meant_word
from hydra_peft.config.omegaconf_errors import groups_with
from hydra_peft.config.plain import types
from hydra_peft.errors import UserError, near
from hydra_peft.plain_text import quoted

_CONFIG_DIR = ("--config-dir", "-cd")
_HELP = "scripts/train.py --help"


def flags_first(words: Sequence[str]) -> list[str]:
    """Return ``words`` with those first that are flags, each with its value, in their order.

    Raises:
        UserError: one lacks its value.
    """
    known = get_args_parser()._option_string_actions
    flags, others, rest = list[str](), list[str](), list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        action = known.get(name)
        (flags if action or (word[:2] == "--" and equals) else others).append(word)
        if action is None or equals:
            continue
        if action.nargs is None and not (rest and _may_be_value(rest[0])):
            _refuse(f"argument {'/'.join(action.option_strings)}: expected one argument")
        if action.nargs == "?" and not (rest and rest[0] in (action.choices or ())):
            flags[-1] = f"{action.option_strings[0]}={action.const}"  # else it takes what follows
        elif action.nargs in (None, "?") and rest:
            flags.append(rest.pop(0))
    return [*flags, *others]


def _may_be_value(word: str) -> bool:
    """Whether ``word``, after a flag, may be its value: it is no other flag, and no setting."""
    key, equals, _ = word.partition("=")
    return word[:1] not in DASHES and not (equals and known_key(key))


def check_flags(words: Sequence[str]) -> list[str]:
    """Check that Hydra's parser takes ``words``, and that no flag makes it unpickle a file.

    Returns:
        Those that are no flags and no values of flags: the overrides.

    Raises:
        UserError: an unknown flag, one without its value, ``--package`` where no config is shown,
            ``--experimental-rerun``, or a ``--config-dir`` that is no folder, or the second one.
    """
    parser = get_args_parser()
    parser.allow_abbrev = False
    known = parser._option_string_actions
    for word, after in pairwise([*words, ""]):
        _check_flag(word, after, known)
    asks = "-sc" in words and any(word.startswith("query=") for word in words)
    if asks and "COMP_LINE" not in os.environ:
        raise UserError(
            "-sc query=... is what a shell asks by itself: install the completion with "
            "-sc install=bash."
        )
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    flags = parser.parse_args(words)
    if flags.package is not None and not flags.cfg:
        raise UserError(f"--package {flags.package} says what --cfg shows: add --cfg job.")
    if flags.experimental_rerun is not None:
        raise UserError(
            "--experimental-rerun unpickles a file, which can run anything: type the command of "
            "the run again, or see scripts/evaluate.py."
        )
    folder = flags.config_dir
    if folder is None:
        return list(flags.overrides)
    if sum(word.partition("=")[0] in _CONFIG_DIR for word in words) > 1:
        raise UserError(
            f"{_CONFIG_DIR[0]} is given twice, and one would count: put the yaml files into one "
            "folder, or add the other one as 'hydra.searchpath=[\"file:///...\"]'."
        )
    if not os.path.isdir(folder):
        raise UserError(
            f"{_CONFIG_DIR[0]}={folder} is no folder: give the one that your dataset/, experiment/ "
            "and the like are in."
        )
    return list(flags.overrides)


def _check_flag(word: str, after: str, known: Collection[str]) -> None:
    """Check that ``word``, where it has dashes, is one of the flags that are ``known``."""
    name = word.partition("=")[0]
    if word[:1] in DASHES and (meant := _with_dashes(name, known)):
        raise UserError(f"there is no flag {name}: type {meant}{word[len(name) :]}.")
    if (first := word.partition(" ")[0]) != word and first in known:
        raise UserError(IN_ONE.format(quoted(word), first))
    if re.fullmatch("-[a-z]", name) and name not in known:  # the parser takes -s for -sc
        raise UserError(f"there is no flag {name}: see python {_HELP}.")
    if name not in known and (word.startswith("--") or _is_setting(name)):
        raise UserError(_no_flag(word, after, known))


def _is_setting(name: str) -> bool:
    """Whether ``name``, which begins with one dash, is that of a setting."""
    key = name[1:]
    return bool(re.fullmatch(r"-\w{2,}", name)) and (key in types() or bool(groups_with(key)))


def _with_dashes(name: str, known: Collection[str]) -> str | None:
    """Return the flag that ``name`` is with as many dashes as it needs, if it is none as it is."""
    bare = name.lstrip(DASHES)
    meant = [flag for flag in (f"--{bare}", f"-{bare}") if flag in known]
    return meant[0] if meant and name not in known else None


def _no_flag(word: str, after: str, known: Collection[str]) -> str:
    """Return the sentence on a ``word`` that is typed as a flag, and the word after it."""
    typed = word.lstrip("-")
    if re.fullmatch(r"\w[\w.]* \S+", typed):  # quoted together
        typed = typed.replace(" ", "=")
    elif typed[:1] in ("", "="):  # -- alone
        return f"there is no flag {word}: settings are typed as key=value, without dashes."
    key, _, value = typed.partition("=")
    name = word[: word.index(key) + len(key)]
    if not value and not re.search("^-|=", after):
        value = after
    key = key.replace("-", "_")
    is_key = known_key(key) or groups_with(key)
    if not is_key and (flags := near(name, [flag for flag in known if flag[:2] == "--"], 1)):
        return f"there is no flag {name} (did you mean {flags[0]}?): see python {_HELP}."
    form = f", as {meant}" if is_key and (meant := meant_word(key, value)) else " as key=value"
    return f"there is no flag {name}: settings are typed without dashes{form}; see python {_HELP}."


def _refuse(message: str) -> None:
    # It takes -hlep for -h and a value of it.
    part = r"argument \S+/-(\w): ignored explicit argument '(.*)'"
    message = re.sub(part, r"unrecognized arguments: -\1\2", message)
    raise UserError(f"{message}: see python {_HELP}.")
