"""A RoBERTa and a BERT of two layers with random weights, and tokenizers of few words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers", reason="text encoders need transformers: hydra-peft[text]")

_TEXT = (
    "a the cat dog bird sat ran slept on under mat tree it rained not is was red green small large "
    "who what does sleep runs sits and he she they saw house car ."
)
WORDS = _TEXT.split()
ROBERTA: dict[str, Any] = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 42,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
BERT: dict[str, Any] = {**ROBERTA, "max_position_embeddings": 40, "type_vocab_size": 2}


def save_tokenizer(folder: Path, family: str = "roberta", extra: int = 0) -> Path:
    """Write a tokenizer of :data:`WORDS` in the form of ``family``; return its folder.

    Args:
        extra: words beside those.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    marks = {
        "roberta": ["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        "bert": ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"],
    }[family]
    names = [*marks, *WORDS, *(f"word{i}" for i in range(extra))]
    ids = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=marks[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(marks)
    if family == "roberta":
        pair = [("<s>", 0), ("</s>", 2)]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=pair
        )
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def stock_model(
    family: str = "roberta", outputs: int = 3, dtype: torch.dtype = torch.float32
) -> Any:
    """Return transformers' own model for sequences, in evaluation mode, biases not zero."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    shape = ROBERTA if family == "roberta" else BERT
    config = AutoConfig.for_model(family, **shape, num_labels=outputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.to(dtype).eval()


def save_folder(folder: Path, family: str = "roberta") -> Path:
    """Write a model of random weights in Hugging Face form; return its folder."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # which would stand in what commands print
    stock_model(family).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    assert config["model_type"] == family
    return save_tokenizer(folder, family)
