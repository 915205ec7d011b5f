"""Local weights in each format, and each way they can be wrong."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from npz_writer import google_names
from safetensors.torch import save_file
from torch import Tensor, nn

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.backbones import build_backbone
from hydra_peft.backbones.checkpoints import check_checkpoint, load_checkpoint
from hydra_peft.errors import UserError

SHAPE = {"img_size": 32, "depth": 2, "embed_dim": 48}


@functools.cache
def _built(**changes: int) -> nn.Module:
    return build_architecture("vit_tiny_patch16_224", {**SHAPE, **changes})


def vit(**changes: int) -> nn.Module:
    model = copy.deepcopy(_built(**changes))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model.eval()


def write(model: nn.Module, path: Path) -> None:
    state: dict[str, Tensor] = {n: t.contiguous() for n, t in model.state_dict().items()}
    head = {"head.weight": torch.zeros(7, 48), "head.bias": torch.zeros(7)}
    if path.suffix == ".npz":
        np.savez(path, **google_names(model))
    elif path.suffix == ".safetensors":
        save_file({**state, **head}, path)
    else:
        torch.save({"state_dict": {**state, **head}}, path)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["test_convnext", "test_efficientnet", "test_nfnet"])
def test_timms_own_files_of_other_families_load(tmp_path: Path, name: str, suffix: str) -> None:
    """Norms of the backbone in a head, classifiers called otherwise, counters of batch norms."""
    source, path = timm.create_model(name, num_classes=7).eval(), tmp_path / f"weights{suffix}"
    for tensor in source.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 0.5)
        else:
            tensor.fill_(3)
    state = source.state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    target = timm.create_model(name, num_classes=0)
    check_checkpoint(target, path)
    load_checkpoint(target, path)
    own = target.state_dict()
    assert own.keys() < state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in own.items())


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
def test_loads_to_equal_features(tmp_path: Path, suffix: str) -> None:
    source, path = vit(), tmp_path / f"weights{suffix}"
    write(source, path)
    target = vit()
    load_checkpoint(target, path)
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(target(x), source(x))


def skeleton(**changes: int) -> nn.Module:
    with torch.device("meta"):
        return build_architecture("vit_tiny_patch16_224", {**SHAPE, **changes})


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
def test_what_fits_passes_the_check_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    write(vit(img_size=64), path)
    monkeypatch.setattr(
        "hydra_peft.backbones.google_npz._File.read", lambda *_: pytest.fail("read")
    )
    monkeypatch.setattr(
        "hydra_peft.backbones.checkpoints.read_tensors", lambda _: pytest.fail("read")
    )
    check_checkpoint(skeleton(), path)


def test_patches_of_another_size_are_resized_as_on_loading(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    write(vit(patch_size=8), path)
    load_checkpoint(vit(), path)
    check_checkpoint(skeleton(), path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("change", [{"depth": 3}, {"embed_dim": 96}, {}])
def test_what_does_not_fit_is_found_unread(
    tmp_path: Path, suffix: str, change: dict[str, int]
) -> None:
    path = tmp_path / f"weights{suffix}"
    write(vit(), path)
    if not change:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=str(path)):
        check_checkpoint(skeleton(**change), path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
def test_truncated_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    write(vit(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match="truncated"):
        load_checkpoint(vit(), path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
@pytest.mark.parametrize("change", [{"depth": 3}, {"embed_dim": 96}])
def test_another_model(tmp_path: Path, suffix: str, change: dict[str, int]) -> None:
    path = tmp_path / f"weights{suffix}"
    write(vit(), path)
    with pytest.raises(UserError, match=str(path)):
        load_checkpoint(vit(**change), path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
def test_position_embeddings_are_interpolated(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    write(vit(img_size=64), path)
    target = vit()
    load_checkpoint(target, path)
    assert target.pos_embed.shape == (1, 5, 48)


def test_pickles_are_refused_without_being_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "exploded",)

    (tmp_path / "weights.pth").write_bytes(pickle.dumps({"model": Bomb()}))
    np.savez(tmp_path / "weights.npz", cls=np.array([Bomb()], dtype=object))
    for name in ("weights.pth", "weights.npz"):
        with pytest.raises(UserError):
            load_checkpoint(vit(), tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_floats_of_another_width_become_float32(
    tmp_path: Path, suffix: str, dtype: torch.dtype
) -> None:
    source, target = vit(img_size=64).to(dtype).float(), vit(img_size=64)
    write(copy.deepcopy(source).to(dtype), tmp_path / f"weights{suffix}")
    check_checkpoint(skeleton(), tmp_path / f"weights{suffix}")  # of another image size
    load_checkpoint(target, tmp_path / f"weights{suffix}")
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name]), name


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t * torch.nan, "has values that are not finite"),
        (lambda t: t / 0, "has values that are not finite"),
        (lambda t: t.double() + 1e300, "has values that are not finite"),
        (lambda t: t.int(), "has dtype int32, expected float32"),
        (lambda t: t > 0, "has dtype bool, expected float32"),
        (lambda t: t.to(torch.complex64), "has dtype complex64, expected float32"),
        (lambda t: t.to(torch.float8_e4m3fn), "has dtype float8_e4m3fn, expected float32"),
    ],
)
@pytest.mark.parametrize("name", ["blocks.1.norm1.weight", "pos_embed"])
def test_values_that_are_no_weights(
    tmp_path: Path, spoil: Callable[[Tensor], Tensor], message: str, name: str
) -> None:
    model, untouched = vit(), vit(img_size=64)
    before = {n: t.clone() for n, t in untouched.state_dict().items()}
    state = {n: t.contiguous() for n, t in model.state_dict().items()}
    state[name] = spoil(state[name])
    torch.save(state, tmp_path / "weights.pth")
    save_file(state, tmp_path / "weights.safetensors")
    for path in (tmp_path / "weights.pth", tmp_path / "weights.safetensors"):
        with pytest.raises(UserError, match=f"'{name}' of shape ") as caught:
            load_checkpoint(untouched, path)
        if path.suffix == ".pth" or "float8" not in message:
            assert message in str(caught.value)
    if "dtype" in message:  # found in the header alone
        with pytest.raises(UserError, match=f"'{name}' of shape .* has dtype "):
            check_checkpoint(skeleton(), tmp_path / "weights.safetensors")
    assert all(torch.equal(t, before[n]) for n, t in untouched.state_dict().items())


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
@pytest.mark.parametrize("beside", [{}, {"n_averaged": torch.tensor(3)}], ids=["", "averaged"])
def test_names_that_a_wrapper_made_longer(
    tmp_path: Path, prefix: str, beside: dict[str, torch.Tensor]
) -> None:
    source, target = vit(), vit()
    state = {f"{prefix}{n}": t for n, t in source.state_dict().items()} | beside
    torch.save({"model": state, "epoch": 3}, tmp_path / "weights.pth")
    load_checkpoint(target, tmp_path / "weights.pth")
    assert torch.equal(target.pos_embed, source.pos_embed)


def test_numbers_beside_a_backbone_are_no_part_of_it(tmp_path: Path) -> None:
    source, target = vit(), vit()
    torch.save({**source.state_dict(), "vocab_size": torch.tensor(9)}, tmp_path / "weights.pth")
    load_checkpoint(target, tmp_path / "weights.pth")
    assert torch.equal(target.pos_embed, source.pos_embed)


def test_missing_and_unknown_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_checkpoint(vit(), tmp_path / "none.npz")
    with pytest.raises(UserError, match="does not exist"):
        load_checkpoint(vit(), tmp_path / f"{'n' * 300}.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(UserError, match="is not a file"):
        load_checkpoint(vit(), tmp_path / "pipe.pth")
    (tmp_path / "weights.h5").write_bytes(b"x")
    with pytest.raises(UserError, match=r"unknown ending '\.h5'.*\.npz, \.safetensors"):
        load_checkpoint(vit(), tmp_path / "weights.h5")


@pytest.mark.parametrize("checkpoint", ["", "a\0.pth", 3, b"a.pth"])
def test_what_is_no_path(checkpoint: object) -> None:
    arguments: dict[str, Any] = {"checkpoint": checkpoint, "pretrained": True, "seed": 0}
    with pytest.raises(UserError, match=r"^model\.checkpoint is .*, expected the path of a file"):
        build_backbone("vit_mini", arguments={}, drop_path=0.0, **arguments)
    with pytest.raises(UserError, match=r"^model\.checkpoint is .*, expected the path of a file"):
        load_checkpoint(nn.Linear(1, 1), checkpoint)  # type: ignore[arg-type]


def test_files_of_another_family_go_through_its_own_names(tmp_path: Path) -> None:
    small = {"img_size": 32, "embed_dim": 32, "depth": 1, "num_heads": 2}
    name = "vit_small_patch16_dinov3"
    model, other = build_architecture(name, small), build_architecture(name, small)
    path = tmp_path / "w.safetensors"
    save_file({n: t.contiguous() + 1 for n, t in model.state_dict().items()}, path)
    check_checkpoint(other, path)
    load_checkpoint(other, path)
    for key, tensor in other.state_dict().items():
        torch.testing.assert_close(tensor, model.state_dict()[key] + 1)
    google = tmp_path / "w.npz"
    google.touch()
    with pytest.raises(UserError, match="Google's vision transformers, and this model is a Eva"):
        load_checkpoint(other, google)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth"])
@pytest.mark.parametrize("name", ["norm.weight", "y" * 60_000])
def test_names_and_shapes_of_any_length_are_cut(tmp_path: Path, suffix: str, name: str) -> None:
    path, model = tmp_path / f"a{suffix}", vit()
    write(model, path)
    if suffix == ".npz":
        with zipfile.ZipFile(path, "a") as archive, archive.open(f"{name}.npy", "w") as member:
            np.save(member, np.ones((1,) * 30))
    elif suffix == ".pth":
        torch.save({**model.state_dict(), name: torch.ones((1,) * 60).to_sparse()}, path)
    else:
        save_file({**model.state_dict(), name: torch.ones((1,) * 60)}, path)
    with pytest.raises(UserError) as raised:
        load_checkpoint(vit(), path)
    assert len(str(raised.value)) < len(str(tmp_path)) + 450


def test_a_name_of_any_length_is_cut(tmp_path: Path) -> None:
    torch.save({**vit().state_dict(), "\x1b[2J" + "y" * 10**6: torch.zeros(1)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="has 1 unknown ones") as raised:
        load_checkpoint(vit(), tmp_path / "a.pth")
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < len(str(tmp_path)) + 300
