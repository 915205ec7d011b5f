"""The report in a browser: it works, by keyboard too, fetches nothing, and runs nothing foreign."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from study import SCRIPT, put, run_record

from hydra_peft.cli.report import write_report

#: WCAG 2.2, 1.4.3: the least contrast of text
CONTRAST = 4.5
#: returns [text, contrast] of every visible text below it, against what is painted behind
CONTRASTS = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const channel = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => channel(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const known = new Map();
  const behind = (element) => {
    if (!element) throw new Error("nothing painted");
    if (known.has(element)) return known.get(element);
    const [r, g, b, a = 1] = parse(getComputedStyle(element).backgroundColor);
    if (a !== 0 && a !== 1) throw new Error("half transparent: " + element.tagName);
    const painted = a === 1 ? luminance([r, g, b]) : behind(element.parentElement);
    known.set(element, painted);
    return painted;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || ["SCRIPT", "STYLE", "NOSCRIPT"].includes(element.tagName)) continue;
    if (!element.checkVisibility() || element.closest("option")) continue;
    const style = getComputedStyle(element);
    const ink = element instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(parse(ink)), behind(element)].sort((x, y) => y - x);
    found.push([text, (a + 0.05) / (b + 0.05)]);
  }
  return found;
}
"""


class Visit:
    """One visit to a page, and everything that happened on it."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.requests: list[str] = []
        self.answers: list[str] = []
        self.noise: list[str] = []
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("response", lambda response: self.answers.append(response.url))
        self.page.on("console", lambda message: self.noise.append(message.text))
        self.page.on("pageerror", lambda error: self.noise.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.address = path.as_uri()
        self.page.goto(self.address)

    def _dialog(self, dialog: Any) -> None:
        self.noise.append(f"a dialog said {dialog.message}")
        dialog.dismiss()

    def column(self, number: int, table: str = "#run-table") -> list[str]:
        """Return the texts of a column's cells in rows that are shown."""
        rows = self.page.locator(f"{table} tbody tr:not([hidden]):not(.part)")
        return rows.evaluate_all(f"rows => rows.map(row => row.cells[{number}].textContent.trim())")


@pytest.fixture
def visit(browser: Any, report: Path) -> Iterator[Visit]:
    """A visit at the desk; whatever a test did, nothing was fetched and nothing complained."""
    visited = Visit(browser, report, viewport={"width": 1280, "height": 900})
    yield visited
    assert visited.noise == []
    assert {url.partition("#")[0] for url in visited.requests} == {visited.address}
    visited.context.close()


def test_warnings_come_first_and_name_what_is_wrong(visit: Visit) -> None:
    page = visit.page
    assert page.locator("h2").all_inner_texts() == [
        *("Warnings", "Summary", "Scores", "Costs", "Beside the paper", "Figures", "Runs"),
    ]
    warnings = page.locator("#warnings").text_content() or ""
    for part in (
        "2 runs failed",
        "1 run diverged",
        "1 run interrupted",
        "1 run killed",
        "1 run selected on the test set",
        "1 run on RANDOM WEIGHTS",
        "1 run on PARTIAL DATA",
        "1 run of a dirty commit",
        "Mixed protocols",
        "result.json is not valid json",
        "has schema 3, this version reads 1 and 2",
        "metrics.csv is damaged",
        "config.yaml is larger than",
        "is there twice",
        "CUDA out of memory",
        "the loss became nan in epoch 2, step 5",
        "python scripts/train.py -m method=",
    ):
        assert part in warnings, part
    levels = page.locator(".finding .level").all_inner_texts()
    assert levels == sorted(levels, key=["PROBLEM", "CAUTION", "NOTE"].index)


