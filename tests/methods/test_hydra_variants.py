"""Variants of Hydra at one position: what they set, and their published budgets."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from stock_vit import vit_b16

import hydra_peft
from hydra_peft.config.check import check_config
from hydra_peft.config.identity import config_id


@pytest.mark.parametrize(
    ("variant", "target", "count"),
    # reference: worked counts 3,842 + 3,842 and 8,450 + 3,842 a block, whose shapes are ViT-B/16's
    # as CLIP's ViT-B/32's
    [("hydra_mlp", "mlp.fc2", 147_504), ("hydra_msa", "attn.proj", 92_208)],
)
def test_budget(
    compose_train: Callable[..., object], variant: str, target: str, count: int
) -> None:
    composed = check_config(compose_train(f"method={variant}"))
    by_hand = check_config(compose_train("method=hydra", f"method.targets=[{target}]"))
    assert composed == by_hand
    assert config_id(composed) == config_id(by_hand)
    model = vit_b16()
    hydra_peft.inject(model, composed.method)
    assert hydra_peft.count_parameters(model).adapter == count
