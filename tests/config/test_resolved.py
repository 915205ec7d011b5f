"""A section is resolved anew exactly where something that it refers to has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from omegaconf import OmegaConf

from hydra_peft.config.resolved import Resolved, _names
from hydra_peft.config.resolvers import register_resolvers


@pytest.mark.parametrize(
    ("reference", "again"),
    [
        ("${d.x}", False),
        ("${b.x}", True),
        ("${..b.x}", True),
        ("${c.${b.name}}", True),
        ("${${c.group}.x}", True),
        ("${c.far}", True),
        ("${oc.select:${c.path}}", True),
        ("${oc.select:b.x,0}", True),
        ("${oc.select:d.x,0}", False),
        ("${oc.select:d.none,${b.x}}", True),
        ("${oc.select:'b.x'}", True),
        ("${in_proportion:${d.x},${b.x},10}", True),
        ("${in_proportion:${d.x},${d.y},10}", False),
    ],
)
def test_a_change_elsewhere(reference: str, again: bool) -> None:
    register_resolvers()
    resolved, calls = Resolved(), []

    def value(x: int, name: str) -> Any:
        raw = {
            "a": {"v": reference},
            "b": {"x": x, "name": name},
            "c": {"x": 1, "y": 2, "group": "b", "path": "b.x", "far": "${b.x}"},
            "d": {"x": 5, "y": 6},
        }

        def resolve() -> Any:
            calls.append(x)
            return OmegaConf.to_container(OmegaConf.create(raw), resolve=True)["a"]  # type: ignore[call-overload,index]

        texts = {key: repr(section) for key, section in raw.items()}
        right = OmegaConf.create(raw).a.v
        assert resolved.get("a", texts, resolve) == {"v": right}
        return right

    first = value(1, "x")
    assert value(1, "x") == first
    assert len(calls) == 1
    assert (value(2, "y") != first) == again
    assert len(calls) == 1 + again


def test_no_section_of_ours_may_look_anywhere(compose_train: Callable[..., Any]) -> None:
    for words in ((), ("model=minilm", "dataset=glue/rte"), ("optimizer=sgd", "scheduler=linear")):
        raw = OmegaConf.to_container(compose_train(*words), resolve=False)
        assert isinstance(raw, dict)
        assert [key for key, section in raw.items() if _names(repr(section)) is None] == []
