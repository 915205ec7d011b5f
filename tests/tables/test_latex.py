"""LaTeX that compiles, whatever the labels are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from hydra_peft.tables.latex import escape, to_latex
from hydra_peft.tables.sheet import Sheet

NASTY = r"a_b & 50% #1 {x} ~ ^ \z <|> ± `+a=b_c`"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("hydra r=2+2 (train.epochs=50)", "hydra r=2+2 (train.epochs=50)"),
        ("vit_mini", r"vit\_mini"),
        ("50% & #1", r"50\% \& \#1"),
        ("{$}", r"\{\$\}"),
        (r"\~^", r"\textbackslash{}\textasciitilde{}\textasciicircum{}"),
        ("<|>", r"\textless{}\textbar{}\textgreater{}"),
        ("70.5 ± 0.7", r"70.5 $\pm$ 0.7"),
        ("-2.2", "$-$2.2"),
        ("-", "-"),
        ("`+experiment=a_b`", r"\texttt{+experiment=a\_b}"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def nasty_table() -> str:
    frame = pd.DataFrame([[NASTY, "1.0"], ["x", "-1.0"], ["y", "-"]], columns=["a_%", "b_c"])
    return to_latex(Sheet(NASTY, frame, rules_after=[1, 2], below=[NASTY, "end"]))


def test_rules_and_cells() -> None:
    lines = nasty_table().splitlines()
    first = lines.index(r"\toprule")
    assert lines[first - 1] == r"\begin{tabular}{lr}"
    assert lines[first + 1 : first + 3] == [r"a\_\% & b\_c \\", r"\midrule"]
    assert lines[first + 4 : first + 8] == [
        r"x & $-$1.0 \\",
        r"\midrule",
        r"y & - \\",
        r"\bottomrule",
    ]
    # Every special character is either ours or escaped, and braces and environments close.
    text = "\n".join(lines)
    assert re.search(r"(?<!\\)[#~^±<>]", text) is None
    assert len(re.findall(r"(?<!\\){", text)) == len(re.findall(r"(?<!\\)}", text))
    assert re.findall(r"\\begin{(\w+)}", text) == re.findall(r"\\end{(\w+)}", text)[::-1]
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles(tmp_path: Path) -> None:
    (tmp_path / "table.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\usepackage{graphicx}\n"
        f"\\begin{{document}}\n{nasty_table()}\\end{{document}}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
