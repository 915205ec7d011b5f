"""A text backbone outside the package: embeddings, one block, a mean that leaves out padding."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.data.split import Batch, Ragged


class Mlp(nn.Module):
    """Two layers with a GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 2 * width)
        self.fc2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class TinyText(nn.Module):
    """Reads token ids ``[b, t]`` with a mask ``[b, t]``; gives ``[b, outputs]``."""

    def __init__(self, vocabulary: int = 30, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(vocabulary, width)
        self.mlp = Mlp(width)
        self.head: nn.Module = nn.Identity()

    def reset_classifier(self, outputs: int) -> None:
        self.head = nn.Linear(self.width, outputs) if outputs else nn.Identity()

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        tokens = batch.inputs["tokens"]
        assert isinstance(tokens, Ragged)
        ids, mask = tokens.padded(0)
        return {"tokens": ids, "mask": mask}

    def probe(self) -> Batch:
        return Batch(
            {"tokens": Ragged(torch.tensor([1, 2, 3]), torch.tensor([2, 1]))}, torch.zeros(2)
        )

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        x = self.embedding(inputs["tokens"])
        x = x + self.mlp(x)
        mask = inputs["mask"].unsqueeze(2)
        return self.head((x * mask).sum(1) / mask.sum(1))


BACKBONE = TinyText
