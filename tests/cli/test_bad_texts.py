"""Texts, tokenizers and encoders that do not fit, typed at scripts/train.py: one sentence each."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from glue_files import words_for, write_parquet
from safetensors.torch import load_file, save_file
from tiny_texts import save_folder, save_tokenizer

Cli = Callable[..., tuple[int, str, str]]
Case = Callable[[Path, Path], list[str]]


@pytest.fixture
def short() -> list[str]:
    return ["train.epochs=1", "train.batch_size=20", "device=cpu", "method=hydra_glue"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_folder(tmp_path_factory.mktemp("weights") / "tiny")


def model(folder: Path) -> list[str]:
    return ["model=transformers", f"model.checkpoint={folder}"]


def changed(root: Path, column: str, values: list[object] | None) -> list[str]:
    """Write rte's files, its training file with other ``values`` in ``column``, or without it."""
    import pyarrow
    from pyarrow import parquet

    path = write_parquet(root, "rte") / "glue" / "rte" / "train-00000-of-00001.parquet"
    columns = parquet.read_table(path).to_pydict()
    columns[column][: len(values or [])] = values or []
    if values is None:
        del columns[column]
    parquet.write_table(pyarrow.table(columns), path)
    return words_for("rte", root)


def good(root: Path) -> list[str]:
    return words_for("rte", write_parquet(root, "rte"))


def pickle_only(root: Path, weights: Path) -> list[str]:
    shutil.copytree(weights, root / "pickled")
    (root / "pickled" / "model.safetensors").rename(root / "pickled" / "pytorch_model.bin")
    return [*good(root), *model(root / "pickled")]


def wide_tokenizer(root: Path, weights: Path) -> list[str]:
    wide = save_tokenizer(root / "wide", extra=40)
    return [*good(root), *model(weights), f"model.tokenizer={wide}"]


def no_tokenizer(root: Path, weights: Path) -> list[str]:
    shutil.copytree(weights, root / "bare")
    (root / "bare" / "tokenizer.json").unlink()
    return [*good(root), *model(root / "bare")]


def no_label(root: Path, weights: Path) -> list[str]:
    return [*changed(root, "label", None), *model(weights)]


def null_text(root: Path, weights: Path) -> list[str]:
    return [*changed(root, "sentence2", [None]), *model(weights)]


def hidden_label(root: Path, weights: Path) -> list[str]:
    return [*changed(root, "label", [-1]), *model(weights)]


def nothing(root: Path, weights: Path) -> list[str]:
    return [*words_for("rte", root), *model(weights)]


def too_long(root: Path, weights: Path) -> list[str]:
    return [*good(root), *model(weights), "data.max_length=41"]


def image_model(root: Path, weights: Path) -> list[str]:  # noqa: ARG001
    return [*good(root), "model=vit_mini", "method=linear"]


def image_task(root: Path, weights: Path) -> list[str]:  # noqa: ARG001
    return ["dataset=mini/digits", *model(weights)]


CASES: dict[Case, str] = {
    pickle_only: "pytorch_model.bin, a pickle",
    wide_tokenizer: "ids up to 79, and the model's embedding has 60 rows",
    no_tokenizer: "or where no tokenizer.json lies beside the weights",
    no_label: "has no column 'label' (it has sentence1, sentence2, idx)",
    null_text: "has no text in column 'sentence2' of row 1 (it is null)",
    hidden_label: "has the label -1 in row 1, which hides the true one",
    nothing: "dataset glue/rte has no train in ",
    too_long: "data.max_length=41 is more than the 40 positions of this model",
    image_model: "has texts, and the backbone takes none or has no tokenizer",
    image_task: "has images, and the backbone takes none",
}


def check_sentence(said: tuple[int, str, str], sentence: str, runs: Path) -> None:
    code, out, err = said
    assert (code, out) == (2, "")
    *warnings, error = err.splitlines()
    assert all(line.startswith("WARNING: ") for line in warnings)
    assert error.startswith("error: ")
    assert sentence in error
    assert not list(runs.rglob("result.json"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_it_is_one_sentence_before_training(
    cli: Cli, case: Case, weights: Path, tmp_path: Path
) -> None:
    check_sentence(cli(*case(tmp_path, weights)), CASES[case], tmp_path / "runs")


def test_a_package_that_is_missing_is_named(
    cli: Cli, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    said = cli(*good(tmp_path), *model(weights))
    check_sentence(said, "the package transformers, which cannot be imported", tmp_path / "runs")
    assert "pip install 'hydra-peft[text]'" in said[2]


@pytest.mark.long  # tests/runs/test_glue_runs.py has the short form
def test_a_start_of_another_kind_is_refused(cli: Cli, weights: Path, tmp_path: Path) -> None:
    words, same = good(tmp_path), model(weights)
    code, out, err = cli(*words, *same, f"paths.runs={tmp_path}/first")
    assert code == 0, err
    start = f"init_from='{out.split()[-1]}'"
    other = save_folder(tmp_path / "other", "bert")
    third = shutil.copytree(weights, tmp_path / "third")
    tensors = load_file(third / "model.safetensors")
    tensors["roberta.embeddings.word_embeddings.weight"] += 1
    save_file(tensors, third / "model.safetensors")
    for more, sentence in (
        ([*same, "method.rank_parallel=2"], "with method.rank_parallel=4, and this run has 2"),
        ([*same, "method=lora_glue"], "with method.name=hydra, and this run has lora"),
        (model(other), "start from a run on the same backbone"),
        (model(third), "was trained on other weights of tiny (sha256 "),
    ):
        check_sentence(cli(*words, start, *more), sentence, tmp_path / "runs")
