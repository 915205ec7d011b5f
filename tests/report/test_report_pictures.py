"""A figure of the room next door, drawn into a page."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from study import grid

import hydra_peft.figures
from hydra_peft.cli.report import write_report
from hydra_peft.errors import UserError
from hydra_peft.figures import CollectionFigure, FigureData
from hydra_peft.figures._style import picture
from hydra_peft.report import pictures
from hydra_peft.report.build import build_page
from hydra_peft.report.missing import Options
from hydra_peft.report.page import render_page
from hydra_peft.report.pictures import Picture, draw, embed
from hydra_peft.runs.collection import Collection, collect


def made(data: FigureData) -> Any:
    drawn = picture(3.0, 2.0)
    drawn.add_subplot().plot(data.table["seed"], data.table["accuracy"], "o")
    return drawn


def numbers(collection: Collection, _settings: Any) -> FigureData:
    rows = [{"seed": r.seed, "accuracy": r.score} for r in collection.records]
    return FigureData({"": pd.DataFrame(rows)}, "measured on mini, <protocol clean>")


FIGURE = CollectionFigure(name="dots", title="Accuracy <by> seed", plot=made, data=numbers)


def test_drawn_shown_and_saved(browser: Any, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    count = grid(runs, seeds=1, tasks=1)
    collection = collect(runs)
    drawn = draw(FIGURE, collection)
    page = build_page(
        runs,
        collection,
        options=Options({}, frozenset()),
        sides=[],
        pictures=[drawn],
        notes=[],
        undrawn=[],
        fill=None,
    )
    out = tmp_path / "page.html"
    out.write_text(render_page(page))
    context = browser.new_context()
    shown = context.new_page()
    noise: list[str] = []
    shown.on("console", lambda message: noise.append(message.text))
    shown.goto(out.as_uri())
    image = shown.locator("#figures img")
    assert (
        image.evaluate("async image => { await image.decode(); return image.naturalWidth; }") > 100
    )
    assert image.get_attribute("alt").startswith("Accuracy <by> seed. measured on mini, <protocol")
    shown.locator("#figures summary").click()
    with shown.expect_download() as download:
        shown.get_by_role("link", name=f"Save all {count} rows as CSV").click()
    saved = download.value.path().read_text()
    assert download.value.suggested_filename == "dots.csv"
    rows = list(csv.reader(io.StringIO(saved)))
    assert rows[0] == ["seed", "accuracy"]
    assert sorted(float(row[1]) for row in rows[1:]) == sorted(
        record.score for record in collection.records
    )
    listed = shown.locator("#figures table tbody tr").all_inner_texts()
    assert [line.split() for line in listed] == rows[1:]
    assert noise == []
    context.close()


def test_too_large_for_a_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    grid(tmp_path, seeds=1, tasks=1)
    monkeypatch.setattr(pictures, "MAX_SVG", 100)
    with pytest.raises(UserError, match=r"figures\.py figure=dots"):
        draw(FIGURE, collect(tmp_path))
    many = "seed\n" + "\n".join(str(i) for i in range(pictures.MAX_CSV))
    embedded = embed(Picture("t", "<svg/>", many, "c", "n"))
    assert embedded.file is None
    assert (embedded.count, len(embedded.rows)) == (pictures.MAX_CSV, pictures.MOST_ROWS)


def test_pictures_know_what_settings_are_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = {"train.epochs": 20}
    monkeypatch.setattr(
        "hydra_peft.cli.defaults.default_settings", lambda origins: dict.fromkeys(origins, usual)
    )
    known: list[Any] = []

    def noted(collection: Collection, settings: Any) -> FigureData:
        known.append(collection.defaults)
        return numbers(collection, settings)

    figure = CollectionFigure(name="dots", title="Dots", plot=made, data=noted)
    monkeypatch.setattr(hydra_peft.figures, "all_figures", lambda: [figure])
    grid(tmp_path / "runs", seeds=1, tasks=1)
    write_report(tmp_path / "runs", tmp_path / "page.html")
    assert [set(map(str, found.values())) for found in known] == [{str(usual)}]


def test_what_rebuilds_models_is_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> FigureData:
        raise AssertionError("rebuilt")

    slow = CollectionFigure(name="slow", title="Slow", plot=made, data=refuse, rebuilds=True)
    monkeypatch.setattr(hydra_peft.figures, "all_figures", lambda: [slow, FIGURE])
    runs = tmp_path / "runs"
    grid(runs, seeds=1, tasks=1)
    write_report(runs, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "Accuracy &lt;by&gt; seed" in text
    assert "Slow" not in text
