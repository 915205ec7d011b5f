"""Overrides of paths that start with a tilde or have an equals sign."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from hydra_peft.cli.home import expand_home
from hydra_peft.cli.overrides import values_of
from hydra_peft.errors import UserError


@pytest.mark.parametrize(
    ("home", "word", "values"),
    [
        ("/home/me", "model.checkpoint=~/ViT-B_16.npz", ["/home/me/ViT-B_16.npz"]),
        ("/home/me", "paths.runs=~/x", ["/home/me/x"]),
        ("/home/me", "+paths.cache='~/x y'", ["/home/me/x y"]),
        ("/home/me", "paths.data=~", ["/home/me"]),
        ("/home/me", "init_from=runs/lora-r=4-seed0", ["runs/lora-r=4-seed0"]),
        ("/my home/a,b", "paths.data=~/x", ["/my home/a,b/x"]),
        ("/home/me", "model.checkpoint=~/a.npz,/b.npz,~/c.npz", ["/home/me/a.npz", "/b.npz"]),
        ("/home/me", 'model.checkpoint="/a/epoch=1,step=9.pth"', ["/a/epoch=1,step=9.pth"]),
        ("/home/me", "paths.runs='~/x=1,y'", ["/home/me/x=1,y"]),
        ("/home/me", r"paths.runs=/x/lr\=3", ["/x/lr=3"]),
        ("/home/me", r"paths.runs=/x/a\,b", ["/x/a,b"]),
        ("/home/me", 'paths.runs="/x=1,a",~/b,~/c.npz', ["/x=1,a", "/home/me/b"]),
    ],
)
def test_hydra_reads_what_was_meant(
    monkeypatch: pytest.MonkeyPatch, home: str, word: str, values: list[str]
) -> None:
    monkeypatch.setenv("HOME", home)
    (override,) = OverridesParser.create().parse_overrides([expand_home(word)])
    if override.is_sweep_override():
        assert [getattr(v, "text", v) for v in values_of(override)] == [*values, "/home/me/c.npz"]
    else:
        assert [override.value()] == values


@pytest.mark.parametrize(
    "word",
    [
        *("method=lora", "~train.epochs", "-m", "paths.runs=x~/y", "seed=~/1", "paths.runs='~/x"),
        *("paths.runs=$NO_SUCH/y", "paths.runs=a$HOME", "paths.runs=${oc.env:HOME}/x"),
    ],
)
def test_other_words_stay(word: str) -> None:
    assert expand_home(word) == word


@pytest.mark.parametrize(
    "word", ["paths.runs=$HOME/x", "+paths.cache='$HOME'", "paths.data=/scratch/$HOME/x"]
)
def test_a_variable_that_the_shell_has_left(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    with pytest.raises(
        UserError, match=r"in double quotes, or the variable as '\$\{oc.env:HOME\}'"
    ):
        expand_home(word)


@pytest.mark.parametrize(
    ("path", "what", "local"),
    [
        ("s3://bucket/x", "an address", "/..."),
        ("file:///tmp/x", "an address", "/tmp/x"),
        ("'hdfs://a/b'", "an address", "/..."),
        ("C:\\Users\\me", "a path of Windows", "/..."),
        ("C:/runs", "a path of Windows", "/..."),
        ("file:/tmp/x", "an address", "/tmp/x"),
        ("\\\\server\\share", "a path of Windows", "/..."),
        ("%USERPROFILE%\\runs", "a path of Windows", "/..."),
        ("me@host:/data/runs", "an address", "/..."),
    ],
)
def test_an_address_is_no_path(path: str, what: str, local: str) -> None:
    for key in ("paths.runs", "dataset.root", "paths.weights"):
        with pytest.raises(UserError, match=f"is {what}, and .*: give its path, as {local}"):
            expand_home(f"{key}={path}")


def test_a_folder_that_is_called_like_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "C:" / "pics").mkdir(parents=True)
    assert expand_home('dataset.root="C:/pics"') == 'dataset.root="C:/pics"'
