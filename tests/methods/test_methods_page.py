"""docs/methods.md says of each method what the code counts and merges."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from stock_vit import small_vit, vit_b16
from test_matrix import FITTING, UNMERGEABLE

import hydra_peft
from hydra_peft.methods import method_names

#: of one method, by what tables call them
VARIANTS = {
    "hydra_mlp": ("hydra", "method.targets=[mlp.fc2]"),
    "hydra_msa": ("hydra", "method.targets=[attn.proj]"),
}


def rows(root: Path) -> dict[str, tuple[str, str]]:
    """Return count and merging, as the page has them, by method."""
    text = (root / "docs" / "methods.md").read_text()
    found = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([\d,]+) \| ([^|]+) \|", text, re.MULTILINE)
    return {name: (count, merges) for name, count, merges in found}


def test_every_method_has_a_row_and_a_paragraph(root: Path) -> None:
    text = (root / "docs" / "methods.md").read_text()
    assert sorted(rows(root)) == method_names()
    for name in method_names():
        assert re.search(rf"^\*\*[^\n]*\b{name}\*\*", text, re.MULTILINE), name


@pytest.mark.parametrize("name", method_names())
def test_counts_and_merging_are_the_codes(root: Path, name: str) -> None:
    count, merges = rows(root)[name]
    model = vit_b16()
    hydra_peft.inject(model, name)
    assert f"{hydra_peft.count_parameters(model).adapter:,}" == count
    assert merges.startswith("no:") == (name in UNMERGEABLE)
    small = small_vit()
    without = not hydra_peft.inject(small, name, **FITTING.get(name, {})).layers
    assert (merges == "nothing to merge") == without


def test_compared_rows_are_those_of_the_measured_table(root: Path) -> None:
    text = (root / "docs" / "methods.md").read_text()
    told = re.findall(
        r"^\| `(\w+)` \| (\**)([\d.]+) \[([\d.]+), ([\d.]+)\]\** "
        r"\| ([^|]*) \| ([\d,]+) \| ([\d,]+) \|",
        text,
        re.MULTILINE,
    )
    with (root / "results" / "mini" / "methods" / "costs.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(told) == len(lines) == len(method_names()) + len(VARIANTS)
    for (name, bold, *numbers, behind, count, size), line in zip(told, lines, strict=True):
        method, said = VARIANTS.get(name, (name, "(tuned, protocol.grid."))
        assert line["method"].partition(" ")[0] == method
        assert said in line["method"]
        measured = [float(line[key]) for key in ("mean", "ci95_low", "ci95_high")]
        assert [f"{value:.1f}" for value in measured] == numbers
        best = line["from_best"] == ""
        assert bool(bold) == (best or line["alike"] == "True")
        assert behind.partition(" ")[0] == ("-" if best else f"{float(line['from_best']):+.1f}")
        assert f"{float(line['adapter_parameters']):,.0f}" == count
        assert f"{float(line['adapter_bytes']) / 1e3:,.0f}" == size


def test_the_column_of_a_pretrained_backbone_is_that_of_its_table(root: Path) -> None:
    text = (root / "docs" / "methods.md").read_text()
    told = re.findall(r"^\| `(\w+)` \|.* \| ([\d.]+ \[[\d., ]+\]) \|$", text, re.MULTILINE)
    with (root / "results" / "real" / "methods.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    measured = {}
    variants = {"attn.proj": "hydra_msa", "mlp.fc2": "hydra_mlp"}
    for line in lines:
        targets = re.search(r"\bmethod.targets=\[([\w.]+)\]", line["method"])
        name = variants[targets[1]] if targets else line["method"].partition(" ")[0]
        mean, low, high = (float(line[key]) for key in ("mean", "ci95_low", "ci95_high"))
        measured[name] = f"{mean:.1f} [{low:.1f}, {high:.1f}]"
        assert (line["task"], line["seeds"]) == ("elpv", "3")
    assert dict(told) == measured
