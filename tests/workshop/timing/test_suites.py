"""Each suite on the smallest of models: what it reports, not how fast anything was."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hydra_peft.cli import bench
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.methods import method_names
from hydra_peft.packing.pack import Pack
from hydra_peft.tables import training_time
from hydra_peft.workshop.timing import (
    _report,
    agreement,
    busy,
    gpu,
    layer,
    merge,
    packed,
    step,
    table4,
    table8,
    task,
)
from hydra_peft.workshop.timing._memory import peak_of_process
from hydra_peft.workshop.timing._models import (
    COMPARED,
    FROZEN,
    METHODS,
    PEFT,
    THREE_BRANCHES,
    build,
    compared_rows,
)
from hydra_peft.workshop.timing._packs import do_in_one_pack
from hydra_peft.workshop.timing._report import Report, measure
from hydra_peft.workshop.timing.settings import (
    AgreementSettings,
    BusySettings,
    ElevaterSettings,
    GlueSettings,
    GpuSettings,
    LayerSettings,
    MergeSettings,
    SlotsSettings,
    StepSettings,
    Table4Settings,
    Table8Settings,
    TaskSettings,
)

CPU = torch.device("cpu")
TINY = "vit_mini"


def measured(suite: str, settings: Any, path: Path | None = None) -> Report:
    return measure(suite, settings, CPU, path, lambda _: None)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what ``bench.py gpu dry=true`` writes, and all that it says in ``said``."""
    folder = tmp_path_factory.mktemp("dry")
    said: list[str] = []
    report = measure("gpu", GpuSettings(dry=True), CPU, folder / "gpu-cpu.json", said.append)
    (folder / "said").write_text("\n".join([*said, report.to_markdown()]))
    return folder


def written(dry: Path, part: str) -> dict[str, Any]:
    content = json.loads((dry / f"{part}-cpu.json").read_text())
    assert (content["suite"], content["complete"], content["failed"]) == (part, True, [])
    assert content["hardware"]["gpu"] is None
    assert {"versions", "code", "when"} <= set(content)
    return content


def test_a_dry_run_goes_through_every_part_and_sums_them_up(dry: Path) -> None:
    rows = written(dry, "gpu")["rows"]
    assert [row["part"] for row in rows] == list(gpu.PARTS)
    assert {row["outcome"] for row in rows} == {"done"}
    notes = written(dry, "gpu")["notes"]
    assert "its figures say nothing" in notes[0]
    assert {note.split(": ")[0] for note in notes[1:]} == set(gpu.PARTS)
    assert not list(dry.glob("*.incomplete.json"))
    said = (dry / "said").read_text()
    assert all(f"== {part} (dry" in said for part in gpu.PARTS)
    assert "batch 2, bf16: round 1 of 1" in said


def test_correctness_tells_each_test(dry: Path) -> None:
    rows = written(dry, "correctness")["rows"]
    assert len(rows) >= 2
    assert {row["outcome"] for row in rows} == {"passed"}
    assert all(row["test"].startswith("training/test_gpu_processes.py::") for row in rows)


def test_layer(dry: Path) -> None:
    content = written(dry, "layer")
    kinds = {
        *(layer.FROZEN, layer.FULL, layer.LORA, layer.SEQLORA, layer.HYDRA),
        *(layer.THREE_BRANCHES, layer.PEFT),
    }
    assert {row["kind"] for row in content["rows"]} == kinds
    assert len(content["rows"]) == 2 * len(kinds)
    assert all(row["ms"] > 0 for row in content["rows"])
    assert sum("goal at most 0.85" in note for note in content["notes"]) == 2


def test_packed_compares_steps_together_with_those_alone(dry: Path) -> None:
    content = written(dry, "packed")
    assert [(row["step"], row["runs"]) for row in content["rows"]] == [
        (packed.TOGETHER, 1),
        (packed.IN_TURN, 1),
        (packed.TOGETHER, 2),
        (packed.IN_TURN, 2),
    ]
    differences = [note for note in content["notes"] if "differ by at most" in note]
    assert len(differences) == 2
    assert all(float(note.split()[-1]) < 1e-5 for note in differences)
    phases, kinds = (note for note in content["notes"] if ", ms by " in note)
    assert phases.startswith(f"2 runs, batch 2, fp32, ms by phase, {packed.TOGETHER} / ")
    said = [part.rsplit(" ", 3)[0] for part in phases.rsplit(": ", 1)[1].split("; ")]
    assert said == ["forward", "backward", "optimizer"]
    assert "; attention " in kinds


