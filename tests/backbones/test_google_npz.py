"""Google's ViT files: every value where timm puts it, and every deviation one sentence."""

from __future__ import annotations

import copy
import functools
import io
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from npz_writer import google_names, member, write_members
from torch import nn

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.checkpoints import load_checkpoint
from hydra_peft.backbones.google_npz import MAX_SIDE, read_google_vit
from hydra_peft.errors import UserError

Arrays = dict[str, np.ndarray]
SHAPE = {"img_size": 32, "depth": 2, "embed_dim": 48}
POSITIONS = "Transformer/posembed_input/pos_embedding"
BLOCK = "Transformer/encoderblock_1"
QUERY = f"{BLOCK}/MultiHeadDotProductAttention_1/query/kernel"
FC1 = f"{BLOCK}/MlpBlock_3/Dense_0/kernel"


@functools.cache
def _built(**changes: Any) -> nn.Module:
    return build_architecture("vit_tiny_patch16_224", {**SHAPE, **changes})


def vit(**changes: Any) -> nn.Module:
    model = copy.deepcopy(_built(**changes))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model.eval()


def assert_same(model: nn.Module, other: nn.Module) -> None:
    mine, theirs = model.state_dict(), other.state_dict()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name


def refusal(path: Path, model: nn.Module | None = None) -> str:
    """The sentence with which ``path`` is refused."""
    target = model or vit()
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_checkpoint(target, path)
    assert all(torch.equal(tensor, before[n]) for n, tensor in target.state_dict().items())
    message = str(caught.value)
    assert str(path) in message
    assert message.endswith(".")
    assert ". " not in message
    assert "\n" not in message
    assert "again" in message or "choose" in message
    return message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.npz"


@pytest.mark.long
def test_full_size_vit_b16_gives_bit_equal_features(path: Path) -> None:
    model = build_architecture("vit_base_patch16_224.orig_in21k", {}).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:  # drawn as constants, which would not show a mix-up
            nn.init.uniform_(parameter, 0.5, 1.0)
    head = {"head/kernel": np.zeros((768, 21843), np.float32), "pre_logits/bias": np.zeros(768)}
    np.savez(path, **google_names(model), **head)
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        expected = model(x)
        for parameter in model.parameters():
            parameter.fill_(torch.nan)  # whatever is not loaded shows
        load_checkpoint(model, path)
        path.unlink()  # pytest keeps its folders, and this is 400 MB
        assert torch.equal(model(x), expected)


@pytest.mark.parametrize("size", [32, 64, 96])
@pytest.mark.parametrize(
    ("prefix", "big_vision", "arguments"),
    [
        ("", False, {}),
        ("opt/target/", False, {}),
        ("params/", True, {}),
        ("params/img/", True, {"no_embed_class": True}),
        ("", True, {}),
    ],
)
def test_same_bits_as_timm_at_any_image_size(
    path: Path, prefix: str, big_vision: bool, arguments: dict[str, Any], size: int
) -> None:
    np.savez(path, **google_names(vit(img_size=64, **arguments), prefix, big_vision))
    mine, timms = vit(img_size=size, **arguments), vit(img_size=size, **arguments)
    load_checkpoint(mine, path)
    timms.load_pretrained(str(path))
    assert_same(mine, timms)


def test_a_square_grid_is_resized_to_an_oblong_one(path: Path) -> None:
    np.savez(path, **google_names(vit(img_size=64)))
    mine, timms = vit(img_size=(32, 96)), vit(img_size=(32, 96))
    load_checkpoint(mine, path)
    timms.load_pretrained(str(path))
    assert_same(mine, timms)


def test_a_square_grid_is_no_oblong_one_of_as_many_patches(path: Path) -> None:
    source, target = vit(img_size=64), vit(img_size=(32, 128))
    np.savez(path, **google_names(source))
    load_checkpoint(target, path)  # timm's own reader would take the 4 x 4 table for 2 x 8
    table = source.pos_embed[:, 1:].reshape(1, 4, 4, 48).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(table, (2, 8), mode="bilinear")
    assert torch.equal(target.pos_embed[:, 1:], expected.flatten(2).transpose(1, 2))


def test_what_is_ignored(path: Path) -> None:
    source, target = vit(), vit()
    beside = {"opt/state/step": np.array(3), "extra/time": np.array(1.0)}
    head = {f"opt/target/{n}": np.ones(3) for n in ("head/bias", "pre_logits/kernel")}
    np.savez(path, **google_names(source, "opt/target/"), **beside, **head)
    load_checkpoint(target, path)
    assert_same(target, source)


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", "bfloat16"])
def test_other_floats_become_float32(path: Path, dtype: str) -> None:
    source, target = vit(), vit()
    torch_dtype = {"<f2": torch.float16, "bfloat16": torch.bfloat16}.get(dtype, torch.float32)
    source.to(torch_dtype).to(torch.float32)  # values that the dtype can hold
    arrays = google_names(source)
    if dtype == "bfloat16":
        arrays = {
            n: (np.ascontiguousarray(a).view(np.uint32) >> 16).astype(np.uint16).view("V2")
            for n, a in arrays.items()
        }
    else:
        arrays = {n: a.astype(dtype) for n, a in arrays.items()}
    np.savez(path, **arrays)
    state = read_google_vit(path, target)
    assert all(t.dtype == torch.float32 and t.is_contiguous() for t in state.values())
    target.load_state_dict(state)
    assert_same(target, source)


