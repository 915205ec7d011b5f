"""Batches and normalisation."""

from __future__ import annotations

import torch
from torchvision.transforms.functional import normalize, to_tensor

from hydra_peft.data.split import Batch
from hydra_peft.training.batches import Normalizer, batch_count, shuffled_rows

CPU = torch.device("cpu")


def test_normalisation_is_bit_equal_to_torchvision() -> None:
    images = torch.randint(0, 256, (6, 4, 4, 3), dtype=torch.uint8)
    planes = images.permute(0, 3, 1, 2)
    for mean, std in (
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ):
        expected = torch.stack([normalize(to_tensor(i.numpy()), mean, std) for i in images])
        ours = Normalizer(mean, std, CPU)
        for layout in (planes, planes.contiguous()):
            assert torch.equal(ours(Batch({"image": layout}, torch.zeros(6))), expected)


def test_an_epoch_meets_every_image_once_in_the_generators_order() -> None:
    def epoch(seed: int, drop_last: bool) -> list[int]:
        order = torch.Generator().manual_seed(seed)
        return torch.cat(list(shuffled_rows(10, 4, order, drop_last=drop_last))).tolist()

    assert sorted(epoch(0, False)) == list(range(10))
    assert epoch(0, False) == epoch(0, False)
    assert epoch(0, False) != epoch(1, False)
    assert epoch(0, True) == epoch(0, False)[:8]
    assert (batch_count(10, 4, False), batch_count(10, 4, True)) == (3, 2)
