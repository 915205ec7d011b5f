"""Overrides that Hydra's grammar does not take, each with what was probably meant."""

from __future__ import annotations

import fnmatch
import re
import shlex
from collections.abc import Sequence
from typing import Any

from hydra.errors import OverrideParseException

from hydra_peft.checkout import options
from hydra_peft.cli.home import PATH_KEYS
from hydra_peft.cli.known_keys import Known, known_key, meant_keys
from hydra_peft.cli.mapping_words import dotted_words
from hydra_peft.cli.meant_values import meant_value
from hydra_peft.cli.parted_words import apart, gathered
from hydra_peft.cli.quoted_words import as_typed
from hydra_peft.cli.sound_words import meant_word, read_word
from hydra_peft.config.plain import types
from hydra_peft.data.own_words import own_words

_CLOSING = {"{": "}", "[": "]", "(": ")"}
#: what copied texts have in the place of a keyboard's characters
_LOOKALIKES = str.maketrans(
    "\u2010\u2011\u2013\u2014\u2212\u201c\u201d\u201e\u2018\u2019\uff1d\xa0",
    '-----"""\'\'= ',
)


def not_understood(error: OverrideParseException, words: Sequence[str]) -> str:
    """Return in a sentence what is wrong with an override, and what to type.

    Args:
        error: of Hydra's parser.
        words: the command line.
    """
    override = error.override
    begun = f"cannot understand the override '{override}'"
    key, equals, value = override.partition("=")
    if override.startswith("~"):
        return f"{begun}: what is taken away is typed as ~key, without blanks or a colon."
    if inside := _glob_inside(key, value):
        return f"{begun}: {inside}."
    if torn := _torn(key, words):
        return f"{begun}: a shell takes braces without quotes apart, type {torn}."
    if parted := _parted(error.override, words):
        return f"{begun}: {parted}."
    known = known_key(key)
    is_key = re.fullmatch(r"[+~]*[\w./@-]+", key, re.ASCII)
    if not (equals and is_key):
        return f"{begun}: {_lookalike(override) or own_words(override) or _expected(error, words)}."
    if plain := _without_quoted_keys(override):
        return f"{begun}: keys of a mapping stand without quotes, as in {plain}."
    if mapping := _as_mapping(key, value, known):
        return f"{begun}: {mapping}."
    closed = f"{key}={value}]"
    if _is_grids(key, value) and read_word(closed) is not None:
        return f"{begun}: its bracket is not closed, type {shlex.quote(closed)}."
    meant = (known and meant_value(key, value, known)) or _without_gaps(key, value)
    return f"{begun}: {meant or _in_quotes(error, key, value, known, _lookalike(override))}."


def _is_grids(key: str, value: str) -> bool:
    """Whether ``value`` begins the list of values that tuning tries of one key."""
    return key.lstrip("+").startswith("protocol.grid.") and value.startswith("[")


def _torn(key: str, words: Sequence[str]) -> str | None:
    """Return the mapping of which a shell has made several words, each with ``key``, in quotes."""
    values = [value for one, equals, value in (w.partition("=") for w in words) if one == key]
    whole = f"{key}={{{','.join(values)}}}"
    if len(values) < 2 or not any(map(_is_open, values)) or read_word(whole) is None:
        return None
    return shlex.quote(whole)


def _expected(error: OverrideParseException, words: Sequence[str]) -> str:
    """Return what to type for a word that is not key=value."""
    word = error.override
    rest = words[words.index(word) :] if word in words else [word]
    key, value, _ = gathered(rest, 0, known_key)
    known = known_key(key)
    if known and not value:
        return f"it lacks its value, type {meant_word(key)}"
    if meant := meant_word(key, value, words):
        return f"expected key=value (did you mean {meant}?)"
    if value and (mapping := _as_mapping(key, value, known)):
        return mapping
    if known and known.expected:
        return f"expected key=value, and {key} must be {known.expected}"
    key, equals, _ = word.partition("=")
    return "expected key=value" + (f", and '{key}' can be no key" if equals else "")


def _in_quotes(
    error: OverrideParseException, key: str, value: str, known: Known | None, lookalike: str | None
) -> str:
    """Return what is wrong with ``value``, and its form in quotes where it may be a text."""
    function = re.search(r"Unknown function '(\w+)'\s*Available: ([\w,]+)", str(error))
    called = re.search(r"Error while evaluating '(.+)': (.+)", str(error))
    first, form = None, as_typed(key, value)
    reason = "a text with special characters needs quotes"
    if function:
        first = f"there is no function '{function[1]}' (only {function[2]})"
    elif called:
        first = f"{called[1]} has no values ({called[2].rstrip('.')})"
    elif _is_open(value):
        first = "a bracket or quote is not closed"
    elif re.fullmatch(r"\{.*:.*\}", value):
        reason = f"in a mapping {reason} of its own"
        form = shlex.quote(f'{key}={{a: "0,1"}}')
    elif lookalike:
        first = lookalike
    expected = known.expected if known else None
    if expected and first and first == lookalike:
        return first
    is_call = function and value.startswith(f"{function[1]}(") and key not in PATH_KEYS
    if is_call or (expected and value[:1] + value[-1:] != "[]"):
        form = f"{key}={known.example}" if known and known.kind is dict else None
        reason = f"{key} must be {expected}" if expected else "such values are written out"
    as_in = f", as in {form}" if form else ""
    return f"{first}, and {reason}{as_in}" if first else f"{reason}{as_in}"


