"""Reproduce and compare parameter-efficient fine-tuning.

The adapter library needs no configuration::

    import timm, hydra_peft

    model = timm.create_model("vit_base_patch16_224.orig_in21k", pretrained=True, num_classes=10)
    print(hydra_peft.inject(model, "hydra", targets=["attn.proj", "mlp.fc2"], rank=2))
    ...                                    # train what hydra_peft.trainable_parameters(model) lists
    hydra_peft.save_adapter(model, "my_adapter")
    hydra_peft.merge(model)                # plain nn.Linear again, stock timm state-dict keys

A run of ``scripts/train.py`` is used from its folder::

    trained = hydra_peft.load_run("results/runs/mini/digits/<run>")
    names, probabilities = trained.predict(["one.png", "two.png"])
    hydra_peft.export_run("results/runs/mini/digits/<run>", to="timm")    # or to="peft"
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hydra_peft.adaptation.injection import inject as inject
    from hydra_peft.adaptation.injection import set_training_mode as set_training_mode
    from hydra_peft.adaptation.merging import merge as merge
    from hydra_peft.adaptation.merging import unmerge as unmerge
    from hydra_peft.adaptation.parameters import adapter_state_dict as adapter_state_dict
    from hydra_peft.adaptation.parameters import count_parameters as count_parameters
    from hydra_peft.adaptation.parameters import trainable_parameters as trainable_parameters
    from hydra_peft.adaptation.peft_loading import load_peft as load_peft
    from hydra_peft.adaptation.record import Adaptation as Adaptation
    from hydra_peft.adaptation.storage import load_adapter as load_adapter
    from hydra_peft.adaptation.storage import save_adapter as save_adapter
    from hydra_peft.adapters.low_rank import LowRankLinear as LowRankLinear
    from hydra_peft.errors import UserError as UserError
    from hydra_peft.export.exporting import export_run as export_run
    from hydra_peft.export.pushing import push_adapter as push_adapter
    from hydra_peft.export.pushing import push_run as push_run
    from hydra_peft.export.to_peft import save_peft as save_peft
    from hydra_peft.methods import method_names as method_names
    from hydra_peft.runs.predicting import TrainedRun as TrainedRun
    from hydra_peft.runs.predicting import load_run as load_run

# Looked up on first use, so that importing the package costs nothing (not even torch).
_HOMES = {
    "Adaptation": "adaptation.record",
    "inject": "adaptation.injection",
    "set_training_mode": "adaptation.injection",
    "merge": "adaptation.merging",
    "unmerge": "adaptation.merging",
    "adapter_state_dict": "adaptation.parameters",
    "count_parameters": "adaptation.parameters",
    "trainable_parameters": "adaptation.parameters",
    "load_adapter": "adaptation.storage",
    "save_adapter": "adaptation.storage",
    "LowRankLinear": "adapters.low_rank",
    "UserError": "errors",
    "export_run": "export.exporting",
    "load_peft": "adaptation.peft_loading",
    "push_adapter": "export.pushing",
    "push_run": "export.pushing",
    "save_peft": "export.to_peft",
    "method_names": "methods",
    "TrainedRun": "runs.predicting",
    "load_run": "runs.predicting",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
