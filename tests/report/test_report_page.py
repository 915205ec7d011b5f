"""The page as text: nothing foreign is markup, nothing is fetched, and it stays small."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from study import SCRIPT, grid, put, run_record

from hydra_peft.cli.report import write_report
from hydra_peft.report.details import PARTS, run_details
from hydra_peft.report.embedding import script_json
from hydra_peft.report.plain import MAX_TEXT, bounded, plain
from hydra_peft.report.run_lines import run_lines
from hydra_peft.runs.collection import collect
from hydra_peft.runs.record import Record

ROOT = Path(__file__).resolve().parents[2]


class Elements(HTMLParser):
    """The elements of a page, and the text of those that hold style, script and data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"style": [], "script": []}
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in self.texts:
            self.texts[self._inside].append(data)

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self._inside = ""


@pytest.fixture(scope="session")
def page(report: Path) -> str:
    return report.read_text()


@pytest.fixture(scope="session")
def elements(page: str) -> Elements:
    return Elements(page)


def test_nothing_foreign_is_markup(page: str, elements: Elements) -> None:
    assert SCRIPT not in page
    assert html.escape(SCRIPT) in page
    tags = {tag for tag, _ in elements.found}
    assert tags & {"iframe", "object", "embed", "base", "video", "audio", "svg"} == set()
    scripts = [attributes for tag, attributes in elements.found if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "data"}, {}]
    names = {name for _, attributes in elements.found for name in attributes}
    assert not [name for name in names if name.startswith("on") or name == "style"]
    assert [a for t, a in elements.found if t == "img" and not a["src"].startswith("data:")] == []
    addresses = {a[k] for _, a in elements.found for k in ("href", "src", "action") if k in a}
    assert all(address.startswith(("#", "data:")) for address in addresses if address)


def test_the_policy_allows_exactly_our_style_and_script(elements: Elements) -> None:
    (policy,) = [
        attributes["content"]
        for tag, attributes in elements.found
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    style, script = "".join(elements.texts["style"]), elements.texts["script"][-1]
    for name, content in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", style + script)


def test_the_data_is_what_the_records_say(elements: Elements) -> None:
    data = json.loads(elements.texts["script"][0])
    (harm,) = [run for run in data["runs"].values() if run["title"].startswith(SCRIPT)]
    assert harm["cause"] == f"{SCRIPT}\\u202egnp.exe\\x1b[31m\\u2028 & </script>"
    assert data["pool"][harm["record"]["hardware"]]["gpu"] == SCRIPT
    config = "".join(data["pool"][number] for number in harm["config"])
    assert config == f"name: {SCRIPT}\nother: '{SCRIPT}'\n"


def test_equal_parts_are_kept_once(elements: Elements) -> None:
    data = json.loads(elements.texts["script"][0])
    runs = [run for run in data["runs"].values() if run["status"] == "completed"]
    assert len(runs) > 40
    assert len({run["record"]["versions"] for run in runs}) == 1
    keys = [json.dumps(value) for value in data["pool"]]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    "text", ["</script>", "<!--", "]]>", "&lt;", "\u2028\u2029", '"', "\ud800"]
)
def test_json_in_a_script_element(text: str) -> None:
    written = str(script_json({text: [text]}))
    assert not re.search("[<>&\u2028\u2029\ud800]", written)
    if text != "\ud800":
        assert json.loads(written) == {text: [text]}


def test_plain_shows_what_cannot_be_seen() -> None:
    assert plain("a\u202eb\x1b[0m\n\u00a0\ud800") == "a\\u202eb\\x1b[0m\\n\\xa0\\ud800"
    assert plain("é ü 漢字 ±") == "é ü 漢字 ±"
    assert plain("a\nb", keep="\n") == "a\nb"
    assert len(plain("x" * 10**6)) == MAX_TEXT + 1


def test_bounded_has_an_end_in_every_direction() -> None:
    deep: Any = "bottom"
    for _ in range(500):
        deep = [deep]
    size = len(json.dumps(bounded({"deep": deep, "wide": list(range(10**5)), "long": "x" * 10**6})))
    assert size < 5000
    assert bounded({"a": float("nan"), "b": 10**400, "c": [True, None, 1.5]}) == {
        "a": "nan",
        "b": "1" + "0" * (MAX_TEXT - 1) + "…",
        "c": [True, None, 1.5],
    }


