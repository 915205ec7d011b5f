"""``to=timm``: merged weights that ``timm.create_model`` loads, with timm's own description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.export.card import ModelCard
from hydra_peft.export.plain import merged_copy, put_linear_head
from hydra_peft.export.source import Source, check_same_outputs, outputs_of
from hydra_peft.files import write_json
from hydra_peft.tensor_files import write_tensors

#: names that timm and its hub look for
WEIGHTS, CONFIG = "model.safetensors", "config.json"


def write(source: Source, folder: Path, _: Tensor | None) -> ModelCard:
    """Write the merged model into ``folder``, read it back with timm and compare its outputs.

    Raises:
        UserError: the method cannot merge, the head is no linear layer, or what was read back
            computes something else.
    """
    model = merged_copy(source.run.model)
    put_linear_head(model)
    write_tensors(folder / WEIGHTS, model.state_dict(), {"format": "pt"})
    write_json(folder / CONFIG, description(source))
    check_loads(source, folder / WEIGHTS)
    call = source.stock.call(checkpoint_path=f"<this folder>/{WEIGHTS}")
    return ModelCard(
        library="timm",
        form="merged into plain weights of timm's model",
        load=(
            "import timm\n\n"
            f"model = {call}.eval()\n"
            "# newer versions of timm take all of it from the folder:\n"
            "model = timm.create_model('local-dir:<this folder>', pretrained=True).eval()\n"
            "config = timm.data.resolve_model_data_config(model)  # of the second form\n"
            "transform = timm.data.create_transform(**config)     # as the run saw images"
        ),
    )


def check_loads(source: Source, weights: Path) -> None:
    """Check that stock timm loads ``weights`` strictly and computes what the run's model does.

    Raises:
        UserError: it does not.
    """
    from timm.models import load_checkpoint

    stock = source.stock.build()
    load_checkpoint(stock, str(weights), strict=True)
    check_same_outputs(outputs_of(stock, source.inputs), source.outputs, "timm's model")


def description(source: Source) -> dict[str, Any]:
    """Return timm's ``config.json``: architecture, classes, how images are prepared."""
    stock, architecture = source.stock, source.run.config.model.architecture
    name, _, tag = stock.name.partition(".")
    pretrained: dict[str, Any] = {
        "tag": tag,
        "custom_load": False,
        "input_size": [3, *source.size],
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center"
        if source.crop
        else "squash",  # the latter is without regard to aspect
        "mean": list(source.mean),
        "std": list(source.std),
        "num_classes": stock.outputs,
    }
    own: Any = source.run.model
    known = own.pretrained_cfg
    kept = ("pool_size", "first_conv", "classifier")
    pretrained |= {key: known[key] for key in kept if known.get(key)}
    if architecture not in EMBEDDED and known.get("license"):
        pretrained["license"] = known["license"]
    found: dict[str, Any] = {
        "architecture": name,
        "num_classes": stock.outputs,
        "num_features": own.num_features,
        "pretrained_cfg": pretrained,
    }
    if stock.arguments:
        found["model_args"] = dict(stock.arguments)
    if source.classes:
        found["label_names"] = list(source.classes)
    return found