def test_a_compressed_file_is_read_without_warnings(path: Path) -> None:
    source, target = vit(), vit()
    np.savez_compressed(path, **google_names(source))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_checkpoint(target, path)
    assert_same(target, source)


def put(key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, key: change(arrays[key])}


def without(*keys: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {n: a for n, a in arrays.items() if not n.startswith(keys)}


def spoilt(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flat[5] = np.nan
    return array


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (without(FC1), [f"lacks '{FC1}' of shape (48, 192):"]),
        (
            without("cls", f"{BLOCK}/LayerNorm_2"),
            ["lacks 'cls' of shape (1, 1, 48) (and 2 more)"],
        ),
        (without(POSITIONS), [f"lacks '{POSITIONS}' of shape (1, 5, 48)"]),
        (without("embedding/kernel"), ["not a Google ViT", "lacks 'embedding/kernel'"]),
        (without(BLOCK), ["has 1 blocks", "this model has 2"]),
        (
            lambda arrays: {**arrays, "MAPHead_0/probe": np.ones((1, 1, 48)), "step": np.array(1)},
            ["holds 'MAPHead_0/probe' of shape (1, 1, 48) (and 1 more), for which"],
        ),
        (put(FC1, np.transpose), [f"'{FC1}' has shape (192, 48), this model expects (48, 192)"]),
        (
            put(QUERY, lambda a: a.reshape(48, 4, 12)),  # another number of heads, as many values
            [f"'{QUERY}' has shape (48, 4, 12), this model expects (48, 3, 16)"],
        ),
        (
            put(QUERY, lambda a: a.transpose(1, 0, 2)),
            [f"'{QUERY}' has shape (3, 48, 16), this model expects (48, 3, 16)"],
        ),
        (
            put("embedding/kernel", lambda a: a[:8, :8]),
            ["(8, 8, 3, 48), patches of 8 x 8 pixels, expected (16, 16, 3, 48), patches of 16 x"],
        ),
        (
            put("embedding/kernel", lambda a: a.transpose(3, 2, 0, 1)),
            ["'embedding/kernel' has shape (48, 3, 16, 16), this model expects (16, 16, 3, 48)"],
        ),
        (
            put("cls", lambda a: a.reshape(48)),
            ["'cls' has shape (48,), this model expects (1, 1, 48)"],
        ),
        (
            put(POSITIONS, lambda a: a[:, :4]),
            [f"'{POSITIONS}' has shape (1, 4, 48), expected (1, 5, 48), or with 1 + n x n pos"],
        ),
        (put(POSITIONS, lambda a: a[:, :1]), ["has shape (1, 1, 48), expected (1, 5, 48)"]),
        (put(POSITIONS, lambda a: a[..., :32]), ["has shape (1, 5, 32), expected (1, 5, 48)"]),
        (put(POSITIONS, lambda a: a[0]), ["has shape (5, 48), expected (1, 5, 48)"]),
        (put("cls", spoilt), ["'cls' of shape (1, 1, 48) has values that are not finite"]),
        (
            put("cls", lambda a: np.full(a.shape, 1e300)),  # not finite as float32
            ["'cls' of shape (1, 1, 48) has values that are not finite"],
        ),
        (
            put("cls", lambda a: a.astype(np.int32)),
            ["'cls' of shape (1, 1, 48) has dtype int32, expected float32"],
        ),
        (put("cls", lambda a: a.astype(object)), ["'cls'", "holds pickled objects"]),
        (
            put("cls", lambda a: np.zeros(a.shape, [("x", "<f4")])),
            ["'cls' of shape (1, 1, 48) has dtype [('x', '<f4')], expected float32"],
        ),
    ],
)
def test_damage(path: Path, damage: Callable[[Arrays], Arrays], expected: list[str]) -> None:
    np.savez(path, **damage(google_names(vit())))
    message = refusal(path)
    for words in expected:
        assert words in message


