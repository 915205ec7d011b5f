"""A run in use: its predictions against what it recorded, its transform against torchvision's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from fabricated_models import put_model
from fabricated_runs import edited
from PIL import Image
from torchvision import transforms

import hydra_peft
from hydra_peft.errors import UserError
from hydra_peft.runs.predicting import TrainedRun, load_run
from hydra_peft.runs.run import Outcome
from hydra_peft.tensor_files import read_tensors

NAMES = [f"class {letter}" for letter in "abcdefghij"]
DATA = {"sha256": "a" * 64, "splits": {"test": "c" * 64}, "classes": NAMES}


@pytest.fixture(scope="module")
def folder(compose_train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A completed run of hydra whose record has the names of its ten classes."""
    return put_model(compose_train, tmp_path_factory.mktemp("run"), data=DATA)


@pytest.fixture(scope="module")
def loaded(folder: Path) -> TrainedRun:
    return load_run(folder, device="cpu")


def image(seed: int, mode: str = "RGB", size: tuple[int, int] = (50, 40)) -> Image.Image:
    pixels = np.random.RandomState(seed).randint(0, 256, (*size[::-1], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def test_files_of_the_scored_split_get_the_outputs_that_were_recorded(
    do: Callable[..., Outcome], small_task: Path
) -> None:
    outcome = do("dataset=svhn", "data.allow_partial=true", f"paths.data={small_task}")
    outputs = read_tensors(outcome.folder / "predictions.safetensors")["outputs"]
    lines = (small_task / "svhn/test.txt").read_text().splitlines()
    files = [small_task / "svhn" / line.split()[0] for line in lines]
    for merged in (False, True):
        run = hydra_peft.load_run(str(outcome.folder), merged=merged, device="cpu")
        names, probabilities = run.predict(files)
        torch.testing.assert_close(probabilities, outputs.softmax(1), atol=1e-5, rtol=1e-4)
        assert names == [str(index) for index in probabilities.argmax(1).tolist()]
    said = list(run.predict_files(files))
    assert [one.name for one in said] == names
    assert torch.equal(torch.stack([one.probabilities for one in said]), probabilities)


def test_the_transform_is_torchvisions(loaded: TrainedRun, tmp_path: Path) -> None:
    metadata: Any = loaded.model.pretrained_cfg
    usual = transforms.Compose([
        transforms.Resize(loaded.size, transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize(metadata["mean"], metadata["std"]),
    ])  # fmt: skip
    for mode in ("RGB", "L", "P", "RGBA"):
        some = image(0, mode)
        some.save(tmp_path / "a.png")
        assert torch.equal(loaded.transform(some), usual(some.convert("RGB")))
        assert torch.equal(loaded.transform(tmp_path / "a.png"), loaded.transform(some))
    with torch.no_grad():
        expected = loaded.model(loaded.transform(some)[None]).softmax(1)
    torch.testing.assert_close(loaded.predict(some).probabilities, expected)


def test_one_image_or_many_in_any_form(loaded: TrainedRun, tmp_path: Path) -> None:
    some = [image(seed) for seed in range(3)]
    arrays = np.stack([np.asarray(one) for one in some])
    for seed, one in enumerate(some):
        one.save(tmp_path / f"{seed}.png")
    whole = loaded.predict(some)
    assert whole.names == [NAMES[index] for index in whole.probabilities.argmax(1).tolist()]
    assert whole.probabilities.sum(1).tolist() == pytest.approx([1, 1, 1])
    for form in (arrays, list(arrays), sorted(tmp_path.iterdir()), (one for one in some)):
        assert torch.equal(loaded.predict(form).probabilities, whole.probabilities)
    for single in (some[0], arrays[0], str(tmp_path / "0.png"), tmp_path / "0.png"):
        assert loaded.predict(single).names == whole.names[:1]
    assert loaded.predict([]).names == []
    assert loaded.predict([]).probabilities.shape == (0, 10)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        Image.new("RGB", (4, 0)),
        7,
    ],
)
def test_what_is_no_image_is_told(loaded: TrainedRun, wrong: Any) -> None:
    with pytest.raises(UserError, match=r"cannot be predicted: give a file, a PIL image, or"):
        loaded.predict([wrong])


def test_what_is_no_list_or_no_choice_is_told(loaded: TrainedRun) -> None:
    nothing: Any = None
    with pytest.raises(UserError, match="type NoneType cannot be predicted: give one example or"):
        loaded.predict(nothing)
    for wrong in ({"device": "cuda:7"}, {"device": None}, {"merged": "no"}):
        with pytest.raises(UserError, match=r"(device|merged)=.* is not allowed: it must be"):
            load_run(loaded.folder, **cast(Any, wrong))


def test_an_unreadable_file_is_named_and_the_others_are_predicted(
    loaded: TrainedRun, tmp_path: Path
) -> None:
    image(1).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    files = [tmp_path / name for name in ("bad.png", "good.png", "none.png")]
    bad, good, none = loaded.predict_files(files)
    assert (bad.name, bad.probabilities) == (None, None)
    assert bad.error.startswith(f"cannot read the image {tmp_path}/bad.png: ")
    assert none.error.endswith("none.png: no such file; convert it, or leave it out.")
    assert (good.name, good.error) == (loaded.predict(files[1]).names[0], "")
    with pytest.raises(UserError, match=r"cannot read the image .*bad\.png"):
        loaded.predict(files)


def test_classes_have_numbers_where_the_record_has_no_names(folder: Path, tmp_path: Path) -> None:
    for names in (None, NAMES[:9]):
        copied = tmp_path / str(names)[:4]
        copied.mkdir()
        for file in folder.iterdir():
            (copied / file.name).write_bytes(file.read_bytes())
        record = json.loads((copied / "result.json").read_text())
        edited(copied, data={**record["data"], "classes": names})
        assert load_run(copied, device="cpu").class_names == tuple(map(str, range(10)))


@pytest.mark.parametrize("model", [[]], ids=["pretrained"])
def test_runs_that_cannot_be_used_are_told(
    do: Callable[..., Outcome],
    extra_tasks: Path,
    extra_methods: Path,
    compose_train: Callable[..., Any],
    tmp_path: Path,
) -> None:
    text = do(
        f"hydra.searchpath=[file://{extra_tasks}]",
        "dataset=sentences",
        "model=tiny_text",
        "method=linear",
    )
    with pytest.raises(UserError, match="tiny_text, takes no images"):
        load_run(text.folder)
    place = f"hydra.searchpath=[file://{extra_methods}]"
    folder = put_model(compose_train, tmp_path, place, "method=dropping")
    with pytest.raises(UserError, match=r"cannot be merged \(blocks.0.mlp: its ReLU"):
        load_run(folder, merged=True)
    with pytest.raises(UserError, match="nowhere is not there: give the folder of a run"):
        load_run(tmp_path / "nowhere")
