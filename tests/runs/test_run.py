"""A run writes what it promises, gives the same bits again, and says how it ended."""

from __future__ import annotations

import csv
import errno
import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fabricated_runs import edited
from flat_results import correct, results

from hydra_peft.backbones.backbones import build_backbone
from hydra_peft.errors import UserError
from hydra_peft.optimizers.adamw import AdamW
from hydra_peft.runs import checkpoints as checkpoints_module
from hydra_peft.runs import ledger as ledger_module
from hydra_peft.runs import task_splits
from hydra_peft.runs import training as training_module
from hydra_peft.runs.folder import find_runs
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.record import read_record
from hydra_peft.tensor_files import read_tensors, write_tensors

Do = Callable[..., Outcome]


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_folder_and_record(do: Do, tmp_path: Path) -> None:
    outcome = do()
    folder, record = outcome.folder, outcome.record
    name = f"hydra-r=2+2-seed0-{record.config_id}-{record.weights['sha256'][:8]}"
    assert folder == tmp_path / "runs/mini/digits" / name
    assert sorted(path.name for path in folder.iterdir()) == [
        "adapter.json",
        "adapter.safetensors",
        "config.yaml",
        "metrics.csv",
        "predictions.safetensors",
        "result.json",
        "tensorboard",
        "train.log",
    ]
    written = json.loads((folder / "result.json").read_text())
    assert written["status"] == "completed"
    assert written["schema"] == 2
    assert written["protocol"] == "clean"
    assert written["weights"]["kind"] == "pretrained"
    assert written["counts"]["scored"] == 50
    accuracy = pytest.approx(100 * written["counts"]["correct"] / 50)
    assert (written["primary"], written["scores"]) == ("accuracy", {"test": {"accuracy": accuracy}})
    assert written["selection"] == {"rule": "last", "split": "test", "epoch": 2}
    counts = written["parameters"]
    assert counts["head"] == 129 * 10
    assert counts["trainable"] == counts["adapter"] + counts["head"]
    for key in ("data", "times", "memory", "hardware", "versions", "code", "science", "settings"):
        assert written[key], key
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) == pytest.approx(written["training"]["loss"])
    assert "test accuracy" in (folder / "train.log").read_text()
    assert list((folder / "tensorboard").iterdir())


def test_the_size_of_the_images_is_recorded_and_a_run_of_its_own(do: Do) -> None:
    usual, small = do("train.epochs=1"), do("train.epochs=1", "model.image_size=16")
    assert usual.record.inputs == {"image_size": [32, 32]}
    assert small.record.inputs == {"image_size": [16, 16]}
    assert small.record.settings["model.image_size"] == 16
    assert small.record.weights["sha256"] != usual.record.weights["sha256"]
    assert do("train.epochs=1", "model.image_size=32").skipped


def test_same_bits_alone_and_after_other_jobs(do: Do, tmp_path: Path) -> None:
    dropout = ["method.dropout=0.3", "model.drop_path=0.2"]
    alone = do(*dropout, f"paths.runs={tmp_path}/alone")
    do("method=full", "seed=4")
    do("method=linear", "dataset=mini/texture")
    torch.rand(7)
    later = do(*dropout, f"paths.runs={tmp_path}/later")
    first, second = (read_tensors(o.folder / "adapter.safetensors") for o in (alone, later))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert results(alone.record) == results(later.record)


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_seeds_and_methods_share_what_they_should(do: Do) -> None:
    """The same seed gives two methods the same data order and head start, another seed neither."""
    lora, hydra = do("method=lora", "train.epochs=1"), do("method=hydra", "train.epochs=1")
    other = do("method=lora", "train.epochs=1", "seed=1")
    assert lora.record.data == hydra.record.data == other.record.data
    assert lora.record.weights == other.record.weights
    assert lora.record.training["loss"] != other.record.training["loss"]


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_frozen_backbone_is_untouched_by_full_fine_tuning_before(do: Do) -> None:
    before = do("method=linear").record.weights["sha256"]
    do("method=full")
    assert do("method=linear", "seed=2").record.weights["sha256"] == before


