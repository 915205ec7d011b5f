"""The whole page: views into templates, style and script inside, nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hydra_peft.plain_text import rounded
from hydra_peft.report.costs import CostTable
from hydra_peft.report.embedding import hash_source, script_json
from hydra_peft.report.findings import Finding
from hydra_peft.report.mistakes import EmbeddedMistakes
from hydra_peft.report.paper import PaperView
from hydra_peft.report.pictures import EmbeddedPicture
from hydra_peft.report.plain import plain
from hydra_peft.report.run_lines import RunLine
from hydra_peft.report.scores import MISSING, ScoreTable
from hydra_peft.report.summary import Fact, Leader
from hydra_peft.tables.html import breakable

_HERE = Path(__file__).resolve().parent
#: characters of a sentence or a command; names have fewer, see :data:`plain.MAX_TEXT`
_MAX_PROSE = 6000
#: characters of a word that a line of the narrowest page holds
_FITTING = 28


@dataclass(frozen=True)
class Page:
    """Content of a report's page.

    Attributes:
        written: when, for the head of the page.
        source: the folder of the runs, as the user named it.
        statuses: number of runs by status.
        details: what runs are opened from; see :func:`~hydra_peft.report.details.run_details`.
    """

    written: str
    source: str
    statuses: Mapping[str, int]
    findings: list[Finding]
    facts: list[Fact]
    leaders: list[Leader]
    scores: list[ScoreTable]
    costs: list[CostTable]
    paper: list[PaperView]
    pictures: list[EmbeddedPicture]
    mistakes: EmbeddedMistakes | None
    runs: list[RunLine]
    details: dict[str, Any]


def render_page(page: Page) -> str:
    """Return ``page`` as one HTML document.

    Every text that a template prints goes through :func:`plain` and is escaped. The content
    security policy lets the page run its own script alone and fetch nothing.
    """
    style = (_HERE / "templates" / "report.css").read_text(encoding="utf-8")
    script = (_HERE / "templates" / "report.js").read_text(encoding="utf-8")
    policy = "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {hash_source(style)}",
            f"script-src {hash_source(script)}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    html = (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            policy=Markup(policy),
            style=Markup(style),
            script=Markup(script),
            data=script_json(page.details),
        )
    )
    # Paths may hold halves of characters, which have no UTF-8.
    return re.sub("[\ud800-\udfff]", "\ufffd", html)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters["prose"] = _prose
    environment.filters["breakable"] = lambda text, *fitting: breakable(plain(text), *fitting)
    environment.filters["duration"] = _duration
    environment.filters["rounded"] = rounded
    environment.filters["slug"] = _slug
    return environment


def _finalize(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _prose(text: str) -> Markup:
    """Return a sentence with what stands in backticks as code and words that may be broken."""
    parts = re.split(r"`([^`]*)`", plain(text, _MAX_PROSE))
    broken = [breakable(part, _FITTING) for part in parts]
    marked = [Markup("<code>{}</code>").format(p) if i % 2 else p for i, p in enumerate(broken)]
    return Markup("").join(marked)


def _duration(seconds: float | None) -> str:
    if seconds is None or not 0 <= seconds < 1e9:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60]
