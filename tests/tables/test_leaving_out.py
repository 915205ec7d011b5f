"""Which words of a command line leave out the row that is asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fabricated_runs import record

from hydra_peft.runs.collection import Collection, FoundRun
from hydra_peft.runs.selection import select
from hydra_peft.tables.leaving_out import leaving_out
from hydra_peft.tables.overrides import Origin


def collection() -> Collection:
    """Runs of which lora alone has a setting of its own, said in its label."""
    records = [
        record(task=task, method={"name": method}, settings=settings)
        for task in ("digits", "cells")
        for method in ("hydra", "lora")
        for settings in [{"method.name": method, "train.epochs": 3 + (method == "lora")}]
    ]
    usual = {Origin.of(one): {"train.epochs": 3} for one in records}
    runs = [FoundRun(Path(f"{one.task}-{one.label}"), one) for one in records]
    return dataclasses.replace(Collection(runs, [], []), defaults=usual)


LABEL = "lora r=4 (train.epochs=4)"


@pytest.mark.parametrize(
    ("name", "wanted", "said"),
    [
        ("lora", {"methods": "hydra"}, "methods=hydra leaves the runs of 'lora' out"),
        (LABEL, {"methods": "hydra"}, f"methods=hydra leaves the runs of '{LABEL}' out"),
        (
            "lora r=4",
            {"methods": "hydra"},
            f"no row is called 'lora r=4', and methods=hydra leaves out {LABEL}",
        ),
        ("hydra r=2+2", {"methods": "lora"}, "methods=lora leaves the runs of 'hydra r=2+2' out"),
        ("lora", {"methods": "'hydra,lora'", "tasks": "cells"}, ""),
        ("lora r=4", {"methods": "lora"}, ""),
        ("linear", {"methods": "lora"}, ""),
    ],
)
def test_what_leaves_a_row_out_is_named(name: str, wanted: dict[str, str], said: str) -> None:
    assert leaving_out(collection(), wanted, name) == said
    # Also where the runs were chosen before, as a report does.
    assert leaving_out(select(collection(), wanted), {}, name) == said
