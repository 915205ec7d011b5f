"""The tokenizer of `roberta_mini`: byte pairs of lower-cased texts, in RoBERTa's form."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: in the order of their ids, as RoBERTa has them; padding is 1
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
START, PAD, END, _, MASK = range(len(SPECIAL))


def train_tokenizer(texts: Iterable[str], size: int) -> Any:
    """Return a tokenizer of the library `tokenizers` with ``size`` tokens, special ones included.

    Sennrich et al., arXiv 1508.07909, on bytes as GPT-2 and RoBERTa (arXiv 1907.11692) have it.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from tokenizers.trainers import BpeTrainer

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", END), ("<s>", START), add_prefix_space=True
    )
    return tokenizer
