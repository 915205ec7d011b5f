"""The training loop of the source task, and the file of weights that it writes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from hydra_peft.tensor_files import write_tensors
from hydra_peft.workshop.pretraining.model import SourceModel, SourceScore, score, source_loss
from hydra_peft.workshop.pretraining.options import PretrainOptions
from hydra_peft.workshop.pretraining.scenes import SceneSource

_SCORE_SEED_OFFSET = 1_000_003
_FINAL_BATCHES = 20
_PROGRESS_BATCHES = 2


def learning_rate_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Return the share of the peak rate at `step`: a linear rise, then half a cosine to zero."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def top_difficulty(step: int, options: PretrainOptions) -> float:
    """Return the difficulty of the hardest scenes at `step`: 0 in the warm-up, then up to 1."""
    end = options.ramp * options.steps
    if step >= end:
        return 1.0
    if step < options.warmup_steps:
        return 0.0
    return (step - options.warmup_steps) / (end - options.warmup_steps)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Split parameters in two groups: matrices decay; biases, norms and embeddings do not."""
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        keeps = parameter.ndim < 2 or name.endswith(("pos_embed", "cls_token"))
        (plain if keeps else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def backbone_tensors(backbone: nn.Module) -> dict[str, Tensor]:
    """Return the float32 state dict of a timm vision transformer, without any `head.` entry."""
    return {
        name: value.detach().to(torch.float32)
        for name, value in backbone.state_dict().items()
        if not name.startswith("head.")
    }


def write_weights(path: Path, backbone: nn.Module, metadata: dict[str, str]) -> None:
    """Write the backbone to `path` as safetensors; a reader never sees a half-written file.

    Raises OSError when the folder cannot be made or written; no partial file is left then.
    """
    write_tensors(path, backbone_tensors(backbone), metadata)


def describe(options: PretrainOptions, steps: int, result: SourceScore) -> dict[str, str]:
    """Return the header of a weights file: how it was made and how well it does at the source."""
    return {
        "made_by": (
            f"python scripts/pretrain_mini.py --steps {options.steps} --seed {options.seed}"
            f" --threads {options.threads} --batch-size {options.batch_size}"
            f" --learning-rate {options.learning_rate} --warmup-steps {options.warmup_steps}"
            f" --ramp {options.ramp}"
        ),
        "source_task": "drawn scenes: main object, background pattern and colour, companions",
        "seed": str(options.seed),
        "steps": str(steps),
        "source_accuracy": f"{result.identity:.4f}",
        "source_pattern_accuracy": f"{result.pattern:.4f}",
        "dtype": "float32",
        "torch": torch.__version__,
        "timm": timm.__version__,
    }


def _step(
    model: SourceModel,
    source: SceneSource,
    optimizer: torch.optim.Optimizer,
    options: PretrainOptions,
    top: float,
) -> float:
    """Take one optimisation step on a fresh batch of scenes up to `top` and return its loss."""
    batch = source.batch(options.batch_size, top, mixed=True)
    loss = source_loss(model(batch.images), batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
    optimizer.step()
    return float(loss.detach())


def _score_fresh(
    model: SourceModel, options: PretrainOptions, batches: int, difficulty: float = 1.0
) -> SourceScore:
    """Score on scenes whose seed training never uses."""
    held_out = SceneSource(options.seed + _SCORE_SEED_OFFSET)
    return score(model, held_out, batches, options.batch_size, difficulty)


def pretrain(options: PretrainOptions, report: Callable[[str], None] = print) -> SourceScore:
    """Train, write the backbone to `options.output` and return its score on fresh scenes.

    Every `save_every` steps (0: never) the file is written early too. Raises FloatingPointError
    when the loss stops being finite; OSError when the file cannot be written.
    """
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    model, source = SourceModel(), SceneSource(options.seed)
    optimizer = torch.optim.AdamW(
        parameter_groups(model, options.weight_decay), lr=options.learning_rate
    )
    started, recent = time.perf_counter(), 0.0
    for step in range(options.steps):
        factor = learning_rate_factor(step, options.steps, options.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = options.learning_rate * factor
        recent += _step(model, source, optimizer, options, top_difficulty(step, options))
        done = step + 1
        if not math.isfinite(recent):
            raise FloatingPointError(f"the loss is not finite at step {done}")
        if done % options.report_every == 0:
            top = top_difficulty(step, options)
            now = _score_fresh(model, options, _PROGRESS_BATCHES, top)
            report(
                f"step {done}/{options.steps}  loss {recent / options.report_every:.3f}"
                f"  difficulty {top:.2f}: identity {now.identity:.3f}  pattern {now.pattern:.3f}"
                f"  {time.perf_counter() - started:.0f} s"
            )
            recent = 0.0
        if options.save_every and done % options.save_every == 0 and done < options.steps:
            now = _score_fresh(model, options, _PROGRESS_BATCHES)
            write_weights(options.output, model.backbone, describe(options, done, now))
    result = _score_fresh(model, options, _FINAL_BATCHES)
    write_weights(options.output, model.backbone, describe(options, options.steps, result))
    return result
