"""A tokenizer that knows whole words, of a small text tower; no torch is loaded for its checks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError, near
from hydra_peft.plain_text import quoted

if TYPE_CHECKING:
    from torch import Tensor

#: the id that fills sentences up
PADDING = 0
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
            UserError: as of :meth:`ids`.
        """
        import torch  # here: what words are known is found out without it

        rows = [self.ids(sentence) for sentence in sentences]
        longest = max(map(len, rows))
        return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])

    def ids(self, sentence: str) -> list[int]:
        """Return the ids of the words of one sentence.

        Raises:
            UserError: a word that is not in the vocabulary, or a sentence without words or of more
                than :data:`MOST_WORDS`.
        """
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
