"""Published and measured side by side: what stands beside what, and what is left open."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from vtab1k_records import METHODS, PAPER_TABLES, VTAB1K, vtab_record

from hydra_peft.errors import UserError
from hydra_peft.runs.record import Record
from hydra_peft.tables.overrides import Origin
from hydra_peft.tables.published import PublishedTable, read_published
from hydra_peft.tables.render_side_by_side import sheet
from hydra_peft.tables.side_by_side import Block, SideBySide, compare

PAPER = Path(__file__).resolve().parents[2] / "results" / "paper"
ON_TEST = {
    "accuracy": 70.0,
    "correct": 7,
    "count": 10,
    "split": "test",
    "selection": "best of 10 evaluations on test",
}


def published(number: int) -> PublishedTable:
    return read_published(PAPER / PAPER_TABLES[number].csv)


def fed_back(number: int, **changes: Any) -> list[Record]:
    """Return the published cells of the measured rows as runs."""
    return [
        vtab_record(label, task, row.numbers[task].value, **changes)
        for row in published(number).rows
        for label in ["NOAH's LoRA" if (number, row.label) == (2, "LoRA") else row.label]
        if row.label in PAPER_TABLES[number].trained
        for task in VTAB1K.tasks
    ]


def side_by_side(
    records: list[Record], number: int = 8, **options: Any
) -> tuple[list[SideBySide], list[str]]:
    return compare(PAPER_TABLES[number], published(number), records, **options)


def block(side: SideBySide, label: str) -> Block:
    return next(block for block in side.blocks if block.published.label == label)


@pytest.mark.parametrize("number", [2, 8])
def test_published_cells_fed_back_come_out_with_no_difference(number: int) -> None:
    (side,), warnings = side_by_side(fed_back(number), number)
    assert warnings == []
    assert [b.key for b in side.blocks if b.measured] == PAPER_TABLES[number].trained
    for one in side.blocks:
        for measured in one.measured:
            assert measured.label == f"{one.published.label} (measured)"
            average, *others = side.quantities
            # Printed means of quoted rows are of cells with more digits.
            assert abs(measured.differences[average.name]) < 0.15
            for quantity in others:
                assert measured.values[quantity.name].value == one.paper[quantity.name].value
                assert measured.differences[quantity.name] == 0.0
    expected = 19 * len(PAPER_TABLES[number].trained)
    assert expected == {2: 209, 8: 57}[number]
    assert side.notes[0].startswith(f"runs: {expected} of {expected}")
    assert "train.py" not in side.notes[0]


def test_a_summary_compares_with_the_printed_average() -> None:
    (side,), _ = side_by_side(fed_back(8), 5)
    (average,) = (q.name for q in side.quantities)
    assert average == "average (mean over groups)"
    hydra = block(side, "Hydra")
    assert hydra.paper[average].text == "76.5"
    assert hydra.measured[0].values[average].value == pytest.approx(76.4804, abs=1e-4)
    assert hydra.measured[0].differences[average] == pytest.approx(-0.0196, abs=1e-4)


def test_derived_means_of_the_paper_are_marked() -> None:
    (side,), _ = side_by_side([])
    hydra = block(side, "Hydra")
    texts = {name: (value.text, value.source) for name, value in hydra.paper.items()}
    assert texts["mean over groups"] == ("76.48", "from cells")
    assert texts["mean over tasks"] == ("74.21", "from cells")
    assert texts["natural mean"] == ("81.83", "from cells")
    assert texts["cifar100"] == ("72.7", "printed")
    # 85.075 is a half, which floats would round down.
    assert block(side, "LoRA").paper["specialized mean"].text == "85.08"


def test_missing_cells_leave_means_open() -> None:
    records = [r for r in fed_back(8) if r.task != "svhn" and r.method["name"] != "lora"]
    (side,), _ = side_by_side(records)
    (hydra,) = block(side, "Hydra").measured
    for name in ("svhn", "natural mean", "mean over tasks", "mean over groups"):
        assert hydra.values[name] is None
        assert hydra.differences[name] is None
    assert hydra.differences["specialized mean"] == 0.0
    assert hydra.mean_head is None
    assert block(side, "LoRA").measured == []
    assert block(side, "LoRA").awaited == "LoRA (measured)"
    assert side.notes[0] == (
        "runs: 36 of 57 (LoRA, SeqLoRA, Hydra x 19 tasks); the rest: "
        "`python scripts/train.py -m +experiment=table8 protocol=clean "
        "model.checkpoint=ViT-B_16.npz seed=0`"
    )


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/models/ViT-B_16.npz", "model.checkpoint=/models/ViT-B_16.npz seed=0,2"),
        ("/my models/x.npz", "'model.checkpoint=\"/my models/x.npz\"' seed=0,2"),
        ("timm hub vit_base_patch16_224.orig_in21k", "seed=0,2"),
    ],
)
def test_the_rest_is_asked_for_with_the_same_weights_and_seeds(source: str, words: str) -> None:
    weights = {"kind": "pretrained", "sha256": "1a2b3c4d" * 8, "source": source}
    records = [vtab_record("Hydra", "dtd", 1.0, seed=seed, weights=weights) for seed in (0, 2)]
    # Other rows do not say how the ones that count are filled.
    odd = {"kind": "random", "sha256": "0" * 64, "source": "random, seed 7"}
    records.append(vtab_record("LoRA", "dtd", 1.0, seed=7, weights=odd))
    (side,), _ = side_by_side(records)
    command = "python scripts/train.py -m +experiment=table8 protocol=clean"
    assert side.notes[0].endswith(f"the rest: `{command} {words}`")
    (side,), _ = side_by_side(records, runs=Path("/else/runs"))
    assert side.notes[0].endswith(f"the rest: `{command} {words} paths.runs=/else/runs`")


@pytest.mark.parametrize(("number", "experiment"), [(2, "table2"), (5, "table8"), (8, "table8")])
def test_without_runs_the_published_table_stands_alone(number: int, experiment: str) -> None:
    other = vtab_record("Hydra", "cifar100", 1.0, benchmark="mini")
    (side,), warnings = side_by_side([other], number)
    assert side.table is None
    assert warnings == []
    assert not any(one.measured or one.awaited for one in side.blocks)
    command = f"python scripts/train.py -m +experiment={experiment} model.checkpoint=ViT-B_16.npz"
    assert f"`{command} seed=0,1,2`" in side.notes[0]


def test_each_protocol_has_its_own_comparison() -> None:
    records = fed_back(8) + fed_back(8, protocol="official", metrics=ON_TEST)
    sides, warnings = side_by_side(records)
    assert [side.table.protocol for side in sides] == ["clean", "official"]
    assert [side.table.selected_on_test for side in sides] == [False, True]
    (clean,), (official,) = (block(side, "Hydra").measured for side in sides)
    assert clean.values["mean over tasks"].value == pytest.approx(74.2053, abs=1e-4)
    assert official.values["mean over tasks"].value == pytest.approx(70.0)
    assert any("different protocols" in warning for warning in warnings)
    (only,), _ = side_by_side(records, protocol="official")
    assert only.table.protocol == "official"
    (none,), _ = side_by_side(records, protocol="paper")
    assert none.table is None
    assert "protocol=paper model.checkpoint=ViT-B_16.npz seed=0,1,2`" in none.notes[0]


def test_two_seeds_are_averaged_within_a_row() -> None:
    records = fed_back(8) + [
        vtab_record(label, task, 50.0, seed=1) for label in METHODS for task in VTAB1K.tasks
    ]
    (side,), _ = side_by_side(records)
    (hydra,) = block(side, "Hydra").measured
    cell = hydra.values["cifar100"]
    assert (cell.value, cell.count) == (pytest.approx((72.7 + 50) / 2), 2)
    assert cell.std == pytest.approx(22.7 / 2**0.5)
    assert hydra.differences["cifar100"] == pytest.approx(-11.35)


def test_variants_stand_beside_each_other_never_averaged() -> None:
    records = fed_back(8)
    for task in VTAB1K.tasks:
        records += [
            vtab_record("Hydra", task, 9.0, weights={"kind": "random", "sha256": "0" * 64}),
            vtab_record("Hydra", task, 8.0, data={"sha256": "part", "partial": True}),
            vtab_record("Hydra", task, 7.0, model="vit_mini", settings={"model": "mini"}),
        ]
    (side,), warnings = side_by_side(records)
    means = {m.label: m.values["mean over tasks"].value for m in block(side, "Hydra").measured}
    assert means == {
        "Hydra (measured)": pytest.approx(74.2053, abs=1e-4),
        "Hydra (measured, RANDOM WEIGHTS)": pytest.approx(9.0),
        "Hydra (measured, PARTIAL DATA)": pytest.approx(8.0),
        "Hydra (measured, vit_mini)": pytest.approx(7.0),
    }
    assert next(iter(means)) == "Hydra (measured)"
    assert any("PARTIAL DATA" in warning for warning in warnings)


def test_what_is_not_like_the_paper_does_not_count_as_done() -> None:
    random = {"kind": "random", "sha256": "0" * 64}
    (side,), _ = side_by_side(fed_back(8, weights=random))
    assert side.notes[0].startswith("runs: 0 of 57")
    assert "other backbones, random weights, partial data, overridden" in side.notes[0]


def test_overridden_and_tuned_runs_do_not_pass_for_the_reproduction() -> None:
    usual = {"train.epochs": "recipe", "optimizer.lr": "recipe", "protocol.tune": False}
    tuned = {**usual, "protocol.tune": True, "optimizer.lr": "tuned"}
    records = fed_back(8, settings={**usual, "train.epochs": 2})
    records += [r for r in fed_back(8, settings=tuned) if r.method["name"] == "hydra"]
    defaults = {Origin.of(r): tuned if r.settings == tuned else usual for r in records}
    (side,), _ = side_by_side(records, defaults=defaults)
    assert [m.label for one in side.blocks for m in one.measured] == [
        "LoRA (measured, train.epochs=2)",
        "SeqLoRA (measured, train.epochs=2)",
        "Hydra (measured, train.epochs=2)",
        "Hydra (measured, tuned)",
    ]
    assert side.notes[0].startswith("runs: 0 of 57")
    assert "overridden and tuned settings do not count" in side.notes[0]
    assert "train.py" in side.notes[0]
    plain = [r for r in fed_back(8, settings=usual) if r.method["name"] == "hydra"]
    (side,), _ = side_by_side(records + plain, defaults=defaults)
    assert block(side, "Hydra").measured[0].label == "Hydra (measured)"
    assert side.notes[0].startswith("runs: 19 of 57")


def test_overrides_of_all_measured_rows_are_said_once_above_the_table() -> None:
    usual = {"train.epochs": "recipe", "optimizer.lr": "recipe"}
    rates = {"lora": 0.1, "seqlora": 0.1, "hydra": 0.2}
    records = [
        dataclasses.replace(
            r, settings={"train.epochs": 2, "optimizer.lr": rates[r.method["name"]]}
        )
        for r in fed_back(8)
    ]
    defaults = {Origin.of(record): usual for record in records}
    (side,), _ = side_by_side(records, defaults=defaults)
    assert [m.label for one in side.blocks for m in one.measured] == [
        *("LoRA (measured)", "SeqLoRA (measured)", "Hydra (measured, optimizer.lr=0.2)"),
    ]
    assert sheet(side).above == [
        "All measured rows: train.epochs=2; optimizer.lr=0.1 unless a label says otherwise."
    ]
    # Not repeating it in the label makes no reproduction of it.
    assert side.notes[0].startswith("runs: 0 of 57")
    assert not any(m.like_paper for one in side.blocks for m in one.measured)


def test_reduced_precision_is_named_and_counts() -> None:
    records = [
        dataclasses.replace(r, settings={**r.settings, "precision": "bf16"}) for r in fed_back(8)
    ]
    defaults = {Origin.of(r): {**r.settings, "precision": "fp32"} for r in records}
    (side,), _ = side_by_side(records, defaults=defaults)
    assert block(side, "Hydra").measured[0].label == "Hydra (measured, bf16)"
    assert block(side, "Hydra").measured[0].row.label == "hydra r=2+2, bf16"
    assert side.notes[0].startswith("runs: 57 of 57")


def test_variants_with_the_same_marks_are_told_apart_in_full() -> None:
    other = {"method.name": "hydra", "protocol.train_split": "train", "train.epochs": 50}
    (side,), _ = side_by_side([*fed_back(8), vtab_record("Hydra", "dtd", 1.0, settings=other)])
    labels = [m.label for m in block(side, "Hydra").measured]
    assert len(set(labels)) == 2
    assert all(label.startswith("Hydra (measured: hydra r=2+2 (train.epochs=") for label in labels)
    assert "fullest counts" in side.notes[0]


def test_other_ranks_targets_and_biases_are_not_the_papers_rows() -> None:
    method = vtab_record("Hydra", "dtd", 1.0).method
    odd_ones = (
        ({"rank_parallel": 4}, "4+2"),
        ({"targets": ["fc2"]}, "2+2"),
        ({"bias": False}, "2+2"),
    )
    for change, ranks in odd_ones:
        odd = vtab_record("Hydra", "dtd", 1.0, method={**method, **change})
        (side,), warnings = side_by_side([odd])
        assert side.table is None
        assert any(f"hydra r={ranks}: left out" in warning for warning in warnings)
    scaled = vtab_record("Hydra", "dtd", 1.0, method={**method, "scale": 4.0, "dropout": 0.2})
    (side,), _ = side_by_side([scaled])
    assert block(side, "Hydra").measured


def test_table_2_says_that_its_lora_is_not_ours() -> None:
    (side,), warnings = side_by_side(fed_back(8), 2)
    assert block(side, "LoRA").measured == []
    assert block(side, "LoRA").awaited == "LoRA (measured)"
    assert block(side, "Hydra").measured
    assert any("lora r=4" in note for note in side.notes)
    assert any("seqlora r=6, lora r=4: left out" in warning for warning in warnings)
    assert any("LoRA (paper) is printed as 74.5" in note for note in side.notes)


def test_scores_on_validation_images_are_said_not_to_compare() -> None:
    metrics = {**ON_TEST, "split": "val200", "selection": "last epoch"}
    (side,), _ = side_by_side(fed_back(8, metrics=metrics))
    assert any("measured on val200" in note for note in side.notes)


def test_lineages_are_listed_where_several_are_mixed() -> None:
    ways = {"cifar100": "prepared", "dtd": "rebuilt", "svhn": None}
    records = [
        vtab_record("Hydra", task, 1.0, data={"sha256": task, "lineage": way})
        for task, way in ways.items()
    ]
    assert any(
        "lineages: not stated (svhn); prepared (cifar100); rebuilt (dtd)" in warning
        for warning in side_by_side(records)[1]
    )
    assert side_by_side(records[:1])[1] == []


def test_tasks_that_the_paper_does_not_have_are_named() -> None:
    records = [vtab_record("Hydra", "cifar10", 1.0), vtab_record("Hydra", "dtd", 1.0)]
    (side,), warnings = side_by_side(records)
    assert side.notes[0].startswith("runs: 1 of 57")
    assert any("left out: cifar10" in warning for warning in warnings)


def test_a_table_without_the_rows_of_the_spec_is_refused() -> None:
    glue = read_published(PAPER / "table9_glue_head_to_head.csv")
    with pytest.raises(UserError, match=r"lacks avg_acc, caltech101, cifar100"):
        compare(PAPER_TABLES[8], glue, [])
    with pytest.raises(UserError, match="lacks SeqLoRA: edited"):
        compare(PAPER_TABLES[8], published(2), [])
