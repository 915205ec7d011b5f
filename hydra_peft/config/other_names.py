"""Keys of a run's config by the names that others give them: peft, timm, transformers, scripts of
ours."""

from __future__ import annotations

#: the key, by what is typed for it after the name of a group, or without one
_KEYS = {
    # peft
    "r": "method.rank",
    "lora_r": "method.rank",
    "lora_rank": "method.rank",
    "alpha": "method.scale",
    "lora_alpha": "method.scale",
    "scaling": "method.scale",
    "lora_dropout": "method.dropout",
    "init_lora_weights": "method.init",
    "use_rslora": "method.rank_scale",
    "use_dora": "method=dora",
    "target_modules": "method.targets",
    # timm
    "opt": "optimizer",
    "sched": "scheduler",
    "wd": "optimizer.weight_decay",
    "bs": "train.batch_size",
    "smoothing": "train.label_smoothing",
    "grad_accum_steps": "train.accumulate",
    "amp": "precision",
    "initial_checkpoint": "model.checkpoint",
    "model_name": "model",
    # transformers
    "learning_rate": "optimizer.lr",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "per_device_train_batch_size": "train.batch_size",
    "gradient_accumulation_steps": "train.accumulate",
    "max_grad_norm": "train.clip_grad",
    "warmup_steps": "scheduler.warmup_epochs",
    "max_seq_length": "data.max_length",
    "model_name_or_path": "model",
    "dataset_name": "dataset",
    "task_name": "dataset",
    "output_dir": "paths.runs",
    "fp16": "precision",
    "bf16": "precision",
    # scripts/tables.py, scripts/check_data.py
    "task": "dataset",
    "tasks": "dataset",
    "config_dir": "--config-dir",
}
#: what is counted in other units here
_UNITS = {"method.scale": "alpha / rank", "scheduler.warmup_epochs": "in epochs"}


def called_by_others(full: str) -> str:
    """Return the key that other libraries call as the last part of ``full`` is; empty if none."""
    return _KEYS.get(full.rpartition(".")[2].replace("-", "_").lower(), "")


def meant_by_others(full: str, prefix: str = "") -> str:
    """Return ``" (did you mean 'x'?)"``, or nothing where no other library calls a key so.

    Args:
        full: a key that is none here.
        prefix: stands before the one that is meant.
    """
    meant = called_by_others(full)
    unit = f", {_UNITS[meant]}" if meant in _UNITS else ""
    return f" (did you mean '{prefix}{meant}'{unit}?)" if meant else ""
