"""Google's ViT checkpoints (``.npz``) in timm's names, checked key by key and shape by shape.

Two layouts are read: github.com/google-research/vision_transformer (``vit_jax/models_vit.py``) and
its successor github.com/google-research/big_vision (``models/vit.py``, blocks stored one by one).
Both are flax: a dense kernel is [inputs, outputs], that of a convolution [height, width, inputs,
outputs], and attention keeps heads and head width as two axes. Which of timm's tensors a key
becomes, and how position embeddings are resized, follows ``timm.models.vision_transformer``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast
from zipfile import ZipFile

import numpy as np
import torch
from torch import Tensor, nn

from hydra_peft.errors import UserError
from hydra_peft.plain_text import tensor_name, tensor_shape
from hydra_peft.tensor_values import check_finite, wrong_dtype

Shape = tuple[int, ...]

#: what may stand before every name: nothing, a trainer's state, big_vision alone or with text
PREFIXES = ("", "opt/target/", "params/", "params/img/")
#: the classifier and the layer before it, no part of the backbone
IGNORED = ("head/", "pre_logits/")
#: rows of patches in the largest position table that is read: bounds what a file can make us hold
MAX_SIDE = 128
#: how numpy stores bfloat16, which it does not know
_BFLOAT16 = np.dtype("V2")
_MEND = "choose the model that the file belongs to, or fetch it again"


def read_google_vit(path: Path, model: nn.Module) -> dict[str, Tensor]:
    """Return the weights in a Google ``.npz`` file under the names of ``model``.

    All headers are checked before any values are read, so no more than the model's own size (and
    one position table) is ever unpacked. A head in the file is ignored.

    Args:
        path: file in the naming of vision_transformer or big_vision.
        model: timm VisionTransformer without a head; only its names and shapes are used.

    Returns:
        float32 tensors with exactly the names and shapes of ``model.state_dict()``; position
        embeddings of another image size are interpolated as timm does.

    Raises:
        UserError: the file is truncated, foreign or pickled, belongs to another model, or holds
            values that are not finite.
    """
    own = _shapes(model)
    with _open(path) as archive:
        file = _File(path, archive)
        sources = _checked_sources(file, model)
        state = {}
        for name, shape in own.items():
            parts = [_to_timm(file.read(key), shape) for key in sources[name]]
            state[name] = torch.cat(parts).contiguous()
    if "pos_embed" in state:
        state["pos_embed"] = _resize(state["pos_embed"], model)
    return state


def check_google_vit(path: Path, model: nn.Module) -> None:
    """Check what :func:`read_google_vit` would find wrong before it reads any values.

    Args:
        path: as of :func:`read_google_vit`.
        model: likewise; its tensors need no storage.

    Raises:
        UserError: the file is truncated, foreign or pickled, or belongs to another model.
    """
    with _open(path) as archive:
        _checked_sources(_File(path, archive), model)


def _shapes(model: nn.Module) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


class _File:
    """An open ``.npz``: names relative to its prefix, headers and values checked as they are read.

    Attributes:
        path: for messages.
        keys: names under the prefix, without it.
    """

    def __init__(self, path: Path, archive: np.lib.npyio.NpzFile) -> None:
        self.path = path
        self._archive = archive
        self._zip = cast(ZipFile, archive.zip)  # None only once it is closed
        names = {member.removesuffix(".npy") for member in self._zip.namelist()}
        found = [p for p in PREFIXES if f"{p}embedding/kernel" in names]
        if not found:
            raise UserError(
                f"{path} is not a Google ViT checkpoint: it lacks 'embedding/kernel'; {_MEND}."
            )
        self._prefix = found[0]
        # Beside a prefix lie the optimizer's state, counters, a text tower: not this model's.
        self.keys = {n.removeprefix(found[0]) for n in names if n.startswith(found[0])}

    def name(self, key: str) -> str:
        """Return ``key`` as the file spells it."""
        return self._prefix + key

    def shown(self, key: str) -> str:
        """Return ``key`` as a message shows it."""
        return tensor_name(self.name(key))

    def at(self, key: str) -> str:
        """Return file and ``key`` as a message begins with them."""
        return f"{self.path}: {self.shown(key)}"

    def shape(self, key: str) -> Shape:
        """Return the shape of ``key`` from its header, without reading its values.

        Raises:
            UserError: not an array of floats, or more or fewer bytes than the header states.
        """
        shape, dtype, size = self.header(key)
        if dtype.hasobject:
            raise UserError(
                f"{self.at(key)} of shape {tensor_shape(shape)} holds pickled objects, "
                "which are never read: fetch the file again."
            )
        if dtype.kind != "f" and dtype != _BFLOAT16:
            raise wrong_dtype(f"{self.at(key)} of shape {tensor_shape(shape)}", dtype)
        # The zip's checksum is compared at the end of a member only, so the end has to be read.
        if math.prod(shape) * dtype.itemsize != size:
            raise UserError(
                f"{self.at(key)} of shape {tensor_shape(shape)} and dtype {dtype} has "
                f"{size} bytes of values, expected {math.prod(shape) * dtype.itemsize}: "
                "fetch the file again."
            )
        return shape

    def header(self, key: str) -> tuple[Shape, np.dtype[Any], int]:
        """Return shape, dtype and the bytes of values that the zip's directory promises.

        Raises:
            UserError: no header of numpy's is there.
        """
        member = f"{self.name(key)}.npy"
        try:
            size = self._zip.getinfo(member).file_size
            with self._zip.open(member) as stream:
                # Later versions have headers of up to 4 GiB; savez writes them for structured
                # arrays only.
                if np.lib.format.read_magic(stream) != (1, 0):
                    raise ValueError("version")
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                return shape, dtype, size - stream.tell()
        # zipfile, its decompressors and numpy each fail in their own way on wrong bytes.
        except Exception as error:
            raise self._damaged(key, error) from None

    def read(self, key: str) -> Tensor:
        """Return the values of ``key`` as float32, in the shape that :meth:`shape` gave.

        Raises:
            UserError: the bytes are damaged, or a value is not finite.
        """
        try:
            # With the ending, since without it another member could have the name too.
            array = self._archive[f"{self.name(key)}.npy"]
        except Exception as error:
            raise self._damaged(key, error) from None
        if array.dtype == _BFLOAT16:  # the upper half of a float32
            array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
            tensor = torch.from_numpy(array.astype(np.float32, copy=False))
        check_finite(tensor, f"{self.at(key)} of shape {tensor_shape(tensor.shape)}")
        return tensor

    def _damaged(self, key: str, error: Exception) -> UserError:
        return UserError(
            f"{self.at(key)} cannot be read ({type(error).__name__}), the file "
            "is truncated or damaged: fetch it again."
        )


def _open(path: Path) -> np.lib.npyio.NpzFile:
    try:
        archive = np.load(path, allow_pickle=False)
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}; fetch it again, or choose another."
        ) from None
    # numpy takes what is no zip for an array or a pickle, and fails accordingly.
    except Exception as error:
        raise UserError(
            f"cannot open {path} as .npz ({type(error).__name__}): it is truncated, pickled, of "
            "another format or not readable; fetch it again."
        ) from None
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise UserError(
            f"{path} holds a single array of shape {tensor_shape(archive.shape)}, no named ones "
            "as a .npz does: fetch it again."
        )
    return archive


def _checked_sources(file: _File, model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Return each of the model's names with the keys it is stacked of; all headers are checked."""
    own, depth = _shapes(model), len(cast(Any, model).blocks)
    _check_depth(file, depth)
    sources = _sources(depth, big_vision="pos_embedding" in file.keys)
    _check_plain(own, sources)
    expected = {k: _stored_shape(n, own[n], model) for n in own for k in sources[n]}
    _check_names(file, expected)
    for key, shape in expected.items():
        if key.endswith("pos_embedding"):
            _check_positions(file, key, shape, _unplaced(model))
        else:
            _check_shape(file, key, shape)
    return sources


