"""Files of CLIP's text features: the package open_clip, its weights, the cache; no torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.backbones.weight_files import ASSETS
from hydra_peft.data.prompts import Prompts
from hydra_peft.errors import UserError
from hydra_peft.files import named_path

PACKAGE = "open_clip"
#: text towers that come with the repository
EMBEDDED_TEXT = ("clip_mini",)
#: hexadecimal digits of a hash in a file's name
_DIGITS = 16


@dataclass(frozen=True)
class EmbeddedText:
    """The files of a text tower that comes with the repository, beside those of its image tower."""

    weights: Path
    vocabulary: Path
    image_tower: Path

    @classmethod
    def beside(cls, image_tower: Path) -> EmbeddedText:
        """Return those that belong to the file of an image tower."""
        stem = image_tower.with_suffix("")
        return cls(Path(f"{stem}_text.safetensors"), Path(f"{stem}_words.txt"), image_tower)


def embedded_text(tower: str) -> EmbeddedText | None:
    """Return the files of the text tower of that name; None of open_clip's."""
    return EmbeddedText.beside(ASSETS / f"{tower}.safetensors") if tower in EMBEDDED_TEXT else None


def check_open_clip() -> None:
    """Check that open_clip, which has text towers and their tokenizers, is installed.

    Raises:
        UserError: it is not.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise UserError(
            "features of texts are computed with open_clip, which is not installed: pip install "
            "'hydra-peft[clip]', or choose a head that needs no texts, such as head=linear."
        )


def features_file(cache: Path, prompts: Prompts, weights: str, text: str | None) -> Path:
    """Return the file that keeps the features of ``prompts``.

    Args:
        cache: ``paths.cache``.
        prompts: of a task.
        weights: sha256 of the image tower that they are compared with.
        text: sha256 of the text tower's file, of which several may go with one image tower; None
            of one that comes with the repository or from the hub.
    """
    hashes = [prompts.sha256, weights, *([text] if text else [])]
    return _folder(cache) / f"{'-'.join(one[:_DIGITS] for one in hashes)}.safetensors"


def has_features(cache: Path, prompts: Prompts) -> bool:
    """Whether features of ``prompts`` are kept, for whatever image tower."""
    return any(_folder(cache).glob(f"{prompts.sha256[:_DIGITS]}-*.safetensors"))


def whole_clip(checkpoint: str | None, text_checkpoint: str | None) -> Path | None:
    """Return the file with the text tower: the one given for texts, else that of the backbone.

    Raises:
        UserError: the one given is no path.
    """
    if text_checkpoint is not None:
        return named_path(text_checkpoint, "model.text_checkpoint")
    return None if checkpoint is None else named_path(checkpoint, "model.checkpoint")


def hub_tag(architecture: str) -> str:
    """Return what open_clip's hub calls the weights of ``architecture``, timm's name."""
    return architecture.partition(".")[2] or "openai"


def _folder(cache: Path) -> Path:
    return cache / "text"