def test_hostile_names_are_text(visit: Visit) -> None:
    page = visit.page
    link = page.locator("#run-table tbody a", has_text=SCRIPT)
    assert link.inner_text() == SCRIPT
    assert page.locator("img[src=x]").count() == 0
    link.click()
    dialog = page.locator("dialog[open]")
    text = dialog.inner_text()
    assert f"{SCRIPT}\\u202egnp.exe\\x1b[31m\\u2028 & </script>" in text
    assert "</script><script>alert(4)</script><!--" in text
    assert f"name: {SCRIPT}" in (dialog.locator("pre").last.text_content() or "")
    assert dialog.locator("script, img, a, iframe").count() == 0
    assert page.locator("script").count() == 2  # the data and our own
    links = page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert {re.split(r"[-:,]", link)[0] for link in links} <= {
        *("#content", "#warnings", "#summary", "#scores", "#costs", "#paper", "#figures"),
        *("#runs", "#run"),
        "data",
    }


def test_foreign_script_would_not_run(visit: Visit) -> None:
    """The policy is a second wall: even markup that got in could neither run nor fetch."""
    visit.page.evaluate(
        """() => {
          const tag = document.createElement("script");
          tag.textContent = "window.harmed = true";
          document.body.append(tag);
          document.body.insertAdjacentHTML("beforeend",
            '<img src="https://example.invalid/x.png" onerror="window.harmed = true">');
        }"""
    )
    visit.page.wait_for_function("document.images[document.images.length - 1].complete")
    assert visit.page.evaluate("window.harmed") is None
    refused = [text for text in visit.noise if "Content Security Policy" in text]
    assert len(refused) >= 2, "the script and the image"
    assert visit.answers == [visit.address]
    visit.noise.clear()
    visit.requests = visit.answers


def _scores(texts: list[str]) -> list[float]:
    """Return the numbers of cells such as ``97.10%accuracy``."""
    return [float(text.split("%")[0]) for text in texts if text != "\u2013"]


def test_sorting_runs(visit: Visit) -> None:
    page = visit.page
    before = visit.column(3)
    head = page.locator("#run-table th", has_text="score")
    button = head.get_by_role("button")
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    shown = visit.column(3)
    numbers = _scores(shown)
    assert numbers == sorted(numbers, reverse=True)
    assert set(shown[len(numbers) :]) == {"\u2013"}, "runs without a score come last"
    button.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert _scores(visit.column(3)) == sorted(numbers)
    button.press("Enter")
    assert head.get_attribute("aria-sort") == "none"
    assert visit.column(3) == before
    page.locator("#run-table th", has_text="seed").get_by_role("button").click()
    seeds = [int(text) for text in visit.column(2)]
    assert seeds == sorted(seeds, reverse=True)
    assert head.get_attribute("aria-sort") == "none"


def test_sorting_keeps_backbones_apart(visit: Visit) -> None:
    table = visit.page.locator("table.scores").first
    table.locator("th", has_text="digits").get_by_role("button").click()
    parts = table.locator("tbody").evaluate_all(
        "bodies => bodies.map(body => [...body.rows].map(row => row.cells[0].innerText))"
    )
    assert [part[0].partition("\n")[0] for part in parts] == [
        "vit_mini, pretrained 22d74e89",
        "vit_mini, pretrained 22d74e89, PARTIAL DATA",
        "vit_mini, RANDOM WEIGHTS",
    ]
    digits = table.locator("tbody").first.locator("tr:not(.part)")
    values = digits.evaluate_all("rows => rows.map(row => Number(row.cells[1].dataset.value))")
    assert values == sorted(values, reverse=True)
    assert len(values) == 4


def test_filters_and_their_count(visit: Visit) -> None:
    page = visit.page
    total = len(visit.column(0))
    count = page.locator("#run-count")
    assert count.inner_text() == f"{total} runs"
    page.locator("#runs").get_by_label("Search").fill("digits lora")
    assert set(visit.column(1)) == {"mini/digits"}
    assert all("lora" in name for name in visit.column(0))
    page.locator("#runs").get_by_label("Method").select_option("lora r=4")
    assert set(visit.column(0)) == {"lora r=4"}
    page.locator("#runs").get_by_label("Status").select_option("failed")
    assert visit.column(5) == ["failed"]
    assert count.inner_text() == f"1 of {total} runs"
    assert count.get_attribute("aria-live") == "polite"
    page.get_by_role("button", name="Clear").click()
    page.locator("#run-count").get_by_text(f"{total} runs", exact=True).or_(
        page.locator("#run-count", has_text=re.compile(f"^{total} runs$"))
    ).first.wait_for()
    page.locator("#runs").get_by_label("Task").select_option(f"mini/{SCRIPT}")
    assert visit.column(0) == [SCRIPT]


