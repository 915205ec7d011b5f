"""Say before a run starts what may not be expected: very long steps, rates that nobody chose."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from hydra_peft.config.schema import RunConfig
from hydra_peft.data.few_shots import count_of
from hydra_peft.methods._base import Method
from hydra_peft.runs.starting import short_start

log = logging.getLogger("hydra_peft")

#: seconds of a step from which it is told
LONG_STEP = 30.0
#: floating-point operations a second of one CPU core, in float32: measured 2 x 10^10 with ViT-S/14
CORE_SPEED = 2e10
#: of a step, in forward passes: backward through frozen layers needs no gradients of weights
_FORWARDS = {"head": 1.0, "adapters": 2.2, "all": 3.0}


def tell_expectations(config: RunConfig, model: nn.Module, device: torch.device) -> None:
    """Log a warning for each thing about the run ``config`` that should be known before it starts.

    Args:
        model: adapted.
    """
    if device.type == "cpu":
        batch, threads = _step_images(config), torch.get_num_threads()
        seconds = step_seconds(model, config.method, batch=batch, threads=threads)
        if seconds > LONG_STEP:
            log.warning(
                "one step of %d images takes about %s on %d CPU threads: a smaller "
                "model.image_size or train.batch_size makes it shorter, a GPU faster",
                batch,
                f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s",
                threads,
            )
    for said in (untuned_rate(config), short_start(config)):
        if said:
            log.warning("%s", said)


def _step_images(config: RunConfig) -> int:
    """Return how many images a step has: a batch, or all where there are fewer to train on."""
    there = count_of(vars(config.dataset), config.protocol.train_split)
    return min(config.train.batch_size, there)


def step_seconds(model: nn.Module, method: Method, *, batch: int, threads: int) -> float:
    """Return about how long a training step takes on a CPU; 0 where nothing is known of the model.

    By arithmetic: two operations a parameter and token, times the passes of a step. Known of models
    whose patch embedding counts its patches, and whose blocks have as many tokens, and as wide.

    Args:
        batch: images of a step.
        threads: of the CPU.
    """
    patches = getattr(getattr(model, "patch_embed", None), "num_patches", None)
    is_flat = getattr(model, "embed_dim", None) == getattr(model, "num_features", None)
    if not isinstance(patches, int) or not is_flat:
        return 0.0
    prefix: Any = getattr(model, "num_prefix_tokens", 0)
    kind = "all" if method.trains_backbone else "adapters"
    if method.name == "linear":
        kind = "head"
    parameters = sum(parameter.numel() for parameter in model.parameters())
    operations = 2.0 * parameters * (patches + int(prefix)) * batch * _FORWARDS[kind]
    return operations / (CORE_SPEED * max(1, threads))


def untuned_rate(config: RunConfig) -> str:
    """Return a sentence where the learning rate is a recipe's that another backbone has; else "".

    A recipe belongs to a data set and a backbone: with the rate of ``vit_mini`` on benchmark
    ``mini`` LoRA on a ViT-S/14 ended at 16.6%, with a tenth of it at 98.6%.
    """
    chosen_on = config.dataset.recipe.tuned_on
    architecture = config.model.architecture
    by_recipe = config.settings.get("optimizer.lr") == "recipe"
    known = not chosen_on or architecture.split(".")[0] in chosen_on
    if known or not by_recipe or not config.train.epochs:
        return ""
    return (
        f"optimizer.lr={config.optimizer.identity()['lr']:g} is not tuned for {architecture}: the "
        f"rates of {config.dataset.benchmark}/{config.dataset.name} were chosen on "
        f"{', '.join(chosen_on)}; set optimizer.lr, or let protocol.tune=true choose it"
    )
