"""The text tower of the embedded CLIP `clip_mini`: a small transformer that reads known words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.errors import UserError, near
from hydra_peft.plain_text import quoted

#: the id that fills sentences up
PADDING = 0
_WIDTH, _DEPTH, _HEADS = 128, 2, 4
#: words of a sentence at most
MOST_WORDS = 24
_WORD = re.compile(r"[a-z]+|[0-9]+")


class WordTokenizer:
    """Turns sentences into ids of their words, lower-cased, punctuation left out.

    Args:
        words: the vocabulary; a word's id is its place, counted from 1.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: number for number, word in enumerate(words, start=1)}

    @classmethod
    def read(cls, path: Path) -> WordTokenizer:
        """Return that of a file with one word a line."""
        return cls(path.read_text(encoding="utf-8").split())

    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Return ids, int64 ``[sentences, words of the longest]``, filled up with 0.

        Raises:
            UserError: a word that is not in the vocabulary, or a sentence without words or of more
                than :data:`MOST_WORDS`.
        """
        rows = [self._read(sentence) for sentence in sentences]
        longest = max(map(len, rows))
        return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])

    def _read(self, sentence: str) -> list[int]:
        words = _WORD.findall(sentence.lower())
        if not 0 < len(words) <= MOST_WORDS:
            raise UserError(
                f"the text {quoted(sentence)} has {len(words)} words, and this text tower reads 1 "
                f"to {MOST_WORDS}: change dataset.prompts."
            )
        if (strange := next((word for word in words if word not in self._ids), None)) is not None:
            close = near(strange, self.words)
            raise UserError(
                f"the text {quoted(sentence)} has the word {quoted(strange)}, and this text tower "
                f"was trained on {len(self.words)} words"
                f"{' (near ones: ' + ', '.join(close) + ')' if close else ''}: change "
                "dataset.prompts, or take a CLIP that reads all, such as "
                "model=clip_vit_base_patch32."
            )
        return [self._ids[word] for word in words]


class MiniTextTower(nn.Module):
    """Transformer over words in both directions; the mean over words, projected, is the feature.

    Pre-norm layers of torch's with GELU; positions are learned.

    Args:
        words: size of the vocabulary.
        width: of the features, those of the image tower.
    """

    def __init__(self, words: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words + 1, _WIDTH, padding_idx=PADDING)
        self.positions = nn.Parameter(torch.empty(MOST_WORDS, _WIDTH))
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.positions, std=0.01)  # as openai/CLIP has both, model.py
        layer: Any = nn.TransformerEncoderLayer(
            _WIDTH, _HEADS, 4 * _WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(_WIDTH)
        self.blocks = nn.TransformerEncoder(layer, _DEPTH, norm, enable_nested_tensor=False)
        self.projection = nn.Linear(_WIDTH, width, bias=False)
        nn.init.normal_(self.projection.weight, std=_WIDTH**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids ``[b, words]`` to features ``[b, width]``, not normalised."""
        padded = ids == PADDING
        x = self.words(ids) + self.positions[: ids.shape[1]]
        x = self.blocks(x, src_key_padding_mask=padded)
        there = (~padded).to(x.dtype)[..., None]
        return self.projection((x * there).sum(dim=1) / there.sum(dim=1))
