"""``to=peft``: an adapter that ``peft.PeftModel.from_pretrained`` loads onto timm's model."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hydra_peft.adaptation.adaptable import check_tensors, check_values
from hydra_peft.adaptation.carried import tensors_by_name
from hydra_peft.adaptation.fingerprint import (
    architecture_hash,
    backbone_state_dict,
    frozen_tensors,
)
from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.merging import check_unchanged
from hydra_peft.adaptation.parameters import adapter_state_dict, broken_tensor
from hydra_peft.adaptation.peft_files import BACKBONE, CONFIG, PREFIX, TENSORS
from hydra_peft.adaptation.record import adaptation
from hydra_peft.adaptation.unsaved import tell_of_unsaved
from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.disk_errors import disk_reason, remedy
from hydra_peft.errors import UserError
from hydra_peft.export.card import ModelCard, backbone_code
from hydra_peft.export.peft_form import peft_form
from hydra_peft.export.plain import put_linear_head, unadapted_copy
from hydra_peft.export.source import Source, check_same_outputs, outputs_of
from hydra_peft.files import named_path, write_json
from hydra_peft.tensor_files import write_tensors


def write(source: Source, folder: Path, _: Tensor | None) -> ModelCard:
    """Write adapter and head into ``folder``, read them back with peft and compare outputs.

    Raises:
        UserError: peft has nothing like the method, the head is no linear layer, or what was read
            back computes something else.
    """
    model = source.run.model
    options = write_peft_folder(model, folder, base=_on_hub(source), timm=source.stock.name)
    stock, plain = source.stock.build(), unadapted_copy(model)
    put_linear_head(plain)
    head, state = adaptation(plain).head, plain.state_dict()
    stock.load_state_dict(state | {n: 0 * t for n, t in state.items() if belongs_to(n, head)})
    loaded = _loaded(stock, folder)
    outputs = _outputs_by_adapters(loaded, source.inputs)
    check_same_outputs(outputs, source.outputs, "peft's model")
    return _card(source, options)


def save_peft(model: nn.Module, folder: str | Path) -> None:
    """Write adapter and head of ``model``, merged or not, as the peft library saves its own.

    ``peft.PeftModel.from_pretrained(<untouched backbone>, folder)`` then computes what ``model``
    does in evaluation mode. LoRA, SeqLoRA and Hydra become one exact LoRA; DoRA, VeRA and (IA)3 are
    there too. The head, whatever it computes, is one of ``modules_to_save``.

    Raises:
        UserError: peft has nothing like the method; ``model`` reads the weight of an adapted layer
            instead of calling it, has not been adapted, is merged and was changed since, or has
            values that are not finite, or none; the folder cannot be written.
    """
    folder = named_path(folder, "the folder to save in")
    model = unwrap(model)
    check_tensors(model)
    check_values(model, tensors_by_name(model).values(), "save")
    check_unchanged(model)
    if (broken := broken_tensor(model)) is not None:
        raise UserError(
            f"'{broken}' has values that are not finite: has training diverged? Nothing was "
            "written."
        )
    _tell_of_unsaved(model, folder)
    try:
        write_peft_folder(model, folder)
    except OSError as error:
        raise UserError(
            f"{disk_reason(error) or f'cannot write into {folder}: {error}'}; the adapter was not "
            f"saved: {remedy(error, 'name another folder')}."
        ) from error


def _tell_of_unsaved(model: nn.Module, folder: Path) -> None:
    done = adaptation(model)
    if not done.method.trains_backbone:  # which is refused
        backbone = backbone_state_dict(model, done.head)
        frozen = frozen_tensors(backbone, adapter_state_dict(model), done.layers)
        tell_of_unsaved(model, backbone, frozen, folder)


def write_peft_folder(
    model: nn.Module, folder: Path, *, base: str | None = None, timm: str = ""
) -> dict[str, Any]:
    """Write adapter and head of an adapted ``model`` as peft has them.

    Args:
        folder: to write ``adapter_config.json`` and ``adapter_model.safetensors`` into.
        base: repository of the backbone's weights, which peft calls ``base_model_name_or_path``.
        timm: timm's name of the backbone of a run; empty for a model of somebody's own, whose head
            is written as it is.

    Returns:
        What the config says.

    Raises:
        UserError: peft has nothing like the method, or a run's head is no linear layer.
        OSError: the folder cannot be written.
    """
    options, tensors = peft_form(model, of_run=bool(timm))
    plain = unadapted_copy(model)
    put_linear_head(plain, any_head=not timm)
    head = adaptation(plain).head
    # Beside tensors there may be what modules keep by get_extra_state().
    state = {n: value for n, value in plain.state_dict().items() if isinstance(value, Tensor)}
    tensors |= {f"{PREFIX}.{n}": tensor for n, tensor in state.items() if belongs_to(n, head)}
    backbone = {n: tensor for n, tensor in state.items() if not belongs_to(n, head)}
    said = {"timm": timm, "architecture": architecture_hash(backbone)}
    options["base_model_name_or_path"] = base
    write_json(folder / CONFIG, options)
    write_tensors(folder / TENSORS, tensors, {"format": "pt", BACKBONE: json.dumps(said)})
    return options


def _loaded(stock: nn.Module, folder: Path) -> nn.Module:
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what merging cannot do, and of missing model cards
        loaded: nn.Module = peft.PeftModel.from_pretrained(stock, str(folder))
    return loaded


def _outputs_by_adapters(loaded: nn.Module, inputs: Tensor) -> Tensor:
    """Return the outputs of peft's model, all of whose adapters are to have a part in them.

    What a small adapter changes is less than what outputs may differ by.

    Raises:
        UserError: an adapter is not called.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    called: set[str] = set()
    names = [name for name, part in loaded.named_modules() if isinstance(part, BaseTunerLayer)]
    for name in names:
        loaded.get_submodule(name).register_forward_hook(lambda *_, name=name: called.add(name))
    outputs = outputs_of(loaded, inputs)
    if idle := [name.removeprefix(f"{PREFIX}.") for name in names if name not in called]:
        raise UserError(
            f"peft's model does not call its adapter in the place of '{idle[0]}': nothing was "
            "written. Some models read the weight of a layer instead of calling it, and adapters "
            "of other libraries do nothing there; to=timm has them merged."
        )
    return outputs


def _on_hub(source: Source) -> str | None:
    """Return the repository of the backbone's weights where they came from timm's hub."""
    model = source.run.config.model
    known: Any = source.run.model.pretrained_cfg
    if not model.pretrained or model.checkpoint is not None or model.architecture in EMBEDDED:
        return None
    return known.get("hf_hub_id") or None


def _card(source: Source, options: dict[str, Any]) -> ModelCard:
    before, base = backbone_code(source)
    kind = {"LORA": "LoRA", "VERA": "VeRA", "IA3": "IA3"}[options["peft_type"]]
    kind = "DoRA" if options.get("use_dora") else kind
    rank = f" of rank {options['r']}" if "r" in options else ""
    constant = " with lora_bias=True" if options.get("lora_bias") else ""
    return ModelCard(
        library="peft",
        form=f"as an exact {kind}{rank}{constant} of the peft library, with its head",
        load=(
            f"import timm\nfrom peft import PeftModel\n{before}\n{base}\n"
            "model = PeftModel.from_pretrained(model, '<this folder>').eval()"
        ),
    )
