"""Each suite on the smallest of models: what it reports, not how fast anything was."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hydra_peft.benchmarks import (
    _report,
    agreement,
    layer,
    merge,
    slots,
    step,
    table4,
    table8,
    task,
)
from hydra_peft.benchmarks._memory import peak_of
from hydra_peft.benchmarks._variants import METHODS, PEFT, THREE_BRANCHES, build
from hydra_peft.cli import bench
from hydra_peft.data.splits import ImageSplit
from hydra_peft.errors import UserError
from hydra_peft.tables import training_time

CPU = torch.device("cpu")
TINY = "vit_mini"


def test_layer() -> None:
    report = layer.run(CPU, layer.Settings(batch_sizes=(1,), repeats=1))
    kinds = {layer.FROZEN, layer.LORA, layer.HYDRA, layer.THREE_BRANCHES, layer.PEFT}
    assert {row["kind"] for row in report.rows} == kinds
    assert len(report.rows) == 2 * len(kinds)
    assert all(row["ms"] > 0 for row in report.rows)
    assert sum("goal at most 0.85" in note for note in report.notes) == 2


def test_step_and_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def peak(title: str, *_: object) -> float | None:
        asked.append(title)
        return None if title == step.LINEAR else 5e6 * len(asked)

    monkeypatch.setattr(step, "peak_of", peak)
    report = step.run(CPU, step.Settings(architecture=TINY, batch_size=2, repeats=1))
    rows = {row["step"]: row for row in report.rows}
    assert set(rows) == {*METHODS, THREE_BRANCHES, PEFT, step.LINEAR}
    for name, row in rows.items():
        assert 0 < row["ms"] < math.inf
        assert row["of GEMM rate"] > 0
        assert ("peak MB" in row) == (name != step.LINEAR)
    assert asked == list(rows)
    assert any(note.startswith("hydra r=2+2 / lora r=4: ") for note in report.notes)
    assert any(note.startswith("peak memory") for note in report.notes)


@pytest.mark.long
def test_peak_memory_is_of_the_steps_alone() -> None:
    small, large = (peak_of(PEFT, TINY, images, CPU, "fp32") for images in (1, 65))
    # Of the 64 images more each keeps at least the inputs of every block, 17 tokens of 128 floats.
    assert large - small > 64 * 5 * 17 * 128 * 4
    assert large < 1e9
    assert peak_of(step.LINEAR, TINY, 1, CPU, "fp32") is None


def test_task() -> None:
    settings = task.Settings(
        images=4, test_images=3, epochs=2, evaluations=2, batch_size=4, architecture="vit_mini"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task, "SIZE", (32, 32))
        patch.setattr("hydra_peft.benchmarks._files.SIZE", (32, 32))
        report = task.run(CPU, settings)
    phases = {(row["loop"], row["phase"]): row["s"] for row in report.rows}
    assert phases["ours", "all"] == pytest.approx(
        sum(phases["ours", p] for p in ("decode into the cache", "train", "test, once"))
    )
    assert ("plain loop", "test, 2 times") in phases
    (overhead,) = (note for note in report.notes if "own arithmetic" in note)
    assert float(overhead.split(": ")[1].split("%")[0].replace(",", "")) > 0


def test_table8_predicts_with_its_arithmetic_and_times() -> None:
    settings = table8.Settings(architecture=TINY, epochs=2, repeats=1, divide=500, batch_size=2)
    report = table8.run(CPU, settings)
    assert [row["method"] for row in report.rows] == list(table8.ROWS)
    # 19 tasks of 1000 // 500 = 2 images in 2 epochs
    assert all("76 images x " in note for note in report.notes[:3])
    assert all("in batches of 2" in note for note in report.notes[:3])
    assert report.label == "predicted"
    timed = table8.run(CPU, table8.Settings(**{**vars(settings), "timed": "true"}))
    assert len(timed.rows) == 3 * 19
    assert len({row["task"] for row in timed.rows}) == 19
    assert "measured" in timed.notes[0]
    assert timed.label == "measured"


def test_table4_predicts_or_times_an_epoch_for_the_papers_rows(tmp_path: Path) -> None:
    small = {"architecture": TINY, "batch_size": 4, "images": 10, "epochs": 2, "repeats": 1}
    predicted = table4.run(CPU, table4.Settings(**small))
    timed = table4.run(CPU, table4.Settings(**small, timed="true"))
    assert (predicted.label, timed.label) == ("predicted", "measured")
    assert any(
        note.startswith("predicted: median of 1 steps of 4 images") for note in predicted.notes
    )
    for report in (predicted, timed):
        assert [row["method"] for row in report.rows] == list(table4.ROWS)
        assert all(0 < row["s/epoch"] < math.inf for row in report.rows)
        report.write(tmp_path / f"table4-{report.label}.json", CPU)
        assert "when" in json.loads((tmp_path / f"table4-{report.label}.json").read_text())
    # What the suite writes is what the table reads.
    found, warnings = training_time.newest_timing(tmp_path)
    assert warnings == []
    assert found.label in ("predicted", "measured")
    assert found.seconds.keys() == table4.ROWS.keys()


def test_table4_does_whole_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def step(_: object, size: int, *__: object, classes: int) -> Callable[[], None]:
        assert classes == 10
        return lambda: sizes.append(size)

    monkeypatch.setattr(table4, "training_step", step)
    settings = table4.Settings(architecture=TINY, batch_size=4, images=10, epochs=2, timed="true")
    table4.run(CPU, settings)
    # Four methods, two epochs and one that does not count.
    assert sizes == [4, 4, 2] * 4 * 3


def test_table4_has_about_the_papers_parameters() -> None:
    width, hidden, blocks = 768, 3072, 12
    branch = {"parallel": hidden + width + 1, "sequential": 2 * width + 1}
    for row, ranks, printed in (
        ("LoRA", {"parallel": 5}, 0.22),
        ("SeqLoRA", {"sequential": 11}, 0.21),
        ("Hydra", {"parallel": 3, "sequential": 3}, 0.21),
    ):
        expected = blocks * sum(r * branch[name] + width for name, r in ranks.items())
        method, options = table4.ROWS[row]
        model = table4.adapted("vit_base_patch32_224", method, options, torch.device("meta"))
        assert table4._trained(model) == expected
        assert expected / 1e6 == pytest.approx(printed, abs=0.021)


def test_agreement_counts_the_steps_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (50, 32, 32, 3), dtype=torch.uint8)
    few = ImageSplit(images, torch.arange(50) % 10)
    monkeypatch.setattr(agreement, "_splits", lambda _: {"train": few, "test": few})
    report = agreement.run(CPU, agreement.Settings(steps=4, seeds=1))
    (note,) = report.notes
    assert "the 6 losses differ" in note  # two epochs of three whole batches
    assert float(note.split("at most ")[1].split()[0]) < 1e-4
    assert [row["precision"] for row in report.rows] == ["fp32", "fp32", "bf16", "bf16"]


def test_the_other_librarys_layer_is_measured_without_its_model() -> None:
    layers = layer._layers(8, 8, CPU)
    assert type(layers[layer.PEFT]).__module__.startswith("peft.tuners.lora")


def test_merge() -> None:
    report = merge.run(CPU, merge.Settings(architecture=TINY, batch_size=2, repeats=1))
    assert [row["forward pass"] for row in report.rows] == [
        merge.PLAIN,
        merge.MERGED,
        merge.UNMERGED,
    ]


@pytest.mark.long
def test_slots() -> None:
    report = slots.run(CPU, slots.Settings(slots=1, jobs=2, epochs=1))
    assert [row["slots"] for row in report.rows] == [1, 1]
    assert all(0 < row["jobs/s"] < math.inf for row in report.rows)
    gap, beside = report.notes[1:]
    assert 0 < float(gap.split(": ")[1].split()[0]) < 60
    assert float(beside.split("): ")[1].split()[0].replace(",", "")) > 0
    with pytest.raises(UserError, match="more jobs than slots"):
        slots.run(CPU, slots.Settings(slots=2, jobs=2))


def test_the_compared_models_are_what_their_titles_say() -> None:
    trained = {
        name: sum(
            p.numel()
            for n, p in build(name, TINY, CPU).named_parameters()
            if p.requires_grad and "head" not in n
        )
        for name in ("lora r=4", "hydra r=2+2", THREE_BRANCHES, PEFT)
    }
    width, hidden, blocks = 128, 512, 5
    biases = blocks * 2 * (width + 4)
    assert trained[PEFT] == blocks * 4 * (2 * width + hidden + width)
    assert trained["lora r=4"] == trained[PEFT] + biases
    assert trained["hydra r=2+2"] == trained[THREE_BRANCHES]


def test_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["bench.py", *words])
        return bench.main()

    out = tmp_path / "merge.json"
    arguments = [f"architecture={TINY}", "batch_size=1", "repeats=1", "device=cpu", f"out={out}"]
    assert call("merge", *arguments) == 0
    printed = capsys.readouterr().out
    assert "hydra r=2+2, merged / plain backbone: " in printed
    written = json.loads(out.read_text())
    assert written["label"] == "measured"
    assert {"hardware", "versions", "code", "settings"} <= set(written)
    for words, message in (
        (["marge"], "suite 'marge' is unknown (did you mean 'merge'?)"),
        (["merge", "repaets=1"], "unknown key 'repaets' (did you mean 'repeats'?)"),
        (["merge", "repeats=0"], "repeats=0 is not allowed: it must be a positive whole number"),
        (["layer", "batch_sizes=1,x"], "it must be positive whole numbers"),
        (["step", "memory=no"], "memory=no is not allowed: it must be true or false"),
    ):
        assert call(*words) == 2
        assert message in capsys.readouterr().err


def test_in_turns_does_each_once_a_round_after_one_that_does_not_count() -> None:
    done: list[str] = []
    works = {name: lambda name=name: done.append(name) for name in "ab"}
    seconds = _report.in_turns(works, CPU, 3)
    assert done == ["a", "b"] * 4
    assert [len(found) for found in seconds.values()] == [3, 3]
    assert _report.ratio({"a": [2, 9], "b": [1, 3]}, "a", "b") == [2, 3]
    assert _report.compared("x", [1.0, 2.0, 4.0], "at most 1") == "x: 2 (1 to 4; goal at most 1)"
    assert [_report.readable(x) for x in (10400.0, 0.12345)] == ["10,400", "0.1235"]