def test_rows_filter(visit: Visit) -> None:
    page = visit.page
    page.get_by_label("Filter rows").fill("seqlora")
    rows = page.locator("table.scores tbody tr:not(.part):visible")
    assert {text.partition(" ")[0] for text in rows.locator("th").all_inner_texts()} == {"seqlora"}
    assert re.fullmatch(r"1 of \d+ rows", page.locator("#row-count").inner_text())


def test_a_run_by_keyboard(visit: Visit) -> None:
    page = visit.page
    link = page.locator("#run-table tbody a", has_text="lora r=4").first
    link.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog[open]")
    dialog.wait_for()
    page.wait_for_url(re.compile(rf"{re.escape(visit.address)}#run-[0-9a-f]{{10}}$"))
    assert dialog.get_attribute("aria-labelledby") == "run-title"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    page.wait_for_url(visit.address)
    assert dialog.count() == 0
    assert link.evaluate("link => link === document.activeElement"), "focus comes back"
    page.keyboard.press("Enter")
    dialog.wait_for()
    dialog.get_by_role("button", name="Close").click()
    page.wait_for_url(visit.address)
    assert dialog.count() == 0


def test_what_a_run_shows(visit: Visit) -> None:
    page = visit.page
    page.locator("#run-table tbody tr", has_text="mini/cells").filter(
        has_text="hydra r=2+2"
    ).filter(has_text="completed").first.locator("a").click()
    dialog = page.locator("dialog[open]")
    text = dialog.inner_text()
    for part in ("completed", "protocol clean", "scored on test, last epoch", "data generated"):
        assert part in text
    for part in ("e9398c8412d691f358de1aec48ed11d89559eeb5", "22d74e899552dbfbbd8f5d", "2.15.0"):
        assert part in text
    assert "rank_sequential: 2" in (dialog.locator("pre").text_content() or "")
    plots = dialog.locator("svg[role=img]")
    assert [p.get_attribute("aria-label").partition(":")[0] for p in plots.all()] == [
        *("training loss", "training accuracy (%)"),
    ]
    for drawing in plots.all():
        box = drawing.bounding_box()
        for label in drawing.locator("text").all():
            inner = label.bounding_box()
            assert inner["x"] >= box["x"] - 0.5, label.text_content()
            assert inner["x"] + inner["width"] <= box["x"] + box["width"] + 0.5


def test_a_failed_run_shows_its_traceback(visit: Visit) -> None:
    page = visit.page
    page.locator("#warnings li", has_text="CUDA out of memory").get_by_role("link").click()
    text = page.locator("dialog[open]").inner_text()
    assert "CUDA out of memory" in text
    assert "RuntimeError: <b>" in text


def test_deep_links(browser: Any, report: Path, visit: Visit) -> None:
    href = visit.page.locator("#run-table tbody a").nth(3).get_attribute("href")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{report.as_uri()}{href}")
    title = page.locator("dialog[open] h2").inner_text()
    assert re.match(r"hydra r=2\+2 \(method\.dropout=.*\), mini/", title), "as its row is called"
    page.goto(f"{report.as_uri()}#run-__proto__")
    page.locator("dialog[open]").wait_for(state="detached")
    context.close()


def test_theme(visit: Visit) -> None:
    page = visit.page
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    page.get_by_role("button", name="Dark theme").press("Enter")
    dark = page.evaluate(back)
    assert dark != light
    page.reload()
    assert page.evaluate(back) == dark, "kept"
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(back) == light


