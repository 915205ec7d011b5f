"""The paper's tables in the report: paper, measured and difference stand under each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from study import put
from vtab1k_records import VTAB1K, vtab_record

from hydra_peft.cli.report import write_report


def test_side_by_side(browser: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pictures of nineteen tasks take long, and have tests of their own.
    monkeypatch.setattr("hydra_peft.cli.report._pictures", lambda _: ([], []))
    science = {"optimizer": {"lr": 0.001}, "train": {"epochs": 100}}
    identity = vtab_record("Hydra", "dtd", 60.0).method
    settings = {f"method.{key}": value for key, value in identity.items()}
    for number, task in enumerate(VTAB1K.tasks):
        one = vtab_record("Hydra", task, 60.0 + number, science=science, settings=settings)
        put(tmp_path / "runs", one)
    out = tmp_path / "report.html"
    write_report(tmp_path / "runs", out)
    page = browser.new_page()  # type: ignore[attr-defined]
    page.goto(out.as_uri())
    table = page.locator("#paper table").last
    assert page.locator("#paper h3").last.inner_text().startswith("Table 8 of the paper")
    kinds = table.locator("tbody").last.locator("tr")
    assert kinds.evaluate_all("rows => rows.map(row => row.className)") == [
        *("paper", "measured", "difference"),
    ]
    labels = kinds.locator("th").all_inner_texts()
    assert labels == ["Hydra (paper)", "Hydra (measured)", "difference"]
    heads = table.locator("thead th button").all_inner_texts()
    cells = [
        row.locator("td").all_inner_texts()[heads.index("CIFAR100") - 1] for row in kinds.all()
    ]
    assert cells == ["72.7", "60.0", "-12.7"]
    table.locator("thead button", has_text="CIFAR100").click()
    first = table.locator("tbody").first.locator("th").all_inner_texts()
    assert first[0] == "LoRA (paper)", "72.86: rows move together with what stands beside them"
    page.close()