def _without_gaps(key: str, value: str) -> str | None:
    """Return what to type for a ``value`` that has a comma or ``=`` too many, or a power; None if
    it has not."""
    if power := re.fullmatch(r"(?:([\d.]+)[*x])?10(?:\^|\*\*)(-?\d+)", value):
        return f"a power of ten is written as {key}={power[1] or 1}e{power[2]}"
    meant = re.sub(r",(?:\s*,)+", ",", value.lstrip("="))
    meant = re.sub(r"(^|[\[{(])\s*,\s*|\s*,\s*($|[\])}])", r"\1\2", meant)
    if meant in ("", value):
        return None
    if read_word(f"{key}={meant}") is None:
        return None
    many = "an = is" if value.startswith("=") else "a comma is"
    form = as_typed(key, value) if key.lstrip("+") in PATH_KEYS else None
    path = f", or if it is of the path, {form}" if form else ""
    return f"{many} too many: type {shlex.quote(f'{key}={meant}')}{path}"


def _glob_inside(key: str, value: str) -> str | None:
    """Return what to type for a ``value`` that has a pattern of glob(...) after a folder."""
    found = re.fullmatch(r"([\w/.-]+)/glob\(([^(),]*)\)", value)
    if found is None:
        return None
    pattern = f"{found[1]}/{found[2]}"
    meant = fnmatch.filter(options(key), pattern)
    form = f"-m {key}={','.join(meant)}" if meant else f"{key}='glob({pattern})'"
    return f"glob(...) is a value by itself: options of a folder are named, as in {form}"


def _lookalike(override: str) -> str | None:
    """Return in words that ``override`` has a character that was copied from a text, if it has."""
    meant = override.translate(_LOOKALIKES)
    for one, plain in zip(override, meant, strict=True):
        if one != plain:
            form = meant.strip("\"'") if meant[0] in "\"'" else meant.lstrip("-")
            sound = meant_word(*apart(form, known_key))
            typed = f" (for that one type {sound})" if sound else ""
            return f"{one!r} only looks like {plain!r}{typed}"
    return None


def _without_quoted_keys(override: str) -> str | None:
    """Return ``override`` with the keys of a mapping as Hydra takes them, if that was it."""
    plain = re.sub(r"([{,]\s*)([\"'])([^\"']*)\2\s*:", r"\1\3:", override)
    return shlex.quote(plain) if plain != override and read_word(plain) else None


def _as_mapping(key: str, value: str, known: Known | None) -> str | None:
    """Return in words what to type for the names and values of a mapping, with ``=`` between them
    or a bracket that is not closed; None if ``value`` has no such, or ``key`` is of something else.
    """
    group = key.lstrip("+")
    holds = group in types() or (known and known.kind is dict)
    if value[:1] not in "{(" and holds:
        value = "{" + value
    elif value[:1] not in "{(" or not (holds or (known and known.kind is Any)):
        return None
    if value.startswith("("):
        value = "{" + value[1:].removesuffix(")")
    value, ends = re.sub(r"([{,]\s*)([\"']?)([\w.]+)\2\s*[=:]\s*", r"\1\3:", value), ""
    for mark in value:
        if mark in _CLOSING:
            ends = _CLOSING[mark] + ends
        elif mark == ends[:1]:
            ends = ends[1:]
    word = f"{key}={value}{ends}"
    if group not in types():
        return f"a group of settings is typed as {shlex.quote(word)}" if read_word(word) else None
    dotted = dotted_words(word)
    if not dotted or not all(known_key(one.partition("=")[0]) and read_word(one) for one in dotted):
        return None
    return f"settings of {group} are typed as {' '.join(map(shlex.quote, dotted))}"


def _parted(word: str, words: Sequence[str]) -> str | None:
    """Return what to type where a shell parted words at blanks, ``word`` among them; None if it did
    not."""
    if word not in words:
        return None
    begun, place = "a shell parts words at blanks", words.index(word)
    if whole := _whole(words, place):
        return f"{begun}, so all of it needs quotes: {whole}"
    own, _ = apart(word, known_key)
    typed = own if own != word and "/" not in own and meant_keys(own) else None  # as sed:
    key, value, count = gathered(words, place, lambda one: one == typed or known_key(one))
    meant = meant_word(key, value, words) if value else None
    if own == key and not meant and value:  # method lora rank 4
        meant = meant_word(key, value.split()[0], words)
    if count > 1 and meant:
        if shlex.split(meant)[-1].count(" "):
            return f"{begun}, so all of it needs quotes: {meant}"
        return f"{begun}: without them it is {meant}"
    path, _, start = words[place - 1].partition("=") if place else ("", "", "")
    is_group = known_key(word) and "." not in word  # a folder may be called so
    if is_group and path in PATH_KEYS and (whole := as_typed(path, f"{start} {word}")):
        return (
            f"{begun}, so all of it needs quotes: {whole}, or if {word} is the key, it lacks its "
            f"value: {meant_word(word)}"
        )
    return None


def _whole(words: Sequence[str], place: int) -> str | None:
    """Return the words from ``place`` on whose brackets and quotes are closed together."""
    for end in range(place + 2, len(words) + 1 if _is_open(words[place]) else 0):
        if read_word(whole := " ".join(words[place:end])):
            return shlex.quote(whole)
    return None


def _is_open(text: str) -> bool:
    pairs = any(text.count(pair[0]) > text.count(pair[1]) for pair in ("[]", "{}", "()"))
    return pairs or any(text.count(quote) % 2 for quote in "\"'")