def test_step_compares_methods_in_each_precision(dry: Path) -> None:
    content = written(dry, "step")
    for precision in ("fp32", "bf16"):
        rows = {row["step"]: row for row in content["rows"] if row["precision"] == precision}
        assert set(rows) == {*METHODS, THREE_BRANCHES, FROZEN, PEFT, step.LINEAR}
        for row in rows.values():
            assert 0 < row["ms"] < math.inf
            assert row["of GEMM rate"] > 0
        rate = content["settings"]["gemm_flops_per_second"][precision]
        notes = [note for note in content["notes"] if precision in note]
        assert notes[0].startswith(f"{precision}: the machine's own matrix product")
        (kinds,) = (note for note in notes if ", ms by kind of operator, " in note)
        assert f"hydra r=2+2 / lora r=4 / {FROZEN}: " in kinds
        assert re.search(r"matrix products [\d.]+ / [\d.]+ / [\d.]+; ", kinds)
        assert 0 < rate < math.inf
    assert "matrix product (34 x 128 x 512) ran at" in content["notes"][0]
    assert "batch 2, bf16: hydra r=2+2 / lora r=4: " in "\n".join(content["notes"])


def test_methods_by_name_are_held_against_linear_and_full() -> None:
    settings = StepSettings(
        TINY, (2,), repeats=1, compile="false", memory=False, methods="ssf,linear,full,vpt_deep"
    )
    report = measured("step", settings)
    rows = {row["step"]: row for row in report.rows}
    assert set(rows) == {"ssf", "linear", "full", "vpt_deep", step.LINEAR}
    for row in rows.values():
        assert row["/ full"] == pytest.approx(row["ms"] / rows["full"]["ms"])
        assert row["/ linear"] == pytest.approx(row["ms"] / rows["linear"]["ms"])
    assert set(compared_rows("all")) == set(method_names())


def test_the_largest_product_is_that_of_the_hidden_layer() -> None:
    assert step.largest_product("vit_base_patch16_224", 16) == (197 * 16, 768, 3072)


def test_peaks_are_of_whole_models(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def peak(title: str, *_: object) -> float:
        asked.append(title)
        return 5e6 * len(asked)

    monkeypatch.setattr(step, "peak_of_process", peak)
    rows: list[dict[str, Any]] = [{"step": name} for name in (*METHODS, PEFT, step.LINEAR)]
    step._add_peaks(rows, StepSettings(TINY), 2, "fp32", Report("step", CPU))
    assert asked == [*METHODS, PEFT]
    assert [row.get("peak MB") for row in rows] == [5, 10, 15, 20, 25, None]


def test_without_the_peft_library_its_row_is_left_out_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layer, "has_peft", lambda: False)
    monkeypatch.setattr(layer, "SHAPES", ((8, 8),))
    report = measured("layer", LayerSettings(batch_sizes=(1,), repeats=1))
    assert layer.PEFT not in {row["kind"] for row in report.rows}
    assert "not installed" in report.notes[0]


@pytest.mark.long
def test_peak_memory_is_of_the_steps_alone() -> None:
    small, large = (peak_of_process(PEFT, TINY, images, "fp32") for images in (1, 65))
    # Of the 64 images more each keeps at least the inputs of every block, 17 tokens of 128 floats.
    assert large - small > 64 * 5 * 17 * 128 * 4
    assert large < 1e9


def test_task(dry: Path) -> None:
    content = written(dry, "task")
    phases = {(row["loop"], row["phase"]): row["s"] for row in content["rows"]}
    for loop, parts in (
        ("ours", ("decode into the cache", "train", "score once")),
        ("plain loop", ("train", "score")),
    ):
        assert phases[loop, "all"] == pytest.approx(sum(phases[loop, part] for part in parts))
    (overhead,) = (note for note in content["notes"] if "own arithmetic" in note)
    assert float(overhead.split(": ")[1].split("%")[0].replace(",", "")) > 0


def test_what_the_plain_loop_does_not_get_done_is_predicted() -> None:
    report = Report("task", CPU)
    settings = TaskSettings(images=100, test_images=50, epochs=10, evaluations=2)
    task._tell_plain(task.TRAIN, task._Phase(6.0, 200), settings, report)
    task._tell_plain(task.SCORE, task._Phase(5.0, 100), settings, report)
    assert [(row["s"], row["label"]) for row in report.rows] == [
        (30.0, "predicted"),
        (5.0, "measured"),
    ]
    assert report.label == "measured and predicted"
    assert report.notes == ["plain loop, train, predicted: 200 images took 6 s, so 1,000 take 30 s"]