def _sources(depth: int, *, big_vision: bool) -> dict[str, tuple[str, ...]]:
    """Return timm's names of a plain ViT, each with the keys whose arrays it is stacked of."""
    # flax numbers the parts of a block: of one kind (big_vision), or all together.
    attention, norm2, mlp = (0, 1, 0) if big_vision else (1, 2, 3)
    modules: dict[str, tuple[str, ...]] = {
        "patch_embed.proj": ("embedding",),
        "norm": ("Transformer/encoder_norm",),
    }
    for i in range(depth):
        own, top = f"blocks.{i}", f"Transformer/encoderblock_{i}"
        heads = f"{top}/MultiHeadDotProductAttention_{attention}"
        modules |= {
            f"{own}.norm1": (f"{top}/LayerNorm_0",),
            f"{own}.attn.qkv": (f"{heads}/query", f"{heads}/key", f"{heads}/value"),
            f"{own}.attn.proj": (f"{heads}/out",),
            f"{own}.norm2": (f"{top}/LayerNorm_{norm2}",),
            f"{own}.mlp.fc1": (f"{top}/MlpBlock_{mlp}/Dense_0",),
            f"{own}.mlp.fc2": (f"{top}/MlpBlock_{mlp}/Dense_1",),
        }
    positions = "pos_embedding" if big_vision else "Transformer/posembed_input/pos_embedding"
    sources: dict[str, tuple[str, ...]] = {"cls_token": ("cls",), "pos_embed": (positions,)}
    for module, parts in modules.items():
        weight = "scale" if "norm" in module else "kernel"
        sources[f"{module}.weight"] = tuple(f"{part}/{weight}" for part in parts)
        sources[f"{module}.bias"] = tuple(f"{part}/bias" for part in parts)
    return sources


