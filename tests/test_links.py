"""Links that lead nowhere, and files where folders are meant, are told as what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydra_peft.errors import UserError
from hydra_peft.files import open_regular
from hydra_peft.links import CIRCLE, leads_nowhere, missing


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """A folder with links to each other, to nothing, and to what is there."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "dead").symlink_to(tmp_path / "purged")
    (tmp_path / "fine").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a", f"is {CIRCLE}"),
        ("self", f"is {CIRCLE}"),
        ("b/runs/x", f"is below {{0}}/b, {CIRCLE}"),
        ("fine/a/x", f"is below {{0}}/fine/a, {CIRCLE}"),
        ("dead", "is a link to {0}/purged, which is not there"),
        ("dead/x", "is below {0}/dead, a link to {0}/purged, which is not there"),
        ("fine/x", "is no folder"),
        ("file", "is a file"),
        ("fine/file/x/y", "is below {0}/fine/file, a file"),
    ],
)
def test_what_is_in_the_way(links: Path, path: str, said: str) -> None:
    assert missing(links / path, "is no folder") == f"{links}/{path} {said.format(links)}"


def test_links_that_lead_somewhere_are_fine(links: Path) -> None:
    assert leads_nowhere(links / "fine") is None
    assert leads_nowhere(links / "nothing") is None
    assert missing("relative/x") == "relative/x is not there"


def test_a_file_that_is_read_through_links(links: Path) -> None:
    with pytest.raises(UserError, match=f"cannot read {links}/a: it is {CIRCLE}"):
        open_regular(links / "a", links=True)
    with pytest.raises(UserError, match="is a link, which may lead to anything"):
        open_regular(links / "a")