def test_table8_predicts_with_its_arithmetic(dry: Path) -> None:
    content = written(dry, "table8")
    assert [row["method"] for row in content["rows"]] == [*COMPARED, "2 runs together"]
    # 19 tasks of 1000 // 500 = 2 images in 2 epochs
    assert all("76 images x " in note for note in content["notes"][:3])
    assert all("in batches of 2" in note for note in content["notes"][:3])
    assert content["label"] == "predicted"
    *alone, together = (row["s"] for row in content["rows"])
    said = float(content["notes"][-2].rpartition(": ")[2])
    assert said == pytest.approx(together / sum(alone), rel=1e-3)


def table8_on_a_clock(monkeypatch: pytest.MonkeyPatch, **asked: Any) -> Report:
    """Report of the suite where training and scoring take twice what is predicted of a run."""
    parts = table8._Method(None, 0.01, 0.001)
    monkeypatch.setattr(table8, "_measure_parts", lambda *_: parts)
    clock = [0.0]

    def run(_: object, one: Any, settings: Table8Settings, __: object = None) -> None:
        clock[0] += 2 * (settings.epochs * one.images * 0.01 + one.tested * 0.001)

    monkeypatch.setattr(table8, "_do_run", run)
    monkeypatch.setattr(table8.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(table8, "timed", _clocked(clock))
    monkeypatch.setattr(_report.time, "perf_counter", lambda: clock[0])
    settings = Table8Settings(TINY, epochs=2, divide=500, timed="true", batch_size=2, **asked)
    return measured("table8", settings)


def _clocked(clock: list[float]) -> Callable[..., list[float]]:
    """Like ``timed``, but of a clock that only runs of the table move."""

    def timed(work: Callable[[], object], _: object, times: int, **__: object) -> list[float]:
        before = clock[0]
        work()
        return [clock[0] - before or 0.04] * times  # a step of 2 images, twice

    return timed


@pytest.mark.parametrize(("seconds", "label"), [(4, "measured and predicted"), (9999, "measured")])
def test_table8_does_whole_runs_and_packs_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch, seconds: int, label: str
) -> None:
    report = table8_on_a_clock(monkeypatch, seconds=seconds, pack=2)
    packs = [row for row in report.rows if row["method"] not in COMPARED]
    assert (len(report.rows), len(packs)) == (57 + 29, 29)
    assert packs[-1]["method"] == "the run that is left"
    assert len({row["task"] for row in report.rows if row["method"] in COMPARED}) == 19
    assert report.label == label
    for rows in (packs, [row for row in report.rows if row not in packs]):
        done = [row for row in rows if row["label"] == "measured"]
        assert done
        assert sum(row["s"] for row in done) < 2 * seconds
    assert "57 were done whole and took 2 of what was predicted" in "\n".join(report.notes)
    assert "29 were done whole and took 2 of what was predicted" in "\n".join(report.notes)


def test_table8_does_packs_alone_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    packs = table8_on_a_clock(monkeypatch, pack=2, alone=False)
    assert {row["label"] for row in packs.rows if row["method"] in COMPARED} == {"predicted"}
    assert {row["label"] for row in packs.rows if row["method"] not in COMPARED} == {"measured"}
    runs = table8_on_a_clock(monkeypatch, pack=1)
    assert len(runs.rows) == 57
    assert "together" not in "\n".join(runs.notes)


def test_table8_shares_steps_in_packs_and_each_run_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    shared: list[int] = []
    compute = Pack.compute

    def counted(self: Pack, one: Any, key: Any) -> Any:
        found = compute(self, one, key)
        shared.append(found[1])
        return found

    monkeypatch.setattr(Pack, "compute", counted)
    settings = Table8Settings(
        TINY, epochs=1, divide=500, batch_size=1, repeats=1, timed="true", pack=4, alone=False
    )
    measured("table8", settings)
    # 57 runs of two steps, in fourteen packs of four and one of one
    assert sorted(shared) == [1] * 2 + [4] * 2 * 56


def test_what_one_of_a_pack_raises_is_raised_when_all_have_ended() -> None:
    ended: list[str] = []

    def fails(_: object) -> None:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        do_in_one_pack([fails, lambda _: ended.append("other")])
    assert ended == ["other"]


