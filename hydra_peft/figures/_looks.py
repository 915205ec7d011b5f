"""One look for a method in all pictures: its colour, marker and dash, whatever else is drawn.

A colour is a family of methods, a marker tells its members apart; so does a dash, where lines have
no markers. Rows of one method in several settings keep its colour and marker: their markers are
filled in part, or edged in black, and their dashes go on. Further ones take markers that no method
of this colour has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from hydra_peft.figures._style import GREY
from hydra_peft.plain_text import counted

#: Okabe and Ito's colours (jfly.uni-koeln.de/color) without yellow, which white paper swallows.
#: With Machado, Oliveira and Fernandes' simulation of complete colour blindness (2009) any two
#: stay 16 units apart in CIELAB; 2.3 are just noticed.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK = "#E69F00", "#56B4E9", "#000000"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "P", "v", "X", "*", "<", ">", "d", "p")
#: points of those that would look smaller than the others
_SIZES = {"*": 6.0, "d": 5.0, "P": 4.6, "X": 4.6, "p": 4.6}
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
#: families in the order of the colours: this paper's, updates of weights beside them, updates
#: behind them, the weights themselves, bottlenecks, shared factors, the head and prompts
_FAMILIES: tuple[dict[str, str], ...] = (
    {"hydra": "o", "hydra_mlp": "<", "hydra_msa": ">", "branches": "*"},
    {"lora": "s", "dora": "*"},
    {"seqlora": "^", "repadapter": "X", "ssf": "d", "ia3": "P"},
    {"full": "D", "bitfit": "p"},
    {"adapter": "P", "adapter_plus": "*", "adaptformer": "o", "adapterdrop": "s"},
    {"compacter": "X", "kadaptation": "D", "fact_tt": "<", "fact_tk": ">", "vera": "p"},
    {
        "linear": "v",
        "zero-shot": "p",
        "prototypes": "d",
        "vpt_shallow": "<",
        "vpt_deep": ">",
        "noah": "X",
    },
)
_KNOWN = {
    method: (at, marker, (at + member) % len(DASHES))
    for at, family in enumerate(_FAMILIES)
    for member, (method, marker) in enumerate(family.items())
}
_TAKEN = {(at, marker) for at, marker, _ in _KNOWN.values()}
#: what methods of other packages look like, found by a hash of their name
_FREE = [pair for pair in product(range(len(COLOURS)), MARKERS) if pair not in _TAKEN]
#: how much of a marker is filled; one that is hollow is the paper's
_FILLS = ("full", "left", "bottom", "right", "top")
#: rows that fills and edges tell apart
_VARIANTS = 2 * len(_FILLS)


def looks(methods: Sequence[str]) -> list[dict[str, Any]]:
    """Return the look of one series for each of ``methods``, as arguments of matplotlib's ``plot``.

    A name that comes again is a further setting of that method. Where two methods of other
    packages would look alike, the one whose name comes later takes another look.
    """
    known = {method: _KNOWN[method] for method in methods if method in _KNOWN}
    for method in sorted(set(methods) - set(known)):
        known[method] = _other(method, list(known.values()))
    markers = _markers(methods, known)
    found, seen = [], dict.fromkeys(known, 0)
    for method in methods:
        number, (colour, _, dash) = seen[method], known[method]
        own = markers[method]
        found.append(_variant(colour, own[number // _VARIANTS % len(own)], dash, number))
        seen[method] += 1
    return found


def of_one_look(looks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence on how many of the ``looks`` have the mark of another; none where each has
    its own."""
    seen = [
        repr([look[k] for k in ("color", "marker", "fillstyle", "markeredgecolor")])
        for look in looks
    ]
    repeated = len(seen) - len(set(seen))
    if not repeated:
        return []
    rows = counted(repeated, "row has the mark of another", "rows have the mark of another")
    return [f"There are more rows of one method than marks: {rows}."]


def _markers(
    methods: Sequence[str], known: Mapping[str, tuple[int, str, int]]
) -> dict[str, list[str]]:
    """Return the markers of each method's rows: its own, and where there are more rows than that
    can be drawn for, others that no method of its colour has."""
    taken = _TAKEN | {(colour, marker) for colour, marker, _ in known.values()}
    found = {}
    for method in sorted(known):
        colour, marker, _ = known[method]
        more = (methods.count(method) - 1) // _VARIANTS
        free = [other for other in MARKERS if (colour, other) not in taken][:more]
        taken |= {(colour, other) for other in free}
        found[method] = [marker, *free]
    return found


def _other(method: str, taken: Sequence[tuple[int, str, int]]) -> tuple[int, str, int]:
    """Return colour, marker and dash of a method that has none of its own."""
    first = int(hashlib.sha256(method.encode()).hexdigest(), 16)
    marks = {(colour, marker) for colour, marker, _ in taken}
    tries = (_FREE[(first + step) % len(_FREE)] for step in range(len(_FREE)))
    colour, marker = next((pair for pair in tries if pair not in marks), _FREE[first % len(_FREE)])
    lines = {dash for at, _, dash in (*_KNOWN.values(), *taken) if at == colour}
    turns = ((first + step) % len(DASHES) for step in range(len(DASHES)))
    return colour, marker, next((dash for dash in turns if dash not in lines), first % len(DASHES))


def _variant(colour: int, marker: str, dash: int, number: int) -> dict[str, Any]:
    edged, fill = divmod(number, len(_FILLS))
    own = COLOURS[colour]
    edge = GREY if own == BLACK else BLACK
    return {
        "color": own,
        "marker": marker,
        # Of a small mark an edge of usual width would hide which part is empty.
        "markersize": _SIZES.get(marker, 4.0) + (1.0 if fill else 0.0),
        "markeredgewidth": 0.6 if fill else 1.0,
        "linestyle": DASHES[(dash + number) % len(DASHES)],
        "fillstyle": _FILLS[fill],
        "markerfacecoloralt": "white",
        "markeredgecolor": edge if edged % 2 else own,
    }


#: a branch looks like the method that has it alone
BRANCHES: dict[str, dict[str, Any]] = {
    "pretrained": {"color": "#555555", "marker": "o", "linestyle": ":"},
    "parallel": {key: looks(["lora"])[0][key] for key in ("color", "marker", "linestyle")},
    "sequential": {key: looks(["seqlora"])[0][key] for key in ("color", "marker", "linestyle")},
}
