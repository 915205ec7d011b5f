"""On a machine without a browser: skipped and said so, or failed where one is required."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from chromium import REQUIRE, find_chromium

ROOT = Path(__file__).resolve().parents[2]


def test_skipped_or_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no browser: chromium is not installed"):
        find_chromium()
    monkeypatch.setenv(REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match=f"{REQUIRE}=1 requires one"):
        find_chromium()
    assert f"export {REQUIRE}=1\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("count", [0, 3])
def test_the_end_says_so(request: pytest.FixtureRequest, count: int) -> None:
    (plugin,) = [
        plugin
        for plugin in request.config.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(ROOT / "tests" / "conftest.py")
    ]
    reason = "Skipped: no browser: chromium is not installed"
    skipped = [SimpleNamespace(longrepr=("conftest.py", 1, reason))] * count
    other = [SimpleNamespace(longrepr=("test_gpu.py", 1, "Skipped: no GPU"))]
    lines: list[str] = []
    plugin.pytest_terminal_summary(
        SimpleNamespace(stats={"skipped": skipped + other}, write_line=lines.append)
    )
    said = f"{count} tests of web pages were skipped: no browser; install Debian's chromium."
    assert lines == [said] * bool(count)
