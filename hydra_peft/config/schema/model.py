"""``model``: the backbone of a run and its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from hydra_peft.backbones.image_sizes import ImageSize, check_image_size
from hydra_peft.backbones.weight_files import or_random
from hydra_peft.config.schema._group import Group, check_short_name, require
from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Share


@dataclass(frozen=True)
class ModelConfig(Group, key="model"):
    """``model``: which backbone, with which weights.

    Attributes:
        name: the backbone's name in records and tables.
        architecture: timm's model name, an embedded one (``vit_mini``), or a module of
            :mod:`hydra_peft.backbones.models` (``roberta``).
        checkpoint: local weights (``.npz``, ``.safetensors``, ``.pth``), of a text encoder their
            folder; null for the embedded ones or the hub.
        pretrained: false starts from random weights, which every record and table then says.
        drop_path: stochastic depth rate while training.
        arguments: further keyword arguments of the timm constructor.
        url: where the weights can be fetched by hand, for messages.
        prepare: the name under which ``scripts/prepare_weights.py`` makes them, for messages.
        image_size: side of the images in pixels, to which position embeddings are resampled; null
            for the architecture's own.
        projection: width of the features that the projection of an image tower of CLIP maps to, 512
            of ViT-B; null leaves it out, as other backbones have none.
        text_tower: open_clip's name of the CLIP whose image tower this is, or ``clip_mini``, for
            heads that start from texts; null where there is none.
        text_checkpoint: a file of that whole CLIP; null takes ``checkpoint``, or open_clip's hub
            where that is null too.
        text_sha256: of that file, found out where it is null: the features of texts, so a run's
            result, depend on it.
        antialias: whether position embeddings are smoothed where they are resampled to fewer
            patches, timm's way; false for weights that were trained or are served without.
        hub: repository of the Hugging Face hub that a text encoder's weights come from where there
            is no ``checkpoint``; null asks timm's hub.
        tokenizer: file or folder of a text encoder's tokenizer; null takes the one beside its
            weights.
    """

    name: str
    architecture: str
    checkpoint: str | None
    pretrained: bool
    drop_path: Share
    arguments: dict[str, Any]
    url: str | None
    image_size: ImageSize | None = None
    antialias: bool = True
    prepare: str | None = None
    hub: str | None = None
    tokenizer: str | None = None
    projection: Annotated[int, Limits(least=1, most=100_000)] | None = None
    text_tower: str | None = None
    text_checkpoint: str | None = None
    text_sha256: str | None = None

    @property
    def backbone(self) -> dict[str, Any]:
        """Keyword arguments of :func:`~hydra_peft.backbones.backbones.build_backbone`."""
        keys = "arguments drop_path checkpoint remedy image_size antialias hub tokenizer projection"
        return {key: getattr(self, key) for key in keys.split()}

    @property
    def remedy(self) -> str | None:
        """Advice where the weights are missing; None where nothing is known."""
        if self.prepare is not None:
            return or_random(
                f"run 'python scripts/prepare_weights.py {self.prepare} download=true'"
            )
        return or_random(f"fetch {self.url} and set model.checkpoint=<file>") if self.url else None

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("architecture", "name"):  # model=timm takes its name from the first
            check_short_name(f"model.{key}", getattr(self, key))
        if self.image_size is not None:
            check_image_size(self.image_size, self.architecture, self.arguments)
        for key in ("checkpoint", "tokenizer"):
            file = getattr(self, key) or ""
            require("\0" not in file, f"model.{key}", repr(file), "without a NUL")
        if self.text_sha256 is not None and self.text_checkpoint is None:
            raise UserError(
                "model.text_sha256 is the hash of model.text_checkpoint, which is not set: give "
                "model.text_checkpoint=<file>, or drop it."
            )
        if self.checkpoint is not None and not self.pretrained:
            raise UserError(
                "model.checkpoint is set and model.pretrained is false: random weights have no "
                "checkpoint, so drop one of the two."
            )
