"""Text towers of CLIP: features of sentences in the space of an image tower.

They are open_clip's, but for the embedded one, which needs no other package.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.adaptation.fingerprint import weights_hash
from hydra_peft.backbones.checkpoints import fitting_state, read_state
from hydra_peft.backbones.mini_text_tower import MiniTextTower
from hydra_peft.backbones.text_files import (
    PACKAGE,
    EmbeddedText,
    check_open_clip,
    embedded_text,
)
from hydra_peft.backbones.weight_files import check_suffix
from hydra_peft.data.prompts import Prompts
from hydra_peft.data.word_tokenizer import WordTokenizer
from hydra_peft.errors import UserError, near, placed
from hydra_peft.plain_text import tensor_name
from hydra_peft.tensor_files import read_tensors_and_metadata

#: what a whole CLIP has beside its image tower, in OpenAI's and open_clip's naming
_TEXT = "token_embedding.weight"
#: from sentences to features, one a row
Encode = Callable[[list[str]], Tensor]


@torch.no_grad()
def prompt_features(
    prompts: Prompts,
    tower: str,
    *,
    checkpoint: Path | None,
    tag: str,
    backbone: nn.Module,
    antialias: bool = True,
) -> Tensor:
    """Return one feature a class, float32 ``[classes, width]``, of length 1.

    As ELEVATER's toolkit: each sentence's feature is divided by its length, those of a class are
    averaged over the templates, and the mean is divided by its length.

    Args:
        prompts: of the task.
        tower: open_clip's name of the whole CLIP, such as ``ViT-B-32-quickgelu``, or an embedded
            one.
        checkpoint: a file of the whole CLIP; None asks open_clip's hub for ``tag``. Embedded towers
            have files of their own.
        tag: such as ``openai``.
        backbone: the image tower that the features are compared with, without a head.
        antialias: how its position embeddings were resampled, where they were.

    Raises:
        UserError: open_clip or the weights are missing, or the image tower of this CLIP is another
            one than ``backbone``.
    """
    own = embedded_text(tower)
    if own is not None:
        encode = _embedded(own, backbone, antialias)
    else:
        encode = _open_clips(tower, checkpoint, tag, backbone, antialias)
    return torch.stack([_feature(encode(said)) for said in prompts.sentences()])


def _feature(rows: Tensor) -> Tensor:
    """Return the feature of a class, ``[width]``, of those of its sentences."""
    return F.normalize(F.normalize(rows.to(torch.float32), dim=-1).mean(dim=0), dim=-1)


def _embedded(files: EmbeddedText, backbone: nn.Module, antialias: bool) -> Encode:
    """Return what encodes sentences by the tower in ``files``, if ``backbone`` is its image tower,
    of whatever image size."""
    state, said = read_tensors_and_metadata(files.weights)
    if said.get("image_tower") != weights_hash(backbone.state_dict()):
        theirs = read_state(files.image_tower)
        _check_same_tower(backbone, theirs, str(files.weights), antialias)
    tokenizer = WordTokenizer.read(files.vocabulary)
    model = MiniTextTower(len(tokenizer.words), len(state["projection.weight"])).eval()
    model.load_state_dict(state)
    return lambda sentences: model(tokenizer(sentences))


def _open_clips(
    tower: str, checkpoint: Path | None, tag: str, backbone: nn.Module, antialias: bool
) -> Encode:
    """Return what encodes sentences by a tower of open_clip's."""
    clip = _open_clip()
    model = _load(clip, tower, checkpoint, tag)
    where = str(checkpoint or f"{tower}/{tag}")
    _check_same_tower(backbone, model.state_dict(), where, antialias)
    tokenizer = clip.get_tokenizer(tower)
    return lambda sentences: model.encode_text(tokenizer(sentences))


def _open_clip() -> ModuleType:
    check_open_clip()
    return importlib.import_module(PACKAGE)


def _load(clip: ModuleType, tower: str, checkpoint: Path | None, tag: str) -> Any:
    """Return the whole CLIP in evaluation mode, float32, on the CPU."""
    known = clip.list_models()
    if tower not in known:
        close = near(tower, known) or known[:3]
        raise UserError(
            f"model.text_tower '{tower}' is unknown to open_clip; near names: {', '.join(close)}."
        )
    if checkpoint is None:
        try:
            return clip.create_model(tower, pretrained=tag, device="cpu").eval()
        # No network, no such tag, no access: each comes as another kind of exception.
        except Exception as error:
            raise UserError(
                f"no text tower '{tower}/{tag}': open_clip's hub did not give the weights "
                f"({type(error).__name__}); fetch a checkpoint of the whole CLIP and set "
                "model.text_checkpoint=<file>."
            ) from None
    with torch.random.fork_rng(devices=[]), _without_warnings():
        model = clip.create_model(tower, pretrained=None, device="cpu").eval()
    if not checkpoint.is_file():
        raise UserError(f"model.text_checkpoint={checkpoint} does not exist or is not a file.")
    check_suffix(checkpoint)
    own, state = model.state_dict(), read_state(checkpoint)
    if _TEXT not in state and _TEXT in own:
        raise UserError(
            f"{checkpoint} holds no text tower: set model.text_checkpoint=<file> of the whole CLIP."
        )
    if wrong := [n for n in own if n not in state or state[n].shape != own[n].shape]:
        raise UserError(
            f"{checkpoint} does not fit model.text_tower={tower}: it lacks "
            f"{tensor_name(wrong[0])}, or has it in another shape."
        )
    model.load_state_dict({name: state[name].to(tensor.dtype) for name, tensor in own.items()})
    return model


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence open_clip's warning of random weights, which a checkpoint then replaces."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _check_same_tower(
    backbone: nn.Module, state: Mapping[str, Tensor], where: str, antialias: bool
) -> None:
    """Check that the image tower in ``state`` is ``backbone``, so that its texts are its own."""
    own = backbone.state_dict()
    with placed(f"the text tower of {where} belongs to another backbone:"):
        theirs = fitting_state(backbone, state, where, antialias=antialias)
    other = next((n for n, t in own.items() if not torch.equal(t.cpu(), theirs[n])), None)
    if other is not None:
        raise UserError(
            f"the text tower of {where} belongs to another backbone: its image tower has another "
            f"'{other}' than this model's weights. Take both towers of one CLIP: leave "
            "model.checkpoint out, or set model.text_tower and model.text_checkpoint to its own."
        )
