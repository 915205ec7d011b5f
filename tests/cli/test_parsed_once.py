"""A yaml file is parsed again only once it changed, and who composes of it has a copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from omegaconf import OmegaConf

from hydra_peft.cli.parsed_once import parse_once
from hydra_peft.errors import UserError


def test_a_file_is_parsed_again_only_once_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse_once()
    parsed: list[str] = []
    original = file_config_source.OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda f: parsed.append(f.name) or original(f))
    source = SourcesRegistry.instance().resolve("file")("own", f"file://{tmp_path}")
    file = tmp_path / "a.yaml"
    file.write_text("# @package x.y\nb: 1\nc: ${b}\n")
    first = source.load_config("a")
    assert (first.config.c, first.header["package"]) == (1, "x.y")
    first.config.b = 5
    assert source.load_config("a").config.c == 1
    assert len(parsed) == 1
    file.write_text("b: 22\nc: ${b}\n")
    assert source.load_config("a").config.c == 22
    assert len(parsed) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: l\xe4ufe", r"a\.yaml is no text in UTF-8 \(invalid continuation byte at byte 4\)"),
        ("a: b".encode("utf-16"), "is no text in UTF-8"),
        (b"5\n", r"a\.yaml is no config: Invalid loaded object type: int"),
        (b"a: " + b"9" * 5000, r"a\.yaml is no config: Exceeds the limit"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    parse_once()
    source = SourcesRegistry.instance().resolve("file")("own", f"file://{tmp_path}")
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(UserError, match=said):
        source.load_config("a")


def test_an_interpolation_is_resolved_anew_where_it_stands() -> None:
    parse_once()
    for value in (1, [2], {"d": 3}):
        assert OmegaConf.create({"b": value, "c": "${b}"}).c == value
    for _ in range(2):
        assert OmegaConf.create({"b": 1, "c": "${b}", "d": "<${b}${c}>"}).d == "<11>"