def test_table4_predicts_or_times_an_epoch_for_the_papers_rows(tmp_path: Path) -> None:
    small = {"architecture": TINY, "batch_size": 4, "images": 10, "epochs": 2, "repeats": 1}
    predicted, timed = (
        measured("table4", Table4Settings(**small, timed=timed), tmp_path / f"table4-{timed}.json")
        for timed in ("false", "true")
    )
    assert (predicted.label, timed.label) == ("predicted", "measured")
    assert any(
        note.startswith("predicted: median of 1 steps of 4 images") for note in predicted.notes
    )
    for report in (predicted, timed):
        assert [row["method"] for row in report.rows] == list(table4.ROWS)
        assert all(0 < row["s/epoch"] < math.inf for row in report.rows)
    # What the suite writes is what the table reads, but for what is not through.
    (tmp_path / "table4-h100.incomplete.json").write_text("{}")
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
    settings = Table4Settings(architecture=TINY, batch_size=4, images=10, epochs=2, timed="true")
    measured("table4", settings)
    # Four methods, two epochs and one that does not count.
    assert sizes == [4, 4, 2] * 4 * 3


@pytest.mark.long
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


@pytest.mark.long
def test_agreement_counts_the_steps_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 256, (50, 3, 32, 32), dtype=torch.uint8)
    few = Split({"image": images}, torch.arange(50) % 10)
    monkeypatch.setattr(agreement, "_splits", lambda _: {"train": few, "test": few})
    report = measured("agreement", AgreementSettings(steps=4, seeds=1))
    (note,) = report.notes
    assert "the 6 losses differ" in note  # two epochs of three whole batches
    assert float(note.split("at most ")[1].split()[0]) < 1e-4
    assert [row["precision"] for row in report.rows] == ["fp32", "fp32", "bf16", "bf16"]


def test_the_other_librarys_layer_is_measured_without_its_model() -> None:
    layers = layer._layers(8, 8, CPU)
    assert type(layers[layer.PEFT]).__module__.startswith("peft.tuners.lora")


def test_merge() -> None:
    report = measured("merge", MergeSettings(architecture=TINY, batch_size=2, repeats=1))
    assert [row["forward pass"] for row in report.rows] == [
        merge.PLAIN,
        merge.MERGED,
        merge.UNMERGED,
    ]


@pytest.mark.long
def test_slots() -> None:
    report = measured("slots", SlotsSettings(slots=1, jobs=2, epochs=1))
    assert [row["slots"] for row in report.rows] == [1, 1]
    assert all(0 < row["jobs/s"] < math.inf for row in report.rows)
    gap, beside = report.notes[1:]
    assert 0 < float(gap.split(": ")[1].split()[0]) < 60
    assert float(beside.split("): ")[1].split()[0].replace(",", "")) > 0
    with pytest.raises(UserError, match="more jobs than slots"):
        measured("slots", SlotsSettings(slots=2, jobs=2))


@pytest.mark.long
def test_elevater_searches_and_the_plain_loop_is_given_as_many_trials() -> None:
    sizes = {"classes": 3, "shots": 3, "test_images": 3, "trial_epochs": 1, "epochs": 1}
    report = measured("elevater", ElevaterSettings(**sizes, plain_trials=1))
    seconds = {(row["loop"], row["part"].split(",")[0]): row["s"] for row in report.rows}
    for loop in ("ours", "plain loop"):
        parts = seconds[loop, "search"] + seconds[loop, "final run"]
        assert seconds[loop, "all"] == pytest.approx(parts)
    (trials,) = {row["part"] for row in report.rows if row["part"].startswith("search")}
    assert 7 <= int(trials.split()[1]) <= 15
    assert "predicted from 1 of them" in report.notes[0]
    assert 0 < float(report.notes[1].split(": ")[1].split()[0]) < math.inf