def test_completed_run_is_skipped_rerun_or_refused(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    first = do()
    again = do()
    assert again.skipped
    assert again.record == first.record
    with pytest.raises(UserError, match="holds this very run already"):
        do("sweep.on_existing=error")
    # The clock is set back by more than a day while it runs.
    monkeypatch.setattr(ledger_module, "utc_now", lambda: "2001-01-01T00:00:00+00:00")
    rerun = do("sweep.on_existing=rerun")
    assert not rerun.skipped
    assert do().skipped
    aside = first.folder.with_name(f"{first.folder.name}.superseded-1")
    assert json.loads((aside / "result.json").read_text())["started"] == first.record.started


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_two_checkpoints_are_two_runs_and_their_place_does_not_matter(
    do: Do, tmp_path: Path
) -> None:
    first = do()
    model, _ = build_backbone(
        "vit_mini", arguments={}, drop_path=0, checkpoint=None, pretrained=True, seed=0
    )
    path = tmp_path / "weights.safetensors"
    write_tensors(path, model.state_dict(), {})
    assert do(f"model.checkpoint={path}").skipped  # the same weights from another place
    with torch.no_grad():
        model.norm.weight += 0.5
    write_tensors(path, model.state_dict(), {})
    other = do(f"model.checkpoint={path}")  # other weights in the same place
    assert not other.skipped
    assert other.record.config_id == first.record.config_id
    assert other.folder != first.folder
    assert other.record.weights["sha256"] != first.record.weights["sha256"]


def test_a_completed_run_on_other_data_is_not_mistaken_for_this(do: Do) -> None:
    folder = do().folder
    record = json.loads((folder / "result.json").read_text())
    edited(folder, data={**record["data"], "sha256": "0" * 64})
    with pytest.raises(UserError, match="holds this run on other data"):
        do()


def test_a_rerun_that_cannot_start_keeps_the_completed_run(
    do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = do()

    def fail(*_: object, **__: object) -> None:
        raise UserError("no data")

    monkeypatch.setattr(task_splits, "load_data", fail)
    with pytest.raises(UserError, match="no data"):
        do("sweep.on_existing=rerun")
    monkeypatch.undo()
    assert do().skipped
    assert first.folder.exists()


def test_random_weights_say_so(do: Do) -> None:
    record = do("model.pretrained=false").record
    assert record.weights["kind"] == "random"
    assert record.weights["source"].startswith("random, seed ")


def test_validation_protocol_does_not_touch_the_test_set(
    do: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    original = training_module.evaluate

    def spy(model, task, split, **arguments):  # type: ignore[no-untyped-def]
        sizes.append(len(split))
        return original(model, task, split, **arguments)

    monkeypatch.setattr(training_module, "evaluate", spy)
    record = do("protocol=validation").record
    assert sizes == [25]
    assert (record.split, record.counts["scored"]) == ("val200", 25)


def test_clean_protocol_touches_the_test_set_once(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = training_module.evaluate
    monkeypatch.setattr(
        training_module, "evaluate", lambda *a, **k: calls.append(1) or original(*a, **k)
    )
    do("train.epochs=3")
    assert len(calls) == 1


def test_selection_on_a_split_says_so_and_keeps_that_epoch(do: Do) -> None:
    best = do(
        "protocol.name=official",
        "protocol.selection=best",
        "protocol.evaluate_every=1",
        "train.epochs=3",
        "optimizer.lr=0.05",
    )
    assert best.record.rule == "best of 3 evaluations on test"
    log = (best.folder / "train.log").read_text().splitlines()
    scores = [float(line.split("accuracy ")[1][:-1]) for line in log if "test accuracy" in line]
    assert best.record.score == pytest.approx(max(scores), abs=0.01)
    assert best.record.selection["epoch"] == 1 + scores.index(max(scores))
    from hydra_peft.runs.rebuild import reevaluate

    again = reevaluate(
        best.folder, cache=best.folder / "cache", checkpoint=None, data=None, device="cpu"
    )
    assert correct(again.unmerged) == best.record.counts["correct"]
    assert again.unmerged.outputs is not None
    kept = read_tensors(best.folder / "predictions.safetensors")["outputs"]
    assert torch.equal(kept.argmax(1), again.unmerged.outputs.argmax(1))


def test_interrupted_run_says_so_and_is_done_again(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    earlier = do("seed=9")
    content = (earlier.folder / "result.json").read_bytes()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_module, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        do()
    (folder,) = (tmp_path / "runs/mini/digits").glob("hydra-*-seed0-*")
    record = json.loads((folder / "result.json").read_text())
    assert record["status"] == "interrupted"
    assert record["scores"] == {}
    assert (earlier.folder / "result.json").read_bytes() == content
    monkeypatch.undo()
    assert do().record.status == "completed"


def test_diverged_run_says_so(do: Do) -> None:
    outcome = do("optimizer.lr=1e6", "method=full")
    assert outcome.record.status == "diverged"
    assert "lower optimizer.lr" in str(outcome.record.error)
    assert json.loads((outcome.folder / "result.json").read_text())["status"] == "diverged"


@pytest.mark.parametrize("protocol", ["clean", "official"])
def test_weights_that_the_last_step_breaks_are_a_diverged_run(
    do: Do, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    build = AdamW.build

    def built(options: AdamW, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        optimizer = build(options, parameters)
        optimizer.register_step_post_hook(lambda *_: parameters[0].data.fill_(torch.inf))
        return optimizer

    monkeypatch.setattr(AdamW, "build", built)
    one_step = ("train.epochs=1", "train.batch_size=89")
    outcome = do(f"protocol={protocol}", *one_step)
    assert outcome.record.status == "diverged"
    assert "in epoch 1, step 1: lower optimizer.lr" in str(outcome.record.error)
    names = {path.name for path in outcome.folder.iterdir()}
    assert "metrics.csv" in names
    assert not names & {"adapter.safetensors", "adapter.json", "traceback.txt"}


def test_full_disk_fails_the_run_and_leaves_the_others(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    earlier = do("seed=9")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "result.json")

    monkeypatch.setattr("hydra_peft.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        do()
    monkeypatch.undo()
    hidden = [path.name for path in (tmp_path / "runs").rglob(".*")]
    assert hidden == [".claims"]  # no temporary file stays behind
    assert do("seed=9").skipped
    assert earlier.record.status == "completed"


def test_a_limit_of_memory_interrupts_the_run(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("hydra_peft.runs.training.Training.execute", none_left)
    for seed, limit in ((1, resource.RLIM_INFINITY), (2, 2**40)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        with pytest.raises(MemoryError):
            do("method=linear", f"seed={seed}")
    monkeypatch.undo()
    records = [read_record(path) for path in find_runs(tmp_path / "runs")]
    ends = {record.seed: (record.status, str(record.error)) for record in records}
    assert ends[1][0] == "failed"
    assert ends[2][0] == "interrupted"
    assert ends[2][1].endswith("raise the limit of 1 TiB (ulimit -v).")


def test_a_disk_that_fills_up_interrupts_the_run_and_the_same_command_goes_on(
    do: Do, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    short = ("method=linear", "train.epochs=3", "train.checkpoint_every=1")
    undisturbed = do(*short, f"paths.runs={tmp_path}/other")
    original, written = checkpoints_module.write_tensors, []

    def fill(path: Path, *rest: object) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        original(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoints_module, "write_tensors", fill)
    with pytest.raises(OSError, match="No space left"):
        do(*short)
    folder = written[0].parent.parent
    record = read_record(folder)
    assert record.status == "interrupted"
    assert "the disk is full; make room" in str(record.error)
    assert [path.name for path in written[0].parent.iterdir()] == [written[0].name]
    assert not (folder / "traceback.txt").exists()
    monkeypatch.undo()
    outcome = do(*short)
    assert [part["epoch"] for part in outcome.record.resumed] == [1]
    assert results(outcome.record) == results(undisturbed.record)


def test_drop_last_without_a_batch(do: Do, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leaves no batch of 89 training examples"):
        do("train.batch_size=2000", "train.drop_last=true")
    assert list((tmp_path / "runs").iterdir()) == []


def test_the_record_says_which_way_it_was_computed(do: Do) -> None:
    adapted = do("train.epochs=1").record
    assert adapted.path == {
        "features": "computed in each step",
        "compiled": None,
        "cuda_graph": False,
    }
    assert do("method=linear").record.path["features"] == "computed once"


def test_a_profile_lies_in_the_runs_folder(do: Do) -> None:
    outcome = do("train.profile=true")
    text = (outcome.folder / "profile.md").read_text()
    for phase in ("batch", "forward", "backward", "optimizer"):
        assert f"`{phase}`" in text
    assert (outcome.folder / "profile_trace.json.gz").is_file()
    # how it is looked at changes nothing
    assert do("train.profile=true").skipped
    assert do().skipped


def test_compile_is_a_switch_that_is_no_science(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def compile_blocks(_model: object, *, cuda_graph: bool) -> str:
        asked.append(cuda_graph)
        return "5 blocks of blocks"

    monkeypatch.setattr("hydra_peft.runs.feed.compile_blocks", compile_blocks)
    record = do("train.compile=true", "train.cuda_graph=true").record
    assert asked == [True]
    assert record.path["compiled"] == "5 blocks of blocks"
    assert record.path["cuda_graph"] is False  # of a run on a CPU
    assert do("train.compile=false").skipped
    with pytest.raises(UserError, match=r"train.compile=false: set train.compile=true"):
        do("train.compile=false", "train.cuda_graph=true")
    with pytest.raises(UserError, match=r"train.compile=maybe is not allowed"):
        do("train.compile=maybe")
