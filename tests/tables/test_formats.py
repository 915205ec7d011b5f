"""Sheets in every format: marks, groups, and texts that somebody else wrote."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from hydra_peft.tables.formats import FORMATS, render, to_csv, to_markdown
from hydra_peft.tables.html import breakable
from hydra_peft.tables.sheet import BEST, SECOND, Sheet, ranks

HOSTILE = [
    "a|b||c",
    "two\nlines\r\nand\u2028more",
    "<script>alert(1)</script>",
    r"\input{/etc/passwd} $x_1^2$ 50% #&~{}",
    "\x1b[31mred\x00\x07\u202e",
    "[click](javascript:alert(1)) **bold** `code`",
    "=cmd|' /C calc'!A0",
    "\ud800 lone",
    "x" * 100_000,
    "[4pt] bracket",
]


def hostile() -> Sheet:
    frame = pd.DataFrame(
        {"row": HOSTILE, "</th><b>": ["1.0"] * len(HOSTILE), "p|q\n_%": ["-2.0"] * len(HOSTILE)},
        dtype=object,  # pyarrow, where it is installed, holds no half of a character
    )
    groups = {"</th><b>": "<i>|g\n", "p|q\n_%": "<i>|g\n"}
    marks = {(0, "row"): BEST, (1, "p|q\n_%"): SECOND}
    return Sheet(HOSTILE[0] * 9, frame, groups, marks, [2, 3], HOSTILE)


class Tags(HTMLParser):
    """Collects the tags of a document and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not any(name.startswith("on") or name in ("href", "src") for name, _ in attrs)
        if tag not in ("meta", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_ranks_share_marks_and_need_company() -> None:
    assert ranks([1.0, 3.0, 2.0, None, 3.0]) == [None, BEST, SECOND, None, BEST]
    assert ranks([1.0, 2.0]) == [None, BEST]
    assert ranks([None, 2.0]) == [None, None]
    assert ranks([]) == []


@pytest.mark.parametrize("form", FORMATS)
def test_whatever_texts_say_files_can_be_written(form: str) -> None:
    sheet = hostile()
    for text in render([sheet], lambda: sheet.cells, HOSTILE, form).values():
        text.encode()
        assert not [c for c in text if not c.isprintable() and c != "\n"]
        assert len(text) < 400_000


def test_hostile_texts_are_cells_of_markdown() -> None:
    text = to_markdown(hostile())
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == len(HOSTILE) + 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {4}
    assert "<script" not in text
    assert "](" not in text.replace(r"]\(", "")
    assert "**a\\|b\\|\\|c**" in text
    assert "<u>-2.0</u>" in text


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("a & b", "a & b"),
        ("__init__", r"\_\_init\_\_"),
        ("sprites_location", "sprites_location"),
        ("~gone~ $x$", r"\~gone\~ \$x\$"),
    ],
)
def test_a_name_is_read_in_markdown_as_it_is(name: str, cell: str) -> None:
    text = to_markdown(Sheet("table", pd.DataFrame({"row": [name], "task": ["1.0"]}), below=[name]))
    assert f"| {cell} " in text
    assert "- &lt;" not in text


def test_latex_prints_two_hyphens_and_says_what_other_letters_need() -> None:
    frame = pd.DataFrame({"row": ["a---b -5"], "task": ["1.0"]})
    (plain,) = render([Sheet("läufe", frame)], pd.DataFrame, [], "latex").values()
    assert "a-{}-{}-b $-$5" in plain
    assert "lualatex" not in plain
    (other,) = render([Sheet("日本 \U0001f436", frame)], pd.DataFrame, [], "latex").values()
    assert "needs lualatex or xelatex, with a font that has 日 本 \U0001f436" in other


def test_hostile_texts_are_cells_of_csv() -> None:
    back = list(csv.reader(io.StringIO(to_csv(hostile().cells))))
    assert len(back) == len(HOSTILE) + 1
    assert {len(line) for line in back} == {3}
    assert not any(cell.startswith(("=", "+", "@")) for line in back for cell in line)
    assert back[7][0].startswith("'=cmd")


