"""The training loop of `clip_mini`, and the files that it writes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from hydra_peft.adaptation.fingerprint import weights_hash
from hydra_peft.backbones.text_files import EmbeddedText
from hydra_peft.backbones.weight_files import ASSETS
from hydra_peft.files import atomic_write
from hydra_peft.tensor_files import read_tensors, write_tensors
from hydra_peft.workshop.pretraining.captioned import CaptionedSource
from hydra_peft.workshop.pretraining.clip_model import ClipScore, MiniClip, contrastive_loss, score
from hydra_peft.workshop.pretraining.options import ClipOptions
from hydra_peft.workshop.pretraining.train import learning_rate_factor, parameter_groups

_SCORE_SEED_OFFSET = 1_000_003
_FINAL_BATCHES = 10
_START = ASSETS / "vit_mini.safetensors"
# The rate falls along half a cosine, of which two thirds are gone when training ends.
_HORIZON = 1.5


def fresh_model(seed: int) -> MiniClip:
    """Return the two towers before training: the image tower's blocks are those of `vit_mini`."""
    torch.manual_seed(seed)
    model = MiniClip()
    missing, unexpected = model.image.load_state_dict(read_tensors(_START), strict=False)
    assert missing == ["projection.weight"], missing
    assert not unexpected, unexpected
    return model


def write_towers(path: Path, model: MiniClip, about: dict[str, str]) -> None:
    """Write the image tower to `path`, and text tower and vocabulary beside it, in float16.

    The image tower's projection is named as timm names it, as of any CLIP. The text tower's header
    has the hash of the image tower that it was trained with, as it is read.

    Raises:
        OSError: the folder cannot be made or written.
    """
    image = _halves(model.image)
    read = {name: value.to(torch.float32) for name, value in image.items()}
    image["head.weight"] = image.pop("projection.weight")
    write_tensors(path, image, about)
    text = EmbeddedText.beside(path)
    write_tensors(text.weights, _halves(model.text), {**about, "image_tower": weights_hash(read)})
    words = "".join(f"{word}\n" for word in model.tokenizer.words)
    atomic_write(text.vocabulary, words.encode())


def _halves(tower: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().to(torch.float16) for name, value in tower.state_dict().items()}


def pretrain_clip(options: ClipOptions, report: Callable[[str], None] = print) -> ClipScore:
    """Train both towers, write them to `options.output` and return their score on fresh scenes.

    Every `save_every` steps (0: never) the files are written early too. Raises FloatingPointError
    when the loss stops being finite; OSError when a file cannot be written.
    """
    torch.set_num_threads(options.threads)
    model, source = fresh_model(options.seed), CaptionedSource(options.seed)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, options.weight_decay), lr=options.learning_rate
    )
    started, recent = time.perf_counter(), 0.0
    horizon = round(_HORIZON * options.steps)
    for step in range(options.steps):
        factor = learning_rate_factor(step, horizon, options.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * factor
        recent += _step(model, source, optimizer, options)
        done = step + 1
        if not math.isfinite(recent):
            raise FloatingPointError(f"the loss is not finite at step {done}")
        if done % options.report_every == 0:
            now = _score_fresh(model, options, 1)
            report(
                f"step {done}/{options.steps}  loss {recent / options.report_every:.3f}"
                f"  own caption {now.retrieval:.3f}  {time.perf_counter() - started:.0f} s"
            )
            recent = 0.0
        if options.save_every and done % options.save_every == 0 and done < options.steps:
            write_towers(options.output, model, _describe(options, done, model))
    write_towers(options.output, model, _describe(options, options.steps, model))
    return _score_fresh(model, options, _FINAL_BATCHES)


def _step(
    model: MiniClip,
    source: CaptionedSource,
    optimizer: torch.optim.Optimizer,
    options: ClipOptions,
) -> float:
    """Take one step on a fresh batch and return its loss."""
    loss = contrastive_loss(model, source.batch(options.batch_size))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
    optimizer.step()
    return float(loss.detach())


def _score_fresh(model: MiniClip, options: ClipOptions, batches: int) -> ClipScore:
    """Score on scenes whose seed training never uses."""
    held_out = CaptionedSource(options.seed + _SCORE_SEED_OFFSET)
    return score(model, held_out, batches, options.batch_size)


def _describe(options: ClipOptions, steps: int, model: MiniClip) -> dict[str, str]:
    """Return the header of the files: how they were made and how well they do at the source."""
    return {
        "made_by": (
            f"python scripts/pretrain_mini.py clip --steps {options.steps} --seed {options.seed}"
            f" --threads {options.threads} --batch-size {options.batch_size}"
            f" --learning-rate {options.learning_rate} --warmup-steps {options.warmup_steps}"
        ),
        "source_task": "captioned scenes, contrastively; image tower started from vit_mini",
        "seed": str(options.seed),
        "steps": str(steps),
        "own_caption": f"{_score_fresh(model, options, _FINAL_BATCHES).retrieval:.4f}",
        "dtype": "float16",
        "torch": torch.__version__,
        "timm": timm.__version__,
    }
