"""Data inside a web page: as json, as links, and the page's own style and script by their hash."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

from markupsafe import Markup

#: what could end a script element, begin a comment, or end a line of JavaScript
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def script_json(value: Any) -> Markup:
    """Return ``value`` as json that is safe inside ``<script type="application/json">``.

    Raises:
        ValueError: a number that json does not have.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    # Halves of characters have no UTF-8.
    text = re.sub("[\ud800-\udfff]", "\ufffd", text)
    return Markup(text.translate(_ESCAPES))


def data_uri(kind: str, content: str) -> Markup:
    """Return a ``data:`` address of ``content``; ``kind`` is its media type."""
    encoded = base64.b64encode(content.encode()).decode()
    return Markup(f"data:{kind};charset=utf-8;base64,{encoded}")


def hash_source(content: str) -> str:
    """Return the hash by which a content security policy allows the inline ``content``."""
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
