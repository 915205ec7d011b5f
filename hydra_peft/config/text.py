"""A composed config as yaml text, as a run's folder keeps it, and back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from hydra_peft.errors import UserError
from hydra_peft.finite import is_finite
from hydra_peft.plain_text import quoted, shortened

#: mappings and lists in each other; a run's config has five levels
MAX_DEPTH = 16
#: what OmegaConf may take for a number although yaml 1.1 does not, such as 1e3
_LIKE_A_NUMBER = re.compile(r"[-+.0-9]")


# In C, where yaml was built with it: four times as fast.
class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes no aliases: who reads a config refuses them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "'" if _LIKE_A_NUMBER.match(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return plain ``values`` as yaml, in their order; read back they are the same."""
    return yaml.dump(
        dict(values),
        Dumper=_Dumper,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
    )


class _Reader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Makes plain values only, of mappings that name each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise _TwiceError(Counter(keys).most_common(1)[0][0])
        if "<<" in keys:
            raise yaml.constructor.ConstructorError(problem="keys of elsewhere")
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        return made


class _TwiceError(ValueError):
    """A key that a mapping has more than once."""


def from_yaml(text: str, where: str) -> dict[str, Any]:
    """Return the mapping in ``text`` as :func:`to_yaml` writes one: plain values, nothing resolved.

    Args:
        text: of unknown origin, of bounded length.
        where: what it is called in messages.

    Raises:
        UserError: it is not such: damaged, nested without end, with values or keys of other types
            than text, finite numbers, booleans and null, or with what stands for something else.
    """
    try:
        _check_events(text, where)
        content = _Reader(text).get_single_data()
    except _TwiceError as error:
        key = shortened(repr(str(error)), 60)
        raise UserError(f"{where} has the key {key} twice: edited?") from None
    # The last: what yaml makes of a date that is none, or of a number of 5000 digits.
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{where} is not valid yaml: truncated or edited?") from None
    if not isinstance(content, dict):
        raise UserError(f"{where} holds no settings.")
    _check_plain(content, where, "")
    return content


def _check_events(text: str, where: str) -> None:
    """Look at one piece after another, so that nothing large is built of little text."""
    depth = 0
    for event in yaml.parse(text, _Reader):
        if isinstance(event, yaml.AliasEvent):
            # We write none; written out, a few lines of them would fill all memory.
            raise UserError(f"{where} holds an alias: a run's config has plain values only.")
        if (tag := getattr(event, "tag", None)) is not None:
            tag = shortened(tag, 60)
            raise UserError(f"{where} is not valid yaml for a config: it holds the tag {tag}.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise UserError(f"{where} is nested deeper than a run's config: edited?")


def _check_plain(value: Any, where: str, key: str) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise UserError(f"{where} has the key {quoted(name)} {_in(key)}: keys are names.")
            _check_plain(name, where, key)
            _check_plain(item, where, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for item in value:
            _check_plain(item, where, key)
    elif isinstance(value, str):
        if "${" in value:
            raise UserError(
                f"{where} holds an interpolation {_in(key)}: a run's config has plain values only."
            )
    elif not (value is None or isinstance(value, bool) or is_finite(value)):
        raise UserError(
            f"{where} has {quoted(value)} {_in(key)}: expected text, a finite number, true, false "
            "or null."
        )


def _in(key: str) -> str:
    return f"in '{shortened(key, 100)}'" if key else "at its top"
