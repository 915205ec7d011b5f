"""LaTeX that compiles and can be read, whatever the labels are."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from hydra_peft.tables.formats import render
from hydra_peft.tables.latex import escape, to_latex
from hydra_peft.tables.sheet import BEST, SECOND, Sheet

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
        ("\u2212", "$-$"),
        ("`+experiment=a_b`", r"\texttt{+experiment=a\_b}"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


def nasty_table() -> str:
    frame = pd.DataFrame([[NASTY, "1.0"], ["x", "-1.0"], ["y", "-"]], columns=["a_%", "b_c"])
    marks = {(0, "a_%"): BEST, (1, "b_c"): SECOND}
    above, below = [NASTY], [NASTY, "end"]
    return to_latex(Sheet(NASTY, frame, {}, marks, [1, 2], above=above, below=below), "nasty")


def wide_table(tasks: int, rows: int) -> Sheet:
    """A table as of ``tasks`` tasks, with a label that is as long as two lines."""
    labels = ["hydra r=2+2 (method.targets=[attn.proj], data.normalization=imagenet)"]
    labels += [f"lora r={i}" for i in range(1, rows)]
    cells = {f"task_{i}": ["70.1 ± 0.7"] * rows for i in range(tasks)}
    frame = pd.DataFrame({"method": labels, **cells, "parameters without head": ["1"] * rows})
    groups = {f"task_{i}": "natural" if i < 7 else "structured" for i in range(tasks)}
    return Sheet("wide", frame, groups, {(1, "task_3"): BEST}, below=["the end"])


def test_more_rows_than_a_page_has_are_tables_below_each_other() -> None:
    frame = pd.DataFrame({"row": [f"row {i}" for i in range(120)], "b": ["1"] * 120})
    text = to_latex(Sheet("t", frame, rules_after=[9]), "t")
    pages = text.split(r"\begin{table}")[1:]
    found = [re.findall(r"row (\d+) &", page) for page in pages]
    assert [number for page in found for number in page] == [str(i) for i in range(120)]
    assert max(map(len, found)) < 52
    assert text.count(r"\label") == 1


def test_a_word_that_no_column_has_room_for_is_broken() -> None:
    frame = pd.DataFrame({"row": ["method_" * 12 + " (train.epochs=1)", "x"], "b": ["1", "2"]})
    (line,) = (x for x in to_latex(Sheet("t", frame), "t").splitlines() if "epochs" in x)
    assert max(map(len, re.findall(r"[a-z_]+", line.replace("\\_", "_")))) == 35  # of at most 36
    assert "(train.epochs=1)" in line


def test_numbers_and_words_of_overrides_stay_whole() -> None:
    said = "protocol.grid.scheduler.period_epochs=[null,0.001],nesterov=[false,true]"
    frame = pd.DataFrame({"row": [f"lora ({said})", "x"], "b": ["1", "2"]})
    text = to_latex(Sheet("t", frame), "t").replace("\\_", "_")
    for whole in ("0.001]", "nesterov=", "false,", "epochs=", "[null,"):
        assert whole in text


def test_rules_and_cells() -> None:
    text = nasty_table()
    lines = text.splitlines()
    first = lines.index(r"\toprule")
    assert lines[first - 1] == r"\begin{tabular}{lr}"
    assert lines[first + 1 : first + 3] == [r"a\_\% & b\_c \\", r"\midrule"]
    assert lines[first + 4 : first + 8] == [
        r"x & \underline{$-$1.0} \\",
        r"\midrule",
        r"y & - \\",
        r"\bottomrule",
    ]
    assert lines[first + 3].startswith(r"\textbf{")
    # Every special character is either ours or escaped, and braces and environments close.
    assert re.search(r"(?<!\\)[#~^±<>]", text.replace(r"\width>\linewidth", "")) is None
    assert len(re.findall(r"(?<!\\){", text)) == len(re.findall(r"(?<!\\)}", text))
    open_ones = []
    for what, name in re.findall(r"\\(begin|end){(\w+)}", text):
        if what == "begin":
            open_ones.append(name)
        else:
            assert open_ones.pop() == name
    assert open_ones == []
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0


def test_each_table_has_a_caption_and_a_label_of_its_own() -> None:
    frame = pd.DataFrame({"row": ["a"], "b": ["1"]})
    sheets = [Sheet("First: 1/2", frame), Sheet("x", frame, name="First 1_2"), Sheet("y", frame)]
    text = render(sheets, pd.DataFrame, ["of all\n\\input{x}"], "latex")["tex"]
    found = re.findall(r"\\caption{(.*)}\n\\label{(.*)}", text)
    labels = ["tab:first-1-2", "tab:first-1-2-2", "tab:y"]
    assert found == list(zip(["First: 1/2", "x", "y"], labels, strict=True))
    # What is said of all tables stands in no text: it is a comment, of one line.
    after = [line for line in text.splitlines() if "of all" in line or "input" in line]
    assert after == [r"% note: of all \textbackslash{}input\{x\}"]


def test_type_is_not_shrunk_by_many_columns() -> None:
    """Whatever the number of tasks, no line holds more letters than the text's width does."""
    lines = to_latex(wide_table(19, 4), "wide").splitlines()
    starts = [at for at, line in enumerate(lines) if line == r"\toprule"]
    assert len(starts) > 1
    titles: list[str] = []
    for at in starts:
        head = next(line for line in lines[at:] if line.startswith("method & "))
        titles += re.findall(r"task\\_\d+", head)
        rows = [line for line in lines[at : lines.index(r"\bottomrule", at)] if "lora r=1" in line]
        assert len(rows[0].replace(r"$\pm$", "±").replace(r"\textbf", "")) <= 84
    assert titles == [rf"task\_{i}" for i in range(19)]
    # It is never scaled up, and down only where a single cell is too wide.
    scaled = [line for line in lines if "resizebox" in line]
    assert set(scaled) == {r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"}
    label = r"\begin{tabular}[t]{@{}l@{}}hydra r=2+2"
    assert all(any(line.startswith(label) for line in lines[at:]) for at in starts)


def test_what_does_not_fit_on_a_page_goes_on_in_a_table_of_the_same_number() -> None:
    text = to_latex(wide_table(19, 30), "wide")
    floats = text.count(r"\begin{table}")
    assert floats > 1
    assert text.count(r"\label{tab:wide}") == 1
    assert text.count(r"\addtocounter{table}{-1}") == floats - 1
    assert text.count(r"\caption{wide}") == 1
    assert text.count(r"\caption[]{wide (continued)}") == floats - 1
    assert text.index("the end") > text.rindex(r"\begin{table}")


def test_headings_over_columns_take_room_on_a_page() -> None:
    headed = dataclasses.replace(wide_table(6, 18), below=[])
    bare = dataclasses.replace(headed, groups={}, rules_after=[0])
    pages = [to_latex(sheet, "t").count(r"\begin{table}") for sheet in (bare, headed)]
    assert pages == [1, 2]


def test_many_columns_of_few_rows_become_lines() -> None:
    cells = {f"task_{i}": ["70.1 ± 0.7", "71.0"] for i in range(19)}
    frame = pd.DataFrame({"method": ["lora r=4", "hydra"], **cells})
    text = to_latex(Sheet("turned", frame, marks={(1, "task_3"): BEST}), "turned")
    assert text.count(r"\toprule") == 1
    assert " & lora r=4 & hydra \\\\" in text.splitlines()
    assert r"task\_3 & 70.1 $\pm$ 0.7 & \textbf{71.0} \\" in text
    assert len(re.findall(r"^task", text, re.MULTILINE)) == 19
    # Rows that are called alike could not be told apart as columns.
    alike = frame.assign(method=["a", "a"])
    assert to_latex(Sheet("alike", alike), "alike").count(r"\toprule") > 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles(tmp_path: Path) -> None:
    sheets = (wide_table(19, 30), wide_table(19, 12))
    tables = nasty_table() + "".join(to_latex(one, f"wide{i}") for i, one in enumerate(sheets))
    (tmp_path / "table.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\usepackage{graphicx}\n"
        f"\\begin{{document}}\n{tables}\\end{{document}}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert b"too large for page" not in done.stdout