def test_messages_spell_keys_as_the_file_does(path: Path) -> None:
    np.savez(path, **without("opt/target/cls")(google_names(vit(), "opt/target/")))
    assert "lacks 'opt/target/cls'" in refusal(path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"depth": 3}, "has 2 blocks 'Transformer/encoderblock_*', this model has 3, numbered"),
        ({"depth": 1}, "has 2 blocks 'Transformer/encoderblock_*', this model has 1, numbered"),
        ({"embed_dim": 96}, "'cls' has shape (1, 1, 48), this model expects (1, 1, 96)"),
        ({"num_heads": 4}, "query/kernel' has shape (48, 3, 16), this model expects (48, 4, 12)"),
        ({"mlp_ratio": 2}, "Dense_0/kernel' has shape (48, 192), this model expects (48, 96)"),
        ({"patch_size": 8}, "patches of 16 x 16 pixels, expected (8, 8, 3, 48), patches of 8 x 8"),
        ({"in_chans": 1}, "has shape (16, 16, 3, 48), this model expects (16, 16, 1, 48)"),
        ({"qkv_bias": False}, "key/bias' of shape (3, 16) (and 5 more), for which this model has"),
    ],
)
def test_another_model(path: Path, change: dict[str, Any], expected: str) -> None:
    np.savez(path, **google_names(vit()))
    assert expected in refusal(path, vit(**change))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"init_values": 0.1}, "'blocks.0.ls1.gamma' of shape (48,) (and 3 more)"),
        ({"global_pool": "avg"}, "'fc_norm.bias' of shape (48,) (and 1 more)"),
        ({"reg_tokens": 2}, "'reg_token' of shape (1, 2, 48), for"),
    ],
)
def test_a_model_that_google_has_no_names_for(
    path: Path, change: dict[str, Any], name: str
) -> None:
    np.savez(path, **google_names(vit()))
    with pytest.raises(UserError, match="have no name: choose a plain ViT") as caught:
        load_checkpoint(vit(**change), path)
    assert f"this model has {name}" in str(caught.value)


def foreign_files() -> dict[str, bytes]:
    arrays = google_names(vit())
    stream, single = io.BytesIO(), io.BytesIO()
    np.savez(stream, **arrays)
    np.save(single, arrays["cls"])
    whole = stream.getvalue()
    return {
        "empty": b"",
        "text": b"<html>404 Not Found</html>",
        "half": whole[: len(whole) // 2],
        "without its last byte": whole[:-1],
        "only the beginning": whole[:100],
        "pickle": b"\x80\x04}\x94.",
        "single array": single.getvalue(),
    }


@pytest.mark.parametrize("kind", foreign_files())
def test_foreign_and_truncated_files(path: Path, kind: str) -> None:
    path.write_bytes(foreign_files()[kind])
    assert ("single array of shape" if kind == "single array" else "truncated") in refusal(path)


def test_a_flipped_bit_is_noticed(path: Path) -> None:
    arrays = google_names(vit())
    np.savez(path, **arrays)
    data = bytearray(path.read_bytes())
    data[data.index(arrays["cls"].tobytes()) + 9] ^= 1
    path.write_bytes(data)
    assert "'cls' cannot be read (BadZipFile), the file is truncated or damaged" in refusal(path)


def header_of(shape: tuple[int, ...]) -> bytes:
    """The header of a float32 array of ``shape``, and no values."""
    stream = io.BytesIO()
    content = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"not numpy's", "'cls' cannot be read (ValueError), the file is truncated or damaged"),
        (member(np.ones(48, np.float32))[:40], "'cls' cannot be read (ValueError)"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "'cls' cannot be read (ValueError)"),
        (member(np.ones((1, 1, 48), np.float32))[:-8], "has 184 bytes of values, expected 192"),
        (header_of((1, 1, 48)), "has 0 bytes of values, expected 192"),
        (header_of((1, 1, -48)), "has 0 bytes of values, expected -192"),
        (header_of((2**40, 2**40)), "'cls' of shape (1099511627776, 1099511627776) and dtype"),
    ],
)
def test_raw_members(path: Path, raw: bytes, expected: str) -> None:
    write_members(path, google_names(vit()), cls=raw)
    assert expected in refusal(path)


@pytest.mark.parametrize("key", ["cls", "head/kernel", POSITIONS])
def test_nothing_larger_than_the_model_is_unpacked(path: Path, key: str) -> None:
    side = MAX_SIDE + 1
    shape = (1, side**2 + 1, 48) if key == POSITIONS else (2048, 4096)
    big = member(np.zeros(shape, np.float32))
    arrays, target = google_names(vit()), vit()
    for raw in (big, member(arrays.get(key, np.ones(3))) + big):
        write_members(path, arrays, **{key: raw})
        tracemalloc.start()
        if key == "head/kernel":
            load_checkpoint(target, path)  # not even looked at
        else:
            assert f"'{key}'" in refusal(path, target)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < len(big) / 2


def test_a_file_that_may_not_be_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(path, **google_names(vit()))

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(np, "load", forbidden)
    assert f"cannot read {path}: Permission denied; " in refusal(path)
