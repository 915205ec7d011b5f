"""A composed config as yaml text, as a run's folder keeps it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

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


def changed(text: str, changes: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a config of :func:`to_yaml` with other values.

    Args:
        text: the config.
        changes: by group, the values that replace its own of the same name.
    """
    values = yaml.safe_load(text)
    groups = {group: {**values[group], **new} for group, new in changes.items()}
    return to_yaml({**values, **groups})