def test_structure_for_screen_readers(visit: Visit) -> None:
    page = visit.page
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    for control in page.locator("input, select").all():
        assert control.evaluate("control => control.labels.length") == 1
    heads = page.locator("thead th").evaluate_all("all => all.map(th => th.scope)")
    assert set(heads) == {"col"}
    unnamed = "rows => rows.filter(row => row.cells[0].tagName !== 'TH').length"
    assert page.locator("tbody tr").evaluate_all(unnamed) == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_looks(browser: Any, report: Path, scheme: Any, tmp_path: Path) -> None:
    size = {"width": 1280, "height": 900}
    visit = Visit(browser, report, viewport=size, color_scheme=scheme)
    page = visit.page
    page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width, "no sideways scroll"
        shot = tmp_path / f"{scheme}-{width}.png"
        page.screenshot(path=shot)
        assert shot.stat().st_size > 20_000
    page.locator("#run-table tbody a", has_text="lora r=4").first.click()
    page.locator("dialog[open] summary").first.click()
    pairs = page.evaluate(CONTRASTS)
    assert len(pairs) > 500, "the page's and the open run's"
    assert [pair for pair in pairs if pair[1] < CONTRAST] == []
    assert visit.noise == []
    visit.context.close()


#: returns the words of an element that a line end breaks, but for between =, comma, point and _
BROKEN = """
(element) => {
  const broken = [], walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, text = node.textContent, range = document.createRange();
    const top = (at) => {
      range.setStart(node, at); range.setEnd(node, at + 1);
      return range.getBoundingClientRect().top;
    };
    for (let at = 1; at < text.length; at += 1) {
      if (/\\w/.test(text[at - 1]) && /\\w/.test(text[at]) && top(at) > top(at - 1) + 5)
        broken.push(text);
    }
  }
  return broken;
}
"""


