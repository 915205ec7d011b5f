"""Records that can be read and still not be computed with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fabricated_runs import record

from hydra_peft.errors import UserError
from hydra_peft.runs.usable import check_usable

METRICS = {"accuracy": 98.25, "correct": 393, "count": 400, "split": "test", "selection": "last"}


def nested(levels: int) -> Any:
    return json.loads('{"a":' * levels + "1" + "}" * levels)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"metrics": {**METRICS, "accuracy": -12}},  # a correlation
        {"settings": nested(20)},
        {"status": "failed", "metrics": {}, "parameters": {}, "error": "out of memory"},
    ],
)
def test_what_runs_write_is_usable(changes: dict[str, Any]) -> None:
    check_usable(record(**{"status": "completed", **changes}), Path("run"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        *(({"metrics": {**METRICS, "accuracy": odd}}, "accuracy") for odd in ("98", None, True)),
        *(
            ({"metrics": {**METRICS, "accuracy": odd}}, "accuracy")
            for odd in (float("nan"), float("inf"), 100.5, 10**400)
        ),
        ({"metrics": {**METRICS, "split": 1}}, "split"),
        ({"parameters": {"adapter": 10**400, "head": -1}}, "adapter, head"),
        ({"parameters": {"adapter": 1.0, "head": True}}, "adapter, head"),
        ({"started": 7}, "started"),
        ({"times": [], "code": None}, "times, code"),
        ({"settings": nested(40)}, "settings"),
        ({"status": "failed", "error": ["no", "text"]}, "error"),
    ],
)
def test_what_no_run_writes_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=rf"^run/result\.json has no usable {named}: edited\?$"):
        check_usable(record(**{"status": "completed", **changes}), Path("run"))
