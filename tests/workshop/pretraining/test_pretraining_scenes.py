from __future__ import annotations

import pytest
import torch

from hydra_peft.workshop.pretraining.class_fields import outline_fields, symbol_fields
from hydra_peft.workshop.pretraining.materials import FAMILIES, PATTERNS
from hydra_peft.workshop.pretraining.scenes import COMPANIONS, IDENTITIES, NO_IDENTITY, SceneSource


def test_a_batch_has_the_promised_shapes_and_ranges() -> None:
    batch = SceneSource(3).batch(64)
    assert batch.images.shape == (64, 3, 32, 32)
    assert batch.images.dtype == torch.float32
    assert batch.images.min() >= -1.0
    assert batch.images.max() <= 1.0
    shown = batch.identity[batch.identity != NO_IDENTITY]
    assert 0 < len(shown) < 64
    assert shown.min() >= 0
    assert shown.max() < IDENTITIES
    assert batch.pattern.max() < PATTERNS
    assert batch.family.max() < FAMILIES
    assert batch.companions.shape == (64, COMPANIONS)
    assert set(batch.companions.unique().tolist()) == {0.0, 1.0}
    assert batch.companions.sum(dim=1).max() <= 4


def test_the_seed_fixes_the_scenes() -> None:
    first, again, other = SceneSource(5), SceneSource(5), SceneSource(6)
    one, two, three = first.batch(16), again.batch(16), other.batch(16)
    assert torch.equal(one.images, two.images)
    assert torch.equal(one.identity, two.identity)
    assert not torch.equal(one.images, three.images)
    assert not torch.equal(first.batch(16).images, one.images)


def test_no_scene_comes_twice() -> None:
    source = SceneSource(7)
    images = torch.cat([source.batch(100).images for _ in range(3)])
    assert len({image.numpy().tobytes() for image in images}) == 300


def test_easy_scenes_of_one_class_look_alike() -> None:
    batch = SceneSource(8).batch(3000, top=0.0)
    brightness = batch.images.mean(dim=1).flatten(1)
    same, different = [], []
    for label in range(20):
        rows = brightness[batch.identity == label]
        others = brightness[batch.identity == label + 20]
        count = min(len(rows), len(others)) // 2
        same.append(torch.corrcoef(torch.stack([rows[:count].mean(0), rows[count:].mean(0)]))[0, 1])
        pair = torch.stack([rows[:count].mean(0), others[:count].mean(0)])
        different.append(torch.corrcoef(pair)[0, 1])
    assert torch.stack(same).mean() > torch.stack(different).mean() + 0.3


def test_difficulty_must_be_a_share() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        SceneSource(0).batch(4, top=1.5)


def test_class_fields_are_distances_and_differ() -> None:
    symbols, outlines = symbol_fields(6, 1, 24, 1.5), outline_fields(6, 1, 24, 1.5)
    assert symbols.shape == outlines.shape == (6, 24, 24)
    assert symbols.min() >= 0.0
    # Filled shapes have an inside, and the corner of the square is outside.
    assert (outlines.min(axis=(1, 2)) < -0.2).all()
    assert (outlines[:, 0, 0] > 0.3).all()
    step = 3.0 / 24
    for fields in (symbols, outlines):
        assert len({field.tobytes() for field in fields}) == 6
    assert abs(symbols[:, :, 1:] - symbols[:, :, :-1]).max() <= step * 1.01