def test_long_settings_fit_beside_the_numbers(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings that all rows share stand above; labels break between words."""
    # Neither what conf gives nor figures matter here, and both take seconds.
    usual = {"train.epochs": 20, "data.normalization": "backbone", "optimizer.lr": "recipe"}
    monkeypatch.setattr(
        "hydra_peft.cli.defaults.default_settings", lambda origins: dict.fromkeys(origins, usual)
    )
    monkeypatch.setattr("hydra_peft.cli.report._pictures", lambda _: ([], []))
    runs, out = tmp_path / "runs", tmp_path / "report.html"
    changed = {"train.epochs": 2, "data.normalization": "imagenet", "optimizer.lr": 0.002}
    cells = [(m, t, 2) for m in ("lora", "linear", "hydra") for t in ("digits", "cells")]
    for method, task, epochs in [*cells, ("hydra", "shapes_count", 1)]:
        identity = run_record(method, task).method
        method_settings = {f"method.{key}": value for key, value in identity.items()}
        usual |= {k: v for k, v in method_settings.items() if k != "method.name"}
        settings = {**changed, **method_settings, "train.epochs": epochs}
        science = {"method": {"name": method}, "optimizer": {"lr": 0.002}, "train": {"epochs": 2}}
        put(runs, run_record(method, task, settings=settings, science=science), epochs=2)
    write_report(runs, out)
    visit = Visit(browser, out, viewport={"width": 1280, "height": 900})
    table = visit.page.locator("table.scores")
    said = table.locator(".part").inner_text()
    assert "data.normalization=imagenet, optimizer.lr=0.002; train.epochs=2 unless a label" in said
    labels = table.locator("tbody th[scope=row]")
    assert sorted(labels.all_inner_texts()) == [
        "hydra r=2+2",
        "hydra r=2+2 (train.epochs=1)",
        "linear",
        "lora r=4",
    ]
    width, room = table.evaluate("table => [table.scrollWidth, table.parentElement.clientWidth]")
    assert width <= room + 1, "the last column is in sight"
    visit.page.set_viewport_size({"width": 400, "height": 900})
    for label in labels.all():
        assert label.evaluate(BROKEN) == []
    (word,) = table.locator("tbody th[scope=row] .word").all()
    assert word.inner_text() == "(train.epochs=1)"
    assert word.evaluate("word => word.getClientRects()[0].height") < 25, "in one line"
    visit.context.close()


def test_tables_fit_and_their_lines_meet(visit: Visit) -> None:
    page = visit.page
    page.set_viewport_size({"width": 1280, "height": 900})
    width, room = page.locator("#run-table").evaluate(
        "table => [table.scrollWidth, table.parentElement.clientWidth]"
    )
    assert width <= room, "folders are in sight"
    # Chromium draws lines of sticky cells a pixel apart where heights are no whole pixels.
    heights = page.evaluate(
        "() => [...document.querySelectorAll('.scores tr, #run-table tr')]"
        ".map(row => row.getBoundingClientRect().height)"
    )
    assert [height for height in heights if height % 1 and height > 0] == []


def test_rows_of_runs_are_as_tall_as_their_first_columns_on_a_narrow_screen(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 400, "height": 900})
    spare = visit.page.evaluate(
        """() => [...document.querySelectorAll("#run-table tbody tr")].map(row => {
          const range = document.createRange(), top = row.getBoundingClientRect().top;
          const ends = [...row.cells].slice(0, 5).map(cell => {
            range.selectNodeContents(cell);
            return range.getBoundingClientRect();
          });
          const bottom = Math.max(...ends.map(end => end.bottom));
          return [ends[0].top - top, row.getBoundingClientRect().bottom - bottom];
        })"""
    )
    assert len(spare) > 40
    assert max(max(pair) for pair in spare) < 16, "no more than the room around a text"


def test_a_number_of_seeds_stands_beside_its_number(visit: Visit) -> None:
    gaps = visit.page.evaluate(
        """() => [...document.querySelectorAll(".count")].filter(c => c.innerText.trim()).map(c => {
          const ends = (node) => {
            const range = document.createRange();
            range.selectNodeContents(node);
            return range.getBoundingClientRect();
          };
          const cell = c.closest("td"), deviation = cell.querySelector(".deviation");
          const before = deviation.contains(c) ? cell.querySelector(".mean") : deviation;
          return ends(c).left - ends(before).right;
        })"""
    )
    assert gaps
    assert all(0 <= gap < 16 for gap in gaps)


def test_figures_are_as_large_on_a_narrow_screen(visit: Visit) -> None:
    page = visit.page
    page.set_viewport_size({"width": 400, "height": 900})
    for image in page.locator("#figures img").all():
        shown, drawn = image.evaluate("image => [image.clientWidth, image.naturalWidth]")
        assert shown >= drawn > 300
    lines = page.locator("header time").evaluate("time => time.getClientRects().length")
    assert lines == 1, "the date is in one line"
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_costs_begin_in_view_on_a_narrow_screen(visit: Visit) -> None:
    page = visit.page
    page.set_viewport_size({"width": 400, "height": 900})
    cells = page.locator("#costs td:nth-child(2)").all()
    assert cells
    for cell in cells:
        assert cell.evaluate("cell => cell.getBoundingClientRect().right") <= 400


def test_captions_have_the_room_beside_their_pictures(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 1280, "height": 800})
    free = visit.page.evaluate(
        """() => [...document.querySelectorAll(".gallery")].flatMap(gallery => {
            const rows = new Map();
            for (const figure of gallery.children) {
                rows.set(figure.offsetTop, [...(rows.get(figure.offsetTop) ?? []), figure]);
            }
            const right = gallery.getBoundingClientRect().right;
            return [...rows.values()].map(
                row => right - Math.max(...row.map(one => one.getBoundingClientRect().right)));
        })"""
    )
    assert free
    assert max(free) < 2
    widest = "all => Math.max(...all.map(one => one.clientWidth))"
    assert visit.page.locator(".gallery figcaption").evaluate_all(widest) <= 45 * 16


def test_print_and_no_script(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#run-table tbody tr").count() > 40
    assert not page.locator("#run-filter").is_visible()
    assert "need JavaScript" in page.locator("noscript").inner_text()
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    context.close()


def test_paper_is_white_whatever_the_theme(browser: Any, report: Path) -> None:
    page = browser.new_page(color_scheme="dark")
    page.goto(report.as_uri())
    text = "getComputedStyle(document.body).color"
    shown = page.evaluate(text)
    for theme in ("", "dark"):
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        page.emulate_media(media="screen", color_scheme="dark")
        assert page.evaluate(text) == shown
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate(text) == "rgb(27, 29, 32)"
    page.close()
