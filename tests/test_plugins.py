"""Plugins are found, named, hashed and refused."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from plugin_package import TEMPLATE, forget, importable

from hydra_peft import checkout, plugins
from hydra_peft.errors import UserError
from hydra_peft.methods import method_class, method_names
from hydra_peft.metrics import find_metric, metric_names

MODULE = "peft_gain.gain"
HASH = hashlib.sha256((TEMPLATE / "peft_gain" / "gain.py").read_bytes()).hexdigest()


def test_an_installed_package_adds_names_and_yaml_files(tmp_path: Path) -> None:
    assert "gain" not in method_names()
    with importable(tmp_path / "site", installed=True) as conf:
        assert "gain" in method_names()
        assert "balanced_error" in metric_names()
        assert method_class("gain").name == "gain"
        assert not find_metric("balanced_error").higher_is_better
        assert plugins.conf_roots() == [conf]
        assert "gain" in checkout.options("method")
        assert checkout.option("method", "gain")["targets"] == ["mlp.fc2"]
        told = plugins.origin("hydra_peft.methods", "gain")
        assert told == {
            "module": MODULE,
            "distribution": "peft-gain",
            "version": "0.1.0",
            "sha256": HASH,
        }
        assert plugins.origin("hydra_peft.methods", "lora") is None
        assert plugins.hash_of(MODULE) == HASH
        # What a record says is not imported.
        assert plugins.hash_of("antigravity.nothing") is None
    assert "gain" not in method_names()
    assert plugins.hash_of(MODULE) is None


def test_a_module_that_is_named_adds_what_it_offers(tmp_path: Path) -> None:
    with importable(tmp_path / "site", installed=False):
        with pytest.raises(UserError, match="method 'gain' is unknown"):
            method_class("gain")
        plugins.use([MODULE])
        plugins.use([MODULE])
        assert (plugins.used(), method_class("gain").name) == ([MODULE], "gain")
        told = plugins.origin("hydra_peft.methods", "gain")
        assert told == {"module": MODULE, "distribution": "", "version": "", "sha256": HASH}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("nowhere", None, "plugins: 'nowhere' cannot be imported by .*No module named 'nowhere'"),
        ("broken", "1 / 0", r"plugins: 'broken' cannot be imported .*ZeroDivisionError"),
        ("empty", "", "plugins: empty offers nothing: it binds none of METHOD, METRIC, .*load or"),
        ("lora", "METHOD = 1", "plugins: lora has the name of hydra_peft.methods.lora"),
        ("leaves", "import sys; sys.exit(3)", r"plugins: 'leaves' cannot be imported .*SystemExit"),
        ("asks", "def __getattr__(name): raise OSError", "plugins: asks offers nothing"),
        ("json_like", "from os import read; from json import load", "json_like offers nothing"),
        (
            "five",
            "METHOD = 5",
            r"five binds METHOD to 5: it must be a class derived from Method of",
        ),
        ("sixth", "METRIC = int", r"sixth binds METRIC to <class 'int'>: it must be a Metric of "),
        ("seven", "BACKBONE = 7", r"seven binds BACKBONE to 7: it must be a class\."),
        (
            "other",
            "from hydra_peft.methods.lora import METHOD",
            r"plugins: other is called 'other', and its METHOD 'lora': give both one name\.",
        ),
    ],
)
def test_wrong_modules_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=said):
        plugins.use([name])
    forget()


def test_an_entry_point_that_offers_nothing_is_refused(tmp_path: Path) -> None:
    with importable(tmp_path / "site", installed=True):
        (tmp_path / "site" / "peft_gain" / "gain.py").write_text("")
        with pytest.raises(UserError, match=r"'gain' of peft-gain 0\.1\.0 is none: .* no METHOD"):
            method_class("gain")


def test_two_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "class BACKBONE: pass"
    for package in ("first", "second"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "net.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=r"plugins: second\.net has the last name of first\.net"):
        plugins.use(["first.net", "second.net"])
    forget()
    for package in ("first", "second"):
        info = tmp_path / f"{package}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[hydra_peft.backbones]\nnet = {package}.net\n")
    several = (
        r"of one name, 'net' of \w+ 1 \(\w+\.net\) and 'net' of \w+ 1 .*: uninstall all but one"
    )
    with pytest.raises(UserError, match=several):
        plugins.load("hydra_peft.backbones.models", "net")
    forget()


def told(module: str, distribution: str = "", version: str = "") -> dict[str, str]:
    """What a run records of a plugin."""
    parts = {"module": module, "distribution": distribution, "version": version}
    return {**parts, "sha256": HASH}


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        (
            {"method": told(MODULE)},
            r"method from peft_gain\.gain, .*: give plugins=\[peft_gain\.gain",
        ),
        (
            {"head": told(MODULE), "metric x": told("peft_gain.balanced_error")},
            r"head from .*give plugins=\[peft_gain\.balanced_error,peft_gain\.gain\], if you",
        ),
        # Installed it is another run.
        ({"task": told(MODULE, "peft-gain", "0.1.0")}, r"gain 0\.1\.0\), which .*: install it\.$"),
        *(
            (
                {"data": told(module)},
                rf"{module}, which this Python does not have: put its folder on PYTHONPATH, and "
                rf"give plugins=\[{module}\]",
            )
            for module in ("peft_gain.other", "peft_gain.gain.more", "antigravity.nothing")
        ),
        ({"model": told("../x")}, r"from \.\./x, which this Python does not have"),
    ],
)
def test_what_is_to_be_done_for_a_runs_plugins_is_told_without_importing_them(
    tmp_path: Path, origins: dict[str, dict[str, str]], said: str
) -> None:
    with importable(tmp_path / "site", installed=False):
        with pytest.raises(UserError, match=rf"^that run has its .*{said}"):
            plugins.check_origins(origins, "that run")
        assert not {"peft_gain", "antigravity"} & {*sys.modules}


def test_modules_that_are_named_already_are_named_again(tmp_path: Path) -> None:
    with importable(tmp_path / "site", installed=False):
        plugins.use([MODULE])
        plugins.check_origins({"method": told(MODULE)}, "that run")
        both = {"method": told(MODULE), "metric x": told("peft_gain.balanced_error")}
        advice = r"plugins=\[peft_gain\.balanced_error,peft_gain\.gain\]"
        with pytest.raises(UserError, match=advice):
            plugins.check_origins(both, "that run")