def _check_depth(file: _File, depth: int) -> None:
    blocks = {m[1] for key in file.keys if (m := re.match(r"Transformer/(encoderblock_\d+)/", key))}
    if blocks != {f"encoderblock_{i}" for i in range(depth)}:
        raise UserError(
            f"{file.path} has {len(blocks)} blocks '{file.name('Transformer/encoderblock_*')}', "
            f"this model has {depth}, numbered from 0: {_MEND}."
        )


def _check_plain(own: Mapping[str, Shape], known: Iterable[str]) -> None:
    foreign = sorted(own.keys() - set(known))
    if foreign:
        raise UserError(
            f"this model has '{foreign[0]}' of shape {own[foreign[0]]}{_more(foreign)}, for which "
            "Google's ViT checkpoints have no name: choose a plain ViT, or a checkpoint of "
            "another format."
        )


def _check_names(file: _File, expected: Mapping[str, Shape]) -> None:
    missing = [key for key in expected if key not in file.keys]
    if missing:
        raise UserError(
            f"{file.path} lacks {file.shown(missing[0])} of shape {expected[missing[0]]}"
            f"{_more(missing)}: {_MEND}."
        )
    extra = sorted(key for key in file.keys - expected.keys() if not key.startswith(IGNORED))
    if extra:
        raise UserError(
            f"{file.path} holds {file.shown(extra[0])} of shape "
            f"{tensor_shape(file.header(extra[0])[0])}"
            f"{_more(extra)}, for which this model has no place: {_MEND}."
        )


def _more(names: Iterable[str]) -> str:
    rest = len(list(names)) - 1
    return f" (and {rest} more)" if rest else ""


def _stored_shape(name: str, shape: Shape, model: nn.Module) -> Shape:
    """Return the shape that Google gives to each of the arrays that timm's ``name`` is made of."""
    module, _, leaf = name.rpartition(".")
    if module.endswith((".attn.qkv", ".attn.proj")):
        heads = int(cast(Any, model.get_submodule(module.rpartition(".")[0])).num_heads)
        if module.endswith("qkv"):  # [3 * inner] and [3 * inner, width]
            return (*shape[1:], heads, shape[0] // 3 // heads)
        return shape if leaf == "bias" else (heads, shape[1] // heads, shape[0])
    if len(shape) == 4:
        return (*shape[2:], shape[1], shape[0])
    return shape[::-1] if len(shape) == 2 else shape


def _to_timm(array: Tensor, shape: Shape) -> Tensor:
    """Return one of Google's arrays as timm has it; ``shape`` is that of timm's whole tensor."""
    if len(shape) == 4:
        return array.permute(3, 2, 0, 1)
    if len(shape) == 2:
        # Inputs come first in Google's kernels, be they one axis or heads and head width.
        return array.reshape(shape[1], -1).T
    return array.flatten() if len(shape) == 1 else array


def _check_shape(file: _File, key: str, expected: Shape) -> None:
    found = file.shape(key)
    if found == expected:
        return
    if len(found) == 4 and found[2:] == expected[2:]:
        raise UserError(
            f"{file.at(key)} has shape {tensor_shape(found)}, patches of {found[0]} x "
            f"{found[1]} pixels, expected {expected}, patches of {expected[0]} x {expected[1]}: "
            "choose the model that the file belongs to."
        )
    raise UserError(
        f"{file.at(key)} has shape {tensor_shape(found)}, this model expects {expected}: {_MEND}."
    )


def _unplaced(model: nn.Module) -> int:
    """Number of position embeddings that belong to no patch: 1 for a class token, else 0."""
    vit = cast(Any, model)
    return int(vit.pos_embed.shape[1]) - math.prod(vit.patch_embed.grid_size)


def _check_positions(file: _File, key: str, own: Shape, unplaced: int) -> None:
    """Check that a table [1, tokens, width] is of a square grid; its size may be another."""
    found = file.shape(key)
    patches = found[1] - unplaced if len(found) == 3 else 0
    square = 0 < patches <= MAX_SIDE**2 and math.isqrt(patches) ** 2 == patches
    if not square or found != (1, found[1], own[2]):
        raise UserError(
            f"{file.at(key)} has shape {tensor_shape(found)}, expected {own}, or with "
            f"{unplaced} + n x n positions (n up to {MAX_SIDE}) for another image size: {_MEND}."
        )


def _resize(positions: Tensor, model: nn.Module) -> Tensor:
    """Return ``positions`` [1, tokens, width] on the grid of ``model``, as timm's reader does."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    unplaced = _unplaced(model)
    side = math.isqrt(positions.shape[1] - unplaced)
    resized: Tensor = resample_abs_pos_embed(
        positions,
        new_size=list(cast(Any, model).patch_embed.grid_size),
        old_size=[side, side],
        num_prefix_tokens=unplaced,
        interpolation="bilinear",
        antialias=False,
    )
    return resized