def test_the_compared_models_are_what_their_titles_say() -> None:
    trained = {
        name: sum(
            p.numel()
            for n, p in build(name, TINY, CPU).named_parameters()
            if p.requires_grad and "head" not in n
        )
        for name in ("lora r=4", "hydra r=2+2", THREE_BRANCHES, FROZEN, PEFT)
    }
    width, hidden, blocks = 128, 512, 5
    biases = blocks * 2 * (width + 4)
    assert trained[PEFT] == blocks * 4 * (2 * width + hidden + width)
    assert trained["lora r=4"] == trained[PEFT] + biases
    assert trained["hydra r=2+2"] == trained[THREE_BRANCHES]
    assert trained[FROZEN] == width


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
    content = json.loads(out.read_text())
    assert (content["label"], content["complete"]) == ("measured", True)
    assert {"hardware", "versions", "code", "settings"} <= set(content)
    for words, message in (
        (["dry=true"], "say first which suite, one of data, layer"),
        (["marge"], "suite 'marge' is unknown (did you mean 'merge'?)"),
        (["merge", "repaets=1"], "unknown key 'repaets' (did you mean 'repeats'?)"),
        (["merge", "devise=cpu"], "unknown key 'devise' (did you mean 'device'?)"),
        (["merge", "repeats=0"], "repeats=0 is not allowed: it must be a positive whole number"),
        (["layer", "batch_sizes=1,x"], "it must be positive whole numbers"),
        (["step", "memory=no"], "memory=no is not allowed: it must be true or false"),
        (["step", "methods=lora,ssg"], "methods 'ssg' is unknown (did you mean 'ssf'?)"),
        (["step", "compile=yes"], "compile=yes is not allowed: it must be auto, true or false"),
        (["table8", "timed=True"], "timed=True is not allowed: it must be auto, true or false"),
        (["step", "precisions=fp8"], "precisions=fp8 is not allowed: it must be auto, or names"),
        (["gpu", "dry=true", "parts=stop"], "parts 'stop' is unknown (did you mean 'step'?)"),
        (["gpu", "device=cpu"], "measures a GPU, and torch finds none that it may use here"),
        (["correctness", "only=test_none"], "has no test_none"),
    ):
        assert call(*words) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["step", "batch=0"], ["layer", "repeats=0"], ["gpu", "parts=no"], ["stop"]]
)
def test_a_mistake_is_told_before_torch_is_loaded(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['bench.py', *{words!r}]\n"
        "from hydra_peft.cli import bench\n"
        "code = bench.main()\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_default_place_that_cannot_be_written_to_is_told_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results").write_text("")
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    for words in (["merge"], ["gpu", "dry=true"]):
        monkeypatch.setattr(sys, "argv", ["bench.py", *words])
        assert bench.main() == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert f"cannot write at {tmp_path}/results" in told.err


TINY_GLUE = {"model": "roberta_mini", "layers": 1, "batch_size": 2, "steps": 2, "pairs": 40}


def test_glue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="text encoders need transformers: hydra-peft[text]")
    from hydra_peft.workshop.timing import glue

    def here(*given: Any) -> dict[str, float]:
        return {**glue.measured(*given), "peak": 2e6}  # this process has taken more before

    monkeypatch.setattr(glue, "in_process", here)
    settings = GlueSettings(**TINY_GLUE, plain_steps=2, repeats=1)
    report = measured("glue", settings, tmp_path / "glue-cpu.json")
    assert [row["what"] for row in report.rows] == [
        "tokenise and keep 40 pairs",
        "take from the cache 40 pairs",
        "step, ours",
        "step, plain loop, peft library",
    ]
    assert all(row["texts/s"] > 0 for row in report.rows)
    assert [row["peak MB"] for row in report.rows[2:]] == [2, 2]
    notes = "\n".join(report.notes)
    assert "s, from 40 of them (goal: below 180 on 2 cores)" in notes
    assert "step time, ours / plain loop, peft library: " in notes
    assert "goal at most 0.6" in notes
    assert "tokens (ours) and 128 tokens (plain loop, peft library) on average" in notes
    assert json.loads((tmp_path / "glue-cpu.json").read_text())["complete"]
    with pytest.raises(UserError, match="plain_steps=3 is more than steps=2"):
        GlueSettings(**TINY_GLUE, plain_steps=3)


def test_pairs_are_as_long_as_those_of_mnli() -> None:
    pytest.importorskip("transformers", reason="text encoders need transformers: hydra-peft[text]")
    from hydra_peft.workshop.timing import glue

    lengths = [[len(text.split()) for text in column] for column in glue.pairs(4000).columns]
    assert [sum(one) / 4000 for one in lengths] == pytest.approx([20.1, 10.1], rel=0.03)
    assert max(lengths[0]) > 60


@pytest.mark.long
def test_glue_in_processes_of_its_own() -> None:
    pytest.importorskip("transformers", reason="text encoders need transformers: hydra-peft[text]")
    report = measured("glue", GlueSettings(**TINY_GLUE, repeats=1))
    assert report.rows[2]["peak MB"] > 0


@pytest.mark.long
def test_busy() -> None:
    report = measured("busy", BusySettings(rounds=1, epochs=1))
    assert [row["busy programs beside"] for row in report.rows] == [0, 0, 1, 1]
    # A thread a core beside a busy program: perhaps no epoch is over in time, as it is to show.
    follows = [row for row in report.rows if str(row["threads"]).startswith("threads that follow")]
    assert [row["images/s, median"] > 0 for row in follows] == [True, True], report.rows
    assert "goal at least 0.97" in report.notes[0]


def test_busy_is_about_a_cpu_and_something_to_measure() -> None:
    with pytest.raises(UserError, match="at least 1"):
        measured("busy", BusySettings(rounds=0))
    with pytest.raises(UserError, match="give device=cpu"):
        busy.run(torch.device("cuda"), BusySettings(), Report("busy", torch.device("cuda")))
