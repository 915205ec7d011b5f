"""Sheets as one HTML document that stands alone: no script, nothing fetched, all texts escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from hydra_peft.tables.sheet import BEST, SECOND, Sheet, cell_text, line_text

#: characters of a label from which on it has more than one line
LONG = 40

_TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ tables[0].title if tables else "hydra_peft" }}</title>
<style>
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 110rem; padding: 0 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap;
  border-block: 2px solid; }
caption { font-weight: 600; padding: .5rem 0; text-align: left; white-space: normal; }
th, td { padding: .2rem .4rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
thead th { vertical-align: bottom; white-space: normal; }
tbody th.long { min-width: 17rem; white-space: normal; }
caption > div { left: 0; max-width: calc(100vw - 2rem); position: sticky; width: max-content; }
.word { display: inline-block; }
.whole { white-space: nowrap; }
@media (min-width: 40.01rem) { .short wbr { display: none; } }
@media (max-width: 40rem) {
  thead th { white-space: nowrap; }
  tbody th, tbody th.long { max-width: 11rem; min-width: 8rem; white-space: normal; }
  tbody th:has(.word) { min-width: 11rem; }
}
thead tr:last-child th, tr.rule > * { border-bottom: 1px solid; }
th[colspan] { border-bottom: 1px solid; text-align: center; }
tbody th { font-weight: 400; }
tr > :first-child { background: Canvas; left: 0; position: sticky; }
caption p { font-weight: 400; margin: .2rem 0; }
ul { max-width: 60rem; padding-left: 1.2rem; }
</style>
</head>
<body>
{% for table in tables %}
<section>
<div class="wide" tabindex="0" role="region" aria-label="{{ table.title }}">
<table>
<caption><div>{{ table.title }}
{%- for line in table.above %}<p>{{ line }}</p>{% endfor %}</div></caption>
<thead>
{% if table.groups %}
<tr>{% for name, count in table.groups %}
{% if name %}<th scope="colgroup" colspan="{{ count }}">{{ name }}</th>{% else %}
{% for _ in range(count) %}<td></td>{% endfor %}{% endif %}
{% endfor %}</tr>
{% endif %}
<tr>{% for name in table.columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr>
</thead>
<tbody>
{% for row in table.rows %}
<tr{% if row.rule %} class="rule"{% endif %}>
{#- #}<th scope="row" class="{{ row.length }}">{{ row.cells[0] }}</th>
{%- for cell in row.cells[1:] %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if table.below %}
<ul>
{% for line in table.below %}
<li>{{ line }}</li>
{% endfor %}
</ul>
{% endif %}
</section>
{% endfor %}
{% for note in notes %}
<p>note: {{ note }}</p>
{% endfor %}
</body>
</html>
"""


def to_html(sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    """Return one document with all ``sheets`` and, below them, ``notes``."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE).render(
        tables=[_table(sheet) for sheet in sheets], notes=[_sentence(note) for note in notes]
    )


def _table(sheet: Sheet) -> dict[str, Any]:
    columns = [str(column) for column in sheet.cells.columns]
    over = groupby(sheet.groups.get(column, "") for column in columns)
    rows = [
        {
            "cells": [
                _cell(text, sheet.marks.get((i, c))) for c, text in zip(columns, row, strict=True)
            ],
            "length": "long" if len(row[0]) > LONG else "short",
            "rule": i in sheet.rules_after,
        }
        for i, row in enumerate(sheet.cells.itertuples(index=False, name=None))
    ]
    return {
        "title": line_text(sheet.title),
        "groups": [(cell_text(name), len(list(members))) for name, members in over]
        if sheet.groups
        else [],
        "columns": [cell_text(column) for column in columns],
        "rows": rows,
        "above": [_sentence(line) for line in sheet.above],
        "below": [_sentence(line) for line in sheet.below],
    }


#: characters that fit into the narrowest column
_FITTING = 14


def breakable(text: str, fitting: int = _FITTING) -> Markup:
    """Return ``text``, escaped, with places where a narrow column may break it beside spaces.

    Words of more than ``fitting`` characters have some, at their punctuation; such a word is of the
    class ``word``, a box of its own: it goes to a line of its own before it is broken.
    """
    box = Markup('<span class="word">{}</span>')
    words = []
    for word in text.split(" "):
        parts = re.split(r"(?<=[=,._/+])(?=[^\s\d=,._/+])", word)
        broken = Markup("<wbr>").join(map(_number_kept, parts))
        words.append(box.format(broken) if len(word) > fitting else _number_kept(word))
    return Markup(" ").join(words)


def _number_kept(part: str) -> Markup:
    """Return ``part``, escaped; a browser would break 1e-05 behind its hyphen."""
    short = re.search(r"\de-\d", part) and len(part) <= _FITTING
    return Markup('<span class="whole">{}</span>').format(part) if short else escape(part)


def _cell(text: str, mark: int | None) -> Markup:
    escaped = breakable(cell_text(text))
    tags = {BEST: Markup("<strong>{}</strong>"), SECOND: Markup("<u>{}</u>")}
    return tags[mark].format(escaped) if mark in tags else escaped


def _sentence(text: str) -> Markup:
    """Return a sentence with its `code` as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(line_text(text)))))
