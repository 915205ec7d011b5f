"""Runs of GLUE on a tiny RoBERTa: all eight tasks, protocols, a start from MNLI."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flat_results import results
from glue_files import DEV, ORIGINAL, TRAIN, rows, words_for, write_parquet, write_tsv
from tiny_texts import save_folder

from hydra_peft.errors import UserError
from hydra_peft.runs import rebuild
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.predicting import load_run
from hydra_peft.runs.writer import RunWriter
from hydra_peft.sweeps.lines import speed
from hydra_peft.tensor_files import read_tensors

Do = Callable[..., Outcome]


@pytest.fixture
def model() -> list[str]:
    """Runs here choose a text encoder of their own."""
    return []


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tmp_path_factory.mktemp("weights") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_tsv(root, "cola", "qnli")
    return write_parquet(root, *(task for task in ORIGINAL if task not in ("cola", "qnli")))


def words(task: str, data: Path, weights: Path, *more: str) -> list[str]:
    model = ["model=transformers", f"model.checkpoint={weights}"]
    return [*words_for(task, data), *model, "train.epochs=2", "train.batch_size=16", *more]


#: each other task has what one of these has: metrics, splits, files
DIFFERENT = ("cola", "stsb", "mnli", "mrpc")


@pytest.mark.parametrize(
    "task",
    [pytest.param(t, marks=[pytest.mark.long] * (t not in DIFFERENT)) for t in ORIGINAL],
)
def test_every_task_is_trained_and_scored_as_the_benchmark_says(
    do: Do, data: Path, weights: Path, task: str
) -> None:
    record = do(*words(task, data, weights, "method=hydra_glue")).record
    metrics = {
        "cola": ["matthews", "accuracy"],
        "stsb": ["pearson", "spearman"],
        "mrpc": ["accuracy", "f1"],
        "qqp": ["accuracy", "f1"],
    }
    dev = "validation_matched" if task == "mnli" else "validation"
    assert record.status == "completed"
    assert (record.split, record.chosen_on) == (dev, "train10")
    assert list(record.scores[dev]) == metrics.get(task, ["accuracy"])
    assert ("validation_mismatched" in record.scores) == (task == "mnli")
    assert record.data["lineage"] == ("originals" if task in ("cola", "qnli") else "parquet")
    assert record.data["counts"]["train90"] == TRAIN - TRAIN // 10
    assert record.inputs["max_length"] == 40
    assert record.counts["scored"] == DEV
    assert record.selection["evaluations"] == 2


def test_the_small_tasks_start_from_mnli_with_a_fresh_head(
    do: Do, data: Path, weights: Path
) -> None:
    more = ["method=hydra_glue", "protocol=paper"]
    mnli = do(*words("mnli", data, weights, *more, "optimizer.lr=0.01"))
    assert mnli.record.chosen_on == mnli.record.split == "validation_matched"
    theirs = read_tensors(mnli.folder / "adapter.safetensors")
    still = [*more, f"init_from='{mnli.folder}'", "optimizer.lr=1e-12"]
    for task, outputs in (("rte", 2), ("stsb", 1)):
        outcome = do(*words(task, data, weights, *still))
        assert outcome.record.init_from["task"] == "glue/mnli"
        own = read_tensors(outcome.folder / "adapter.safetensors")
        assert own["classifier.out_proj.weight"].shape[0] == outputs
        branches = [name for name in own if not name.startswith("classifier.")]
        assert len(branches) == 2 * 4
        for name in branches:
            torch.testing.assert_close(own[name], theirs[name], rtol=0, atol=1e-8)
        dense = "classifier.dense.weight"
        assert not torch.allclose(own[dense], theirs[dense])
    with pytest.raises(UserError, match=r"with method\.rank_parallel=4, and this run has 2"):
        do(*words("mrpc", data, weights, *still, "method.rank_parallel=2"))
    with pytest.raises(UserError, match="start from a run on the same backbone"):
        do(
            *words(
                "mrpc",
                data,
                weights,
                *still,
                "+model.arguments.pooling=mean",
            )
        )


@pytest.mark.parametrize("protocol", ["paper", "best_epoch", "validation"])
def test_protocols_say_what_is_trained_on_and_which_epoch_counts(
    do: Do, data: Path, weights: Path, protocol: str
) -> None:
    record = do(*words("rte", data, weights, "method=lora_glue", f"protocol={protocol}")).record
    said = (record.trained_on, record.split, record.selection["rule"])
    assert (
        said
        == {
            "paper": ("train", "validation", "last"),
            "best_epoch": ("train", "validation", "best"),
            "validation": ("train90", "train10", "last"),
        }[protocol]
    )
    assert record.selected_on_test == (protocol == "best_epoch")
    looks = record.selection["looks"]
    assert looks["split"] == record.split
    assert looks["last"]["epoch"] == 2
    counts = looks["best" if protocol == "best_epoch" else "last"]
    assert counts["score"] == record.score
    assert counts["epoch"] == record.selection["epoch"]
    assert looks["best"]["score"] >= looks["last"]["score"]


def test_a_stopped_run_goes_on_and_ends_with_the_same_bits(
    do: Do, data: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With batches of 16 in three parts, and dropout in the encoder."""
    more = words("rte", data, weights, "method=hydra_glue", "train.epochs=3", "optimizer.lr=0.01")
    more.append("train.accumulate=3")
    whole = do(*more)
    assert " texts/s\n" in (whole.folder / "train.log").read_text()
    assert speed(whole.record).endswith(" texts/s")
    step, steps = RunWriter.step, [0]

    def stopping(self: RunWriter) -> None:
        step(self)
        steps[0] += 1
        if steps[0] == 5:  # of 9: within the second epoch
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunWriter, "step", stopping)
    again = [*more, "sweep.on_existing=rerun"]
    with pytest.raises(KeyboardInterrupt):
        do(*again)
    resumed = do(*again)
    assert resumed.folder == whole.folder
    assert results(resumed.record) == results(whole.record)
    assert resumed.record.selection["looks"] == whole.record.selection["looks"]
    earlier = next(whole.folder.parent.glob(f"{whole.folder.name}.*/adapter.safetensors"))
    assert (resumed.folder / earlier.name).read_bytes() == earlier.read_bytes()


def test_the_chosen_epoch_is_scored_again_from_its_folder(
    do: Do, data: Path, weights: Path, tmp_path: Path
) -> None:
    record_of = do(*words("rte", data, weights, "method=seqlora_glue", "method.rank=3"))
    again = rebuild.reevaluate(
        record_of.folder, cache=tmp_path / "cache", checkpoint=None, data=None, device="cpu"
    )
    assert again.unmerged.values == record_of.record.scores["validation"]
    assert again.merged is not None
    assert again.merged.values == again.unmerged.values
    kept = read_tensors(record_of.folder / "predictions.safetensors")
    assert kept["outputs"].shape == (DEV, 2)
    trained = load_run(record_of.folder, device="cpu")
    pairs = [(first, second) for (first, second), _ in rows("rte", "validation")]
    names, probabilities = trained.predict(pairs)
    torch.testing.assert_close(probabilities, kept["outputs"].softmax(1), rtol=0, atol=1e-5)
    classes = ("entailment", "not_entailment")
    assert names == [classes[index] for index in kept["outputs"].argmax(1)]
    with pytest.raises(UserError, match=r"'it' cannot be predicted.*reads a pair of texts \(sent"):
        trained.predict(["it"])
    with pytest.raises(UserError, match="reads texts: it takes no images"):
        trained.transform("one.png")
