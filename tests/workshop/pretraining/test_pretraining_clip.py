"""The two towers of ``clip_mini``: captioned scenes, the loss, the files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from hydra_peft.adaptation.fingerprint import weights_hash
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.checkpoints import load_checkpoint
from hydra_peft.backbones.text_files import EmbeddedText
from hydra_peft.backbones.weight_files import ASSETS
from hydra_peft.tensor_files import read_tensors_and_metadata
from hydra_peft.workshop.pretraining.captioned import (
    DIGITS,
    CaptionedBatch,
    CaptionedSource,
    vocabulary,
)
from hydra_peft.workshop.pretraining.clip_model import (
    WIDTH,
    MiniClip,
    contrastive_loss,
    distinct,
)
from hydra_peft.workshop.pretraining.clip_train import fresh_model, pretrain_clip
from hydra_peft.workshop.pretraining.options import ClipOptions
from hydra_peft.workshop.pretraining.written_digits import digit_distance

SHIPPED = ASSETS / "clip_mini.safetensors"


def test_a_batch_has_pictures_and_captions_in_known_words() -> None:
    source = CaptionedSource(3)
    batch = source.batch(200)
    assert batch.images.shape == (200, 3, 32, 32)
    assert batch.images.dtype == torch.float32
    assert float(batch.images.min()) >= -1.0
    assert float(batch.images.max()) <= 1.0
    said = {word for caption in batch.captions for word in caption.split()}
    assert said <= set(vocabulary())
    for word in ("column", "pointing", "objects", "digit", "surface", "among", "many"):
        assert word in said
    again = CaptionedSource(3).batch(200)
    assert torch.equal(again.images, batch.images)
    assert again.captions == batch.captions
    assert not torch.equal(source.batch(200).images, batch.images)


def test_captions_say_what_is_in_the_picture() -> None:
    """In columns to the right the object, what differs most from the ground, is farther right."""
    batch = CaptionedSource(4).batch(400)
    places = []
    for image, caption in zip(batch.images, batch.captions, strict=True):
        if "column" in caption:
            away = (image - image.flatten(1).median(dim=1).values[:, None, None]).norm(dim=0) ** 6
            x = float((away.sum(dim=0) * torch.arange(32)).sum() / away.sum())
            left = caption.split("column ")[1].split()[0]
            places.append((float(left in {"one", "two", "three", "four", "five"}), x))
    near, x = np.array(places).T
    assert x[near == 1].mean() + 4 < x[near == 0].mean()


def test_written_digits_are_strokes_inside_the_picture() -> None:
    digits = np.arange(10, dtype=np.int64).repeat(20)
    distance, half = digit_distance(np.random.RandomState(0), digits, 32)
    assert distance.shape == (200, 32, 32)
    ink = (distance < 2.0).sum(axis=(1, 2))
    assert ((ink > 40) & (ink < 450)).all()
    assert ((half > 10) & (half < 16)).all()
    means = np.stack([(distance[digits == d] < 2.0).mean(axis=0) for d in range(len(DIGITS))])
    apart = np.abs(means[:, None] - means).mean(axis=(2, 3))
    assert apart[~np.eye(10, dtype=bool)].min() > 0.05


def test_the_loss_takes_equal_captions_as_one() -> None:
    """Plainly: a picture is to find its caption, a caption one of its pictures."""
    torch.manual_seed(0)
    model = MiniClip()
    images = CaptionedSource(1).batch(4).images
    said = ["two rings", "a heart", "two rings", "one object"]
    captions, of = distinct(said)
    assert captions == ["two rings", "a heart", "one object"]
    assert of.tolist() == [0, 1, 0, 2]
    seen = F.normalize(model.image(images), dim=1)
    read = F.normalize(model.text(model.tokenizer(captions)), dim=1)
    table = seen @ read.T / 0.07
    to_text = -table.log_softmax(dim=1)[range(4), of].mean()
    columns = table.log_softmax(dim=0)
    to_image = -torch.stack([(columns[0, 0] + columns[2, 0]) / 2, columns[1, 1], columns[3, 2]])
    loss = contrastive_loss(model, CaptionedBatch(images, said))
    assert torch.allclose(loss, (to_text + to_image.mean()) / 2, rtol=1e-5)
    assert abs(float(loss.detach()) - math.log(3.5)) < 4


def test_a_run_repeats_bit_for_bit_and_what_it_writes_is_read(tmp_path: Path) -> None:
    files, threads = [], torch.get_num_threads()
    for name in ("a", "b"):
        path = tmp_path / name / "clip_mini.safetensors"
        options = ClipOptions(path, steps=2, batch_size=8, warmup_steps=1, report_every=2)
        lines: list[str] = []
        pretrain_clip(options, lines.append)
        assert "step 2/2" in lines[0]
        text = EmbeddedText.beside(path)
        files.append([load_file(path), load_file(text.weights)])
    torch.set_num_threads(threads)
    for first, again in zip(*files, strict=True):
        assert first.keys() == again.keys()
        assert all(torch.equal(first[name], again[name]) for name in first)
    assert text.vocabulary.read_text().split() == list(vocabulary())
    tower = build_architecture("clip_mini", {}, projection=WIDTH)
    load_checkpoint(tower, path)
    said = read_tensors_and_metadata(text.weights)[1]
    assert said["image_tower"] == weights_hash(tower.state_dict())
    assert "pretrain_mini.py clip --steps 2 --seed 0 --threads 1" in said["made_by"]


def test_the_image_tower_starts_from_vit_mini() -> None:
    state = fresh_model(0).image.state_dict()
    for name, tensor in load_file(ASSETS / "vit_mini.safetensors").items():
        assert torch.equal(state[name], tensor)


def test_the_shipped_files_fit_and_say_how_they_were_made() -> None:
    text = EmbeddedText.beside(SHIPPED)
    files = (SHIPPED, text.weights, text.vocabulary)
    assert sum(file.stat().st_size for file in files) <= 5_000_000
    assert text.vocabulary.read_text().split() == list(vocabulary())
    said = read_tensors_and_metadata(SHIPPED)[1]
    assert said["dtype"] == "float16"
    assert float(said["own_caption"]) > 0.3  # chance is one in about 130


def test_impossible_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be"):
        ClipOptions(tmp_path / "w", steps=0)
