"""``to=timm``: merged weights that ``timm.create_model`` loads, with timm's own description."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hydra_peft.backbones.architectures import bound_size, reason, size_arguments
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.errors import UserError
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
    check_builds(source, folder)
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


def check_builds(source: Source, folder: Path) -> None:
    """Check that timm builds the run's model from ``folder`` alone, where this version can.

    Raises:
        UserError: it does not.
    """
    import timm

    named = f"local-dir:{folder}"
    if not _is_read_as_folder(named, folder):
        return
    try:
        built = timm.create_model(named, pretrained=True)
    # What constructors and conversions make of a config that is not theirs is of any kind.
    except Exception as error:
        raise UserError(
            f"timm does not build the model from its config.json ({reason(error)}): nothing was "
            "written."
        ) from error
    check_same_outputs(outputs_of(built, source.inputs), source.outputs, "timm's model of it")


def _is_read_as_folder(named: str, folder: Path) -> bool:
    """Whether the installed timm knows folders by such a name, and reads this one as it is."""
    from timm.models import parse_model_name

    try:
        return tuple(parse_model_name(named)) == ("local-dir", str(folder))
    except (AssertionError, ValueError):
        return False


def _size_is_bound(model: nn.Module) -> bool:
    """Whether the constructor of ``model`` takes the size of its images, which timm then gives."""
    stated: Any = model.pretrained_cfg
    if stated.get("fixed_input_size"):
        return True
    return bound_size(model) is not None and bool(size_arguments(model, 1))


def description(source: Source) -> dict[str, Any]:
    """Return timm's ``config.json``: architecture, classes, how images are prepared."""
    stock, architecture = source.stock, source.run.config.model.architecture
    name, _, tag = stock.name.partition(".")
    own: Any = source.run.model
    known = own.pretrained_cfg
    pretrained: dict[str, Any] = {
        "tag": tag,
        "custom_load": False,
        "input_size": [3, *source.size],
        "fixed_input_size": _size_is_bound(own),
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "center"
        if source.crop
        else "squash",  # the latter is without regard to aspect
        "mean": list(source.mean),
        "std": list(source.std),
        "num_classes": stock.outputs,
    }
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