def test_hostile_texts_are_cells_of_html() -> None:
    (text,) = render([hostile()], pd.DataFrame, HOSTILE, "html").values()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.seen <= {
        *("html", "head", "meta", "title", "style", "body", "section", "div", "table", "caption"),
        *(
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "ul",
            "li",
            "p",
            "strong",
            "u",
            "code",
            "wbr",
            "span",
        ),
    }
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<strong>a|b||c</strong>" in text
    assert "<u>-2.0</u>" in text
    assert 'colspan="2"' in text


def test_hostile_texts_are_cells_of_latex() -> None:
    (text,) = render([hostile()], pd.DataFrame, [], "latex").values()
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    # A text of 200 letters has several lines, so that there is room for the others beside it.
    assert len(body) == len(HOSTILE) + 2
    assert [len(re.findall(r"(?<!\\)&", line)) for line in body] == [1, *[2] * (len(HOSTILE) + 1)]
    assert r"\input" not in text
    assert re.search(r"(?<!\\)[#~^<>]", text.replace(r"\width>\linewidth", "")) is None
    assert len(re.findall(r"(?<!\\)[{]", text)) == len(re.findall(r"(?<!\\)[}]", text))
    assert re.search(r"(^|\\\\)\s*[\[*]", text, re.MULTILINE) is None
    assert r"\textbf{a\textbar{}b\textbar{}\textbar{}c}" in text
    assert text.count(r"\cmidrule(lr){2-3}") == 1


def test_long_texts_are_cut_and_say_so() -> None:
    frame = pd.DataFrame({"row": ["y" * 1000]})
    assert f"| {'y' * 199}… |" in to_markdown(Sheet("t", frame))


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("lora r=4", "lora r=4"),
        ("weight_decay=[0,1]", "{weight_|decay=|[0,1]}"),
        ("lr=1e-05, <b>", "(lr=1e-05,) &lt;b&gt;"),
        ("scheduler.min_lr=1e-05", "{scheduler.|min_|(lr=1e-05)}"),
    ],
)
def test_words_of_names_may_be_broken_at_their_marks_alone(text: str, broken: str) -> None:
    tags = {"|": "<wbr>", "{": '<span class="word">', "(": '<span class="whole">'}
    tags |= {"}": "</span>", ")": "</span>"}
    assert breakable(text) == "".join(tags.get(character, character) for character in broken)


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
def test_rows_whose_names_are_cut_are_told_apart_and_the_cut_is_noted(form: str) -> None:
    grids = [f"lora (tuned, {'protocol.grid.method.rank=[1,2], ' * 9}seed={n})" for n in (1, 2)]
    sheet = Sheet("t", pd.DataFrame({"method": grids, "digits": ["1.0", "2.0"]}))
    text = next(iter(render([sheet], pd.DataFrame, [], form).values()))
    assert set(re.findall(r"[12]\)", text)) == {"1)", "2)"}
    assert "stands for what is cut of texts of more than 200 characters; csv has them" in text
    short = Sheet("t", pd.DataFrame({"method": ["lora"], "digits": ["1.0"]}))
    assert "is cut" not in next(iter(render([short], pd.DataFrame, [], form).values()))


@pytest.mark.parametrize("rows", [3, 25, 44, 45, 46, 50, 90, 150])
@pytest.mark.parametrize("sentences", [0, 1, 6])
def test_latex_has_no_caption_without_a_table(rows: int, sentences: int) -> None:
    names = [f"row {number}" for number in range(rows)]
    sheet = Sheet(
        "t",
        pd.DataFrame({"method": names, "digits": ["1.0"] * rows}),
        above=["All rows: train.epochs=1."] * sentences,
        below=["Cells: mean over seeds. " * 8] * sentences,
    )
    (text,) = render([sheet], pd.DataFrame, [], "latex").values()
    floats = text.split(r"\begin{table}")[1:]
    assert all(one.count(r"\caption") == 1 <= one.count(r"\toprule") for one in floats)
    assert re.findall(r"row \d+", text) == names


def test_html_stands_alone() -> None:
    frame = pd.DataFrame({"row": ["a"], "b": ["1"]})
    sheet = Sheet("t", frame, below=["run `python x.py`"])
    (text,) = render([sheet], pd.DataFrame, [], "html").values()
    assert text.startswith("<!doctype html>")
    assert "<code>python x.py</code>" in text
    assert not re.search(r"(https?:)?//\w", text)
    assert "<script" not in text