def test_a_huge_record_stays_small(tmp_path: Path) -> None:
    huge = {"x" * 10**5: "y" * 10**6, **{f"key{i}": "z" * 1000 for i in range(1000)}}
    label = "m" * 10**6
    put(
        tmp_path,
        run_record(label, hardware=huge, path=huge, method_label=label),
        folder="mini/digits/x",
    )
    out = tmp_path / "report.html"
    write_report(tmp_path, out)
    assert out.stat().st_size < 400_000


def test_links_and_pipes_in_a_run_folder_are_not_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret words")
    folder = put(
        tmp_path / "runs", run_record(status="failed", metrics={}, traceback="traceback.txt")
    )
    (folder / "config.yaml").unlink()
    (folder / "config.yaml").symlink_to(secret)
    (folder / "metrics.csv").unlink()
    os.mkfifo(folder / "metrics.csv")
    (folder / "traceback.txt").symlink_to(secret)
    out = tmp_path / "report.html"
    write_report(tmp_path / "runs", out)
    text = html.unescape(re.sub(r"<wbr>|</?span[^>]*>", "", out.read_text()))
    assert "the secret words" not in text
    assert "metrics.csv is no ordinary file" in text
    assert "config.yaml" in text.split("<h2")[1]


def test_the_details_of_a_run_show_all_of_its_record() -> None:
    # in the title, beside the score, or as a sentence
    apart = {"status", "config_id", "benchmark", "group", "task", "model", "method_label"}
    apart |= {"protocol", "seed", "started", "ended", "primary", "error", "traceback"}
    # the config says the one, and the other is about the file
    apart |= {"science", "schema"}
    assert {field.name for field in dataclasses.fields(Record)} == apart | PARTS.keys()


def test_half_a_history_is_a_warning(tmp_path: Path) -> None:
    metrics = put(tmp_path, run_record()) / "metrics.csv"
    metrics.write_bytes(metrics.read_bytes()[:-50])
    lines = run_lines(tmp_path, collect(tmp_path))
    details, (cut,) = run_details(lines)
    assert cut.startswith(f"{metrics} is not whole: it ends within a line; 1 of 20 epochs is")
    (run,) = details["runs"].values()
    assert run["curves"]["count"] == 19


def test_a_run_with_predictions_says_how_its_confusion_matrix_is_drawn(tmp_path: Path) -> None:
    folder = put(tmp_path, run_record())
    lines = run_lines(tmp_path, collect(tmp_path))

    def said(fill: Path | None) -> str:
        (run,) = run_details(lines, fill)[0]["runs"].values()
        return str(run["confusion"])

    assert said(None) == ""
    (folder / "predictions.safetensors").write_bytes(b"")
    command = "python scripts/figures.py figure=confusion run="
    assert said(None) == f"{command}results/runs/{folder.relative_to(tmp_path)}"
    other = Path("/my runs")
    assert said(other) == f"{command[:-4]}'run=/my runs/{folder.relative_to(tmp_path)}'"


def check_size_and_curves(page: Path, count: int, fixed: int) -> None:
    assert page.stat().st_size < 10_000 * count + fixed
    data = json.loads(Elements(page.read_text()).texts["script"][0])
    assert len(data["runs"]) == count
    assert {len(run["curves"]["epochs"]) for run in data["runs"].values()} == {100}


def test_a_run_takes_ten_kilobytes(tmp_path: Path) -> None:
    count = grid(tmp_path / "runs", seeds=2, epochs=100, tasks=2)
    write_report(tmp_path / "runs", tmp_path / "report.html")
    check_size_and_curves(tmp_path / "report.html", count, fixed=700_000)  # pictures and scripts


@pytest.mark.long
def test_many_runs(tmp_path: Path) -> None:
    """500 take under 5 MB."""
    count = grid(tmp_path / "runs", seeds=25, epochs=100)
    assert count == 500
    out = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "report.py", f"runs={tmp_path}/runs", f"out={out}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"written: {out}" in done.stdout
    check_size_and_curves(out, count, fixed=0)
