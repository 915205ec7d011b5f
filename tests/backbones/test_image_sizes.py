"""The size of images that is chosen: what it may be, what it makes of weights, where it stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from hydra_peft.backbones.architectures import build_architecture, input_size
from hydra_peft.backbones.arguments import check_arguments
from hydra_peft.backbones.backbones import build_backbone
from hydra_peft.backbones.checkpoints import load_checkpoint
from hydra_peft.backbones.image_sizes import own_size, patch_size
from hydra_peft.config.check import check_config
from hydra_peft.config.identity import config_id
from hydra_peft.errors import UserError

Compose = Callable[..., Any]
SHAPE = {"embed_dim": 48, "depth": 1}


@pytest.mark.parametrize(
    "module", ["vision_transformer", "eva", "beit", "deit", "swin_transformer"]
)
def test_sizes_in_names_are_those_that_timm_builds(module: str) -> None:
    names = {*timm.list_models(module=module), *timm.list_models(module=module, pretrained=True)}
    known = {name: own_size(name) for name in names}
    assert sum(size is not None for size in known.values()) > 9
    for name, size in known.items():
        stated = timm.get_pretrained_cfg(name)
        assert stated is not None
        assert size in (None, stated.input_size[-1]), name


@pytest.mark.parametrize(
    "name",
    ["vit_mini", "vit_tiny_patch16_224", "vit_small_patch14_dinov2", "beit_base_patch16_384"],
)
def test_patches_and_sizes_without_torch_are_those_of_the_model(name: str) -> None:
    with torch.device("meta"):
        model = cast(Any, build_architecture(name, {"depth": 1}))
    assert model.patch_embed.patch_size == (patch_size(name, {}),) * 2
    assert input_size(model) == (own_size(name),) * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.image_size=50"],
         "model.image_size=50 is not allowed: it must be a multiple of 8, the patch of vit_mini in "
         "pixels, such as 48 or 56."),
        (["model.image_size=5"], "such as 8."),
        (["model.image_size=0"], "model.image_size=0 is not allowed: it must be at least 1 and at "
         "most 4,096."),
        (["model.image_size=-8"], "it must be at least 1"),
        (["model.image_size=8192"], "at most 4,096"),
        (["model.image_size=big"], "model.image_size=big is not allowed: it must be a whole"),
        (["model.image_size=16", "+model.arguments.img_size=16"], "say the same thing twice"),
        (["model.image_size=24", "+model.arguments.patch_size=16"], "a multiple of 16"),
        (["model=vit_base_patch16_224_in21k", "model.image_size=56"], "a multiple of 16"),
    ],
)  # fmt: skip
def test_wrong_sizes_are_one_sentence_before_a_model_is_built(
    compose_train: Compose, words: list[str], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        check_config(compose_train(*words))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("test_vit", 50, "must be a multiple of 16"),
        ("vit_relpos_small_patch16_224", 50, "must be a multiple of 16"),
        ("roberta", 64, "model.image_size=64 cannot be chosen: .* does not take images"),
    ],
)
def test_wrong_sizes_that_only_the_model_tells(name: str, size: int, message: str) -> None:
    with pytest.raises(UserError, match=message), torch.device("meta"):
        build_architecture(name, {}, image_size=size)


def test_the_size_is_part_of_the_identity_where_it_is_not_the_models_own(
    compose_train: Compose,
) -> None:
    def checked(*words: str) -> Any:
        return check_config(compose_train("precision=fp32", *words))

    own, same, other = checked(), checked("model.image_size=32"), checked("model.image_size=16")
    assert config_id(own) == config_id(same) == "8808f9ad4393"  # as before there was such a key
    assert own.settings == same.settings
    assert config_id(other) != config_id(own)
    assert other.settings == {**own.settings, "model.image_size": 16}
    assert config_id(checked("+model.antialias=false")) != config_id(own)


def write_grid(path: Path, side: int) -> torch.Tensor:
    """Write a ViT of 16 pixels a patch and ``side`` patches; return its positions."""
    model = build_architecture("vit_tiny_patch16_224", SHAPE, image_size=16 * side)
    torch.nn.init.normal_(cast(torch.Tensor, model.pos_embed))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    return cast(torch.Tensor, model.pos_embed).detach()


@pytest.mark.parametrize("antialias", [True, False])
def test_positions_are_resampled_by_bicubic_interpolation(tmp_path: Path, antialias: bool) -> None:
    path = tmp_path / "weights.safetensors"
    stored = write_grid(path, 6)
    model = build_architecture("vit_tiny_patch16_224", SHAPE, image_size=48)
    load_checkpoint(model, path, antialias=antialias)
    grid = stored[:, 1:].reshape(1, 6, 6, 48).permute(0, 3, 1, 2)
    small = F.interpolate(grid, size=(3, 3), mode="bicubic", antialias=antialias)
    expected = torch.cat([stored[:, :1], small.flatten(2).mT], dim=1)
    found = cast(torch.Tensor, model.pos_embed)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert found.shape == (1, 1 + math.prod(input_size(model)) // 16**2, 48)


def test_two_ways_to_resample_are_two_backbones(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write_grid(path, 6)

    def sha256(**options: Any) -> str:
        usual = {"arguments": SHAPE, "drop_path": 0.0, "pretrained": True, "seed": 0}
        options = {**usual, "checkpoint": str(path), "image_size": 48, **options}
        return build_backbone("vit_tiny_patch16_224", **options)[1].sha256

    assert len({sha256(), sha256(antialias=False), sha256(image_size=96)}) == 3
    assert sha256(image_size=96) == sha256(image_size=96, antialias=False)  # nothing to resample


def test_a_family_that_resamples_in_one_way_says_so(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    options = {"embed_dim": 48, "depths": [1], "num_heads": [2]}
    model = build_architecture("swin_tiny_patch4_window7_224", options)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)
    with pytest.raises(UserError, match="antialias=false is not possible with a SwinTransformer"):
        load_checkpoint(model, path, antialias=False)


@pytest.mark.parametrize(("patch", "multiple"), [(7, 7), ([7, 8], 7), ([8, 5], 5), ((3, 3), 3)])
def test_patches_cover_the_images_of_the_architecture(patch: object, multiple: int) -> None:
    """Not all pixels of a side would be in one."""
    with pytest.raises(UserError, match=f"must be a multiple of {multiple}, the patch of vit_mini"):
        check_arguments("vit_mini", {"patch_size": patch}, None)
    check_arguments("vit_mini", {"patch_size": [8, 16]}, None)
