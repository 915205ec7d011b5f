"""Packages of extras: what is said where one is missing or too old."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from hydra_peft.errors import UserError
from hydra_peft.optional import check_major_version, optional_package


def test_a_missing_package_names_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert optional_package("json", extra="none", use="nothing") is sys.modules["json"]
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError) as caught:
        optional_package("h5py", extra="prepare", use="it is read with h5py", otherwise=", or not")
    begin, _, end = str(caught.value).partition(" (")
    assert begin == "it is read with h5py, which cannot be imported"
    assert end.endswith("): pip install 'hydra-peft[prepare]', or not.")


@pytest.mark.parametrize(("version", "fits"), [("3.99.1", False), ("4.0.0", True), ("10.1", True)])
def test_an_old_major_version_is_refused(version: str, fits: bool) -> None:
    package = ModuleType("thing")
    package.__version__ = version  # type: ignore[attr-defined]
    if fits:
        check_major_version(package, 4, "is too old")
        return
    said = rf"^version {version} of the package thing is too old: pip install 'thing>=4'\.$"
    with pytest.raises(UserError, match=said):
        check_major_version(package, 4, "is too old")
