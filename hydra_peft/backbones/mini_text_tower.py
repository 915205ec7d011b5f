"""The text tower of the embedded CLIP `clip_mini`: a small transformer that reads known words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.data.word_tokenizer import MOST_WORDS, PADDING

_WIDTH, _DEPTH, _HEADS = 128, 2, 4


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
