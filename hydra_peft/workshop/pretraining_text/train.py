"""The training loop of masked language modelling, and the folder that it writes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.backbones.roberta_mini import ROBERTA_MINI
from hydra_peft.backbones.transformers_package import transformers_package
from hydra_peft.files import atomic_write
from hydra_peft.tensor_files import write_tensors
from hydra_peft.workshop.pretraining_text.corpus import corpus
from hydra_peft.workshop.pretraining_text.masking import Masked, batches, masked
from hydra_peft.workshop.pretraining_text.neighbours import neighbour_embeddings
from hydra_peft.workshop.pretraining_text.options import TextOptions
from hydra_peft.workshop.pretraining_text.tokenizing import SPECIAL, train_tokenizer
from hydra_peft.workshop.wordnet.synsets import Synset

#: every so many texts one is kept apart, to measure with
_KEPT = 100
#: of the first embeddings: transformers' own start is 0.02
_FIRST_SPREAD = 0.05


class Guessed(NamedTuple):
    """How well hidden tokens of texts that were not trained on are guessed.

    Attributes:
        loss: cross-entropy in nats.
        accuracy: share that is right, from 0 to 1.
    """

    loss: float
    accuracy: float


def pretrain(
    synsets: Sequence[Synset], options: TextOptions, report: Callable[[str], None] = print
) -> Guessed:
    """Train on one thread, write the encoder to ``options.output``, and return how it guesses.

    Raises:
        FloatingPointError: the loss stopped being finite.
        OSError: the folder cannot be written.
    """
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    pairs = corpus(synsets)
    words = int(ROBERTA_MINI["vocab_size"])
    tokenizer = train_tokenizer((text for pair in pairs for text in pair if text), words)
    tokenizer.enable_truncation(int(ROBERTA_MINI["max_position_embeddings"]) - 2)
    encoded = tokenizer.encode_batch([pair if pair[1] else pair[0] for pair in pairs])
    texts = [np.array(one.ids) for one in encoded]
    kept, texts = texts[::_KEPT], [text for i, text in enumerate(texts) if i % _KEPT]
    model = _model(texts, options.seed)
    report(f"{len(texts):,} texts of {sum(map(len, texts)):,} tokens")
    _train(model, texts, options, report)
    guessed = _guess(model, kept, options)
    _write(options, model, tokenizer, guessed)
    return guessed


def _model(texts: Sequence[np.ndarray], seed: int) -> Any:
    package = transformers_package()
    # Without dropout: a model this small is far from fitting what it reads.
    shape = {**ROBERTA_MINI, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = package.RobertaConfig(**shape)
    model = package.AutoModelForMaskedLM.from_config(config, attn_implementation="sdpa")
    embedding = model.roberta.embeddings.word_embeddings.weight
    first = neighbour_embeddings(texts, len(embedding), embedding.shape[1], seed)
    with torch.no_grad():
        embedding[len(SPECIAL) :] = _FIRST_SPREAD * torch.from_numpy(first)[len(SPECIAL) :]
    return model


def _train(
    model: Any,
    texts: Sequence[np.ndarray],
    options: TextOptions,
    report: Callable[[str], None],
) -> None:
    order = np.random.RandomState(options.seed)
    hiding = torch.Generator().manual_seed(options.seed)
    optimizer = torch.optim.AdamW(_groups(model, options.weight_decay), lr=0.0)
    total = options.epochs * math.ceil(len(texts) / options.batch_size)
    started, recent, step = time.perf_counter(), 0.0, 0
    model.train()
    for _ in range(options.epochs):
        for ids in batches(texts, options.batch_size, order):
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * _factor(step, total, options.warmup)
            loss = _loss(model, masked(ids, options.masked, model.config.vocab_size, hiding))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
            optimizer.step()
            recent, step = recent + loss.item(), step + 1
            if not math.isfinite(recent):
                raise FloatingPointError(f"the loss is not finite at step {step}")
            if step % options.report_every == 0:
                taken = time.perf_counter() - started
                mean = recent / options.report_every
                report(f"step {step}/{total}  loss {mean:.3f}  {taken:.0f} s")
                recent = 0.0


def _factor(step: int, total: int, warmup: float) -> float:
    """Return the share of the highest rate: a linear rise, then a line to 0."""
    rise = warmup * total
    return (step + 1) / rise if step + 1 < rise else max(0.0, (total - step) / (total - rise))


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Return matrices, which decay, and biases and norms, which do not."""
    parameters = list(model.parameters())
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": decay},
        {"params": [one for one in parameters if one.ndim == 1], "weight_decay": 0.0},
    ]


def _logits(model: Any, batch: Masked) -> Tensor:
    """Return what the model says of each hidden token, ``[hidden, vocabulary]``."""
    mask = batch.there[:, None, None]
    states = model.roberta(input_ids=batch.ids, attention_mask=mask).last_hidden_state
    logits: Tensor = model.lm_head(states[batch.hidden])
    return logits


def _loss(model: Any, batch: Masked) -> Tensor:
    return F.cross_entropy(_logits(model, batch), batch.targets)


@torch.no_grad()
def _guess(model: Any, kept: Sequence[np.ndarray], options: TextOptions) -> Guessed:
    model.eval()
    draw = torch.Generator().manual_seed(0)
    loss, right, count = 0.0, 0, 0
    for ids in batches(kept, options.batch_size, np.random.RandomState(0)):
        batch = masked(ids, options.masked, model.config.vocab_size, draw)
        logits = _logits(model, batch)
        loss += float(F.cross_entropy(logits, batch.targets, reduction="sum"))
        right += int((logits.argmax(1) == batch.targets).sum())
        count += len(batch.targets)
    return Guessed(loss / count, right / count)


def _write(options: TextOptions, model: Any, tokenizer: Any, guessed: Guessed) -> None:
    """Write weights, shape and tokenizer in Hugging Face form."""
    folder: Path = options.output
    folder.mkdir(parents=True, exist_ok=True)
    # Half precision: five megabytes hold a larger vocabulary so.
    encoder = {f"roberta.{n}": t.half() for n, t in model.roberta.state_dict().items()}
    write_tensors(folder / "model.safetensors", encoder, describe(options, guessed))
    config = json.dumps({"model_type": "roberta", **ROBERTA_MINI}, indent=2) + "\n"
    atomic_write(folder / "config.json", config.encode())
    tokenizer.no_truncation()
    atomic_write(folder / "tokenizer.json", tokenizer.to_str().encode())


def describe(options: TextOptions, guessed: Guessed) -> dict[str, str]:
    """Return the header of a weights file: how it was made and how well it guesses."""
    return {
        "made_by": (
            f"python scripts/pretrain_mini.py text --epochs {options.epochs}"
            f" --seed {options.seed} --batch-size {options.batch_size}"
            f" --learning-rate {options.learning_rate}"
        ),
        "source_task": "masked language modelling of WordNet 3.0's glosses and examples",
        "seed": str(options.seed),
        "source_loss": f"{guessed.loss:.4f}",
        "source_accuracy": f"{guessed.accuracy:.4f}",
        "torch": torch.__version__,
        "transformers": transformers_package().__version__,
    }
