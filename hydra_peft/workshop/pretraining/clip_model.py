"""Two towers that are trained to agree on pictures and their captions; loss and score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.mini_text_tower import MiniTextTower
from hydra_peft.data.word_tokenizer import WordTokenizer
from hydra_peft.workshop.pretraining.captioned import CaptionedBatch, CaptionedSource, vocabulary

WIDTH = 64
"""Of the features that pictures and captions share."""
# Start and bound of the factor of cosines, as openai/CLIP has them (model.py; section 2.5 of the
# paper).
_FIRST_SCALE, _LARGEST_SCALE = 1 / 0.07, 100.0


class MiniClip(nn.Module):
    """`clip_mini`'s image tower and its text tower, with the factor of their cosines."""

    def __init__(self) -> None:
        super().__init__()
        self.image = build_architecture("clip_mini", {}, projection=WIDTH)
        self.tokenizer = WordTokenizer(vocabulary())
        self.text = MiniTextTower(len(self.tokenizer.words), WIDTH)
        self.log_scale = nn.Parameter(torch.tensor(_FIRST_SCALE).log())

    def cosines(self, images: Tensor, captions: list[str]) -> Tensor:
        """Return the cosine of each picture [n, 3, 32, 32] and each caption, [n, captions]."""
        seen = F.normalize(self.image(images), dim=1)
        return seen @ F.normalize(self.text(self.tokenizer(captions)), dim=1).T

    def forward(self, images: Tensor, captions: list[str]) -> Tensor:
        """Return the cosines times a factor of at most 100, [n, captions]."""
        scale = self.log_scale.exp().clamp(max=_LARGEST_SCALE)
        return scale * self.cosines(images, captions)


def contrastive_loss(model: MiniClip, batch: CaptionedBatch) -> Tensor:
    """Return the mean of both directions' cross-entropies, a float32 scalar.

    As CLIP's, with captions that are the same taken as one: a caption's pictures are all right,
    each with an equal share (UniCL: Yang et al., arXiv 2204.03610).
    """
    captions, of = distinct(batch.captions)
    outputs = model(batch.images, captions)
    share = F.one_hot(of, len(captions)).T.to(outputs.dtype)
    share = share / share.sum(dim=1, keepdim=True)
    return (F.cross_entropy(outputs, of) + F.cross_entropy(outputs.T, share)) / 2


def distinct(captions: list[str]) -> tuple[list[str], Tensor]:
    """Return the captions that differ, in order, and the place of each of all, int64 [n]."""
    places: dict[str, int] = {}
    of = [places.setdefault(caption, len(places)) for caption in captions]
    return list(places), torch.tensor(of)


@dataclass(frozen=True)
class ClipScore:
    """Share of pictures whose own caption is the nearest of all in their batch, 0 to 1."""

    retrieval: float


@torch.no_grad()
def score(model: MiniClip, source: CaptionedSource, batches: int, batch_size: int) -> ClipScore:
    """Score `model` on fresh batches; it is left in the mode it came in."""
    was_training = model.training
    model.eval()
    right = 0
    for _ in range(batches):
        batch = source.batch(batch_size)
        captions, of = distinct(batch.captions)
        right += int((model.cosines(batch.images, captions).argmax(dim=1) == of).sum())
    model.train(was_training)
    return ClipScore(right / (batches * batch_size))
