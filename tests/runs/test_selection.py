"""Only the runs that a command line names."""

from __future__ import annotations

from pathlib import Path

import pytest
from fabricated_runs import record

from hydra_peft.errors import UserError
from hydra_peft.runs.collection import Collection, FoundRun
from hydra_peft.runs.selection import describe_selection, select, words_by_run


def collection() -> Collection:
    runs = [
        FoundRun(Path(f"{task}-{method}"), record(task=task, method={"name": method}))
        for task in ("digits", "cells", "texture")
        for method in ("hydra", "lora")
    ]
    failed = FoundRun(Path("failed"), record("failed", task="dmlab", method={"name": "linear"}))
    return Collection(runs, [failed], ["said before."])


def folders(found: Collection) -> list[str]:
    return [str(run.folder) for run in [*found.completed, *found.others]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"tasks": "digits, cells", "methods": "lora"}, ["digits-lora", "cells-lora"]),
        ({"tasks": '"digits,cells"', "methods": "'lora'"}, ["digits-lora", "cells-lora"]),
        ({"tasks": "cells"}, ["cells-hydra", "cells-lora"]),
        ({"methods": "linear"}, ["failed"]),
        ({"benchmark": "mini", "protocol": "clean", "tasks": "dmlab"}, ["failed"]),
    ],
)
def test_select(wanted: dict[str, str], expected: list[str]) -> None:
    found = select(collection(), wanted)
    assert folders(found) == expected
    incomplete = ["runs that did not complete are left out: 1 failed."]
    assert found.warnings == ["said before.", *(incomplete if "failed" in expected else [])]
    (said,) = describe_selection(wanted)
    assert all(f"{key}={value}" in said for key, value in wanted.items())


@pytest.mark.parametrize("wanted", [{}, {"tasks": "", "methods": ""}])
def test_nothing_asked_for_is_everything(wanted: dict[str, str]) -> None:
    assert select(collection(), wanted) == collection()
    assert describe_selection(wanted) == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"tasks": "digit"}, r"tasks=digit: no run has it \(did you mean 'digits'\?\); there are "),
        (
            {"tasks": '"digits,cell"'},
            r"tasks='digits, cell': no run has it \(in one pair of quotation marks: give each name "
            r"its own\); there are ",
        ),
        ({"tasks": ","}, "tasks=',' has a name missing beside a comma"),
        ({"methods": "lora,x"}, r"methods=x: no run has it; there are hydra, linear, lora\."),
        (
            {"tasks": "dmlab", "methods": "lora"},
            r"methods=lora: no run with tasks=dmlab has it; there are linear\.",
        ),
    ],
)
def test_a_name_that_no_run_has(wanted: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        select(collection(), wanted)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"methods": "lora", "tasks": "cells"}, {"hydra": "methods=lora", "lora": ""}),
        ({"tasks": "dmlab", "methods": "lora"}, {"hydra": "tasks=dmlab methods=lora"}),
        ({"methods": "hydra,lora"}, {"hydra": "", "lora": ""}),
        ({"methods": "'hydra,lora'"}, {"hydra": "", "lora": ""}),
    ],
)
def test_what_leaves_a_run_out_is_named(wanted: dict[str, str], words: dict[str, str]) -> None:
    found = words_by_run(collection(), wanted)
    assert len(found) == 6
    of_cells = {r.method["name"]: said for r, said in found if r.task == "cells"}
    assert of_cells | words == of_cells


def test_what_left_a_run_out_before_is_named() -> None:
    found = words_by_run(select(collection(), {"methods": "lora"}), {})
    said = {record.method["name"]: words for record, words in found}
    assert said == {"hydra": "methods=lora", "lora": ""}
