"""Adapters of ours as the peft library has them, where both compute the same.

Low-rank branches of any number are one LoRA: the frozen layer's output is a linear function of its
input, so ``h = f + s A2 A1 x + s B2 B1 (W0 x + b0)`` is an update of rank r_a + r_b and a constant
(arXiv 2309.06922, eqs. 8 and 12), which peft has as ``lora_bias``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.carried import carriers
from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.peft_files import PREFIX
from hydra_peft.adaptation.record import adaptation
from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.dora import DoraLinear
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.adapters.readers import weight_readings
from hydra_peft.adapters.scaled import ScaledInput, ScaledOutput
from hydra_peft.adapters.surgery import other_names
from hydra_peft.adapters.vera import VeraLinear
from hydra_peft.errors import UserError
from hydra_peft.export.plain import other_form

#: options for peft's config, and tensors by their names in its file
Form = tuple[dict[str, Any], dict[str, Tensor]]
#: modules that peft puts below a layer, among which it looks for modules to save too
_OF_PEFT = (
    *("base_layer", "lora_dropout", "lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B"),
    *(
        "lora_magnitude_vector",
        "vera_dropout",
        "vera_lambda_b",
        "vera_lambda_d",
        "ia3_l",
        "default",
    ),
)


@torch.no_grad()
def peft_form(model: nn.Module, *, of_run: bool = True) -> Form:
    """Return peft's config and tensors for an adapted ``model``, its head left out.

    Args:
        model: merged or not, without wrappers.
        of_run: whether it is a run's, for what messages advise.

    Raises:
        UserError: peft has nothing that computes what the method does.
    """
    done = adaptation(model)
    found: dict[str, Any] = {name: adapter for name, _, adapter in carriers(model)}
    kinds = {type(adapter) for adapter in found.values()}
    make = next((make for made, make in _FORMS.items() if kinds and kinds <= set(made)), None)
    why, what = "", f"method {done.method.name} has no exact form in the peft library"
    if own := [n for n in done.trained if not belongs_to(n, found)]:
        why = f"it trains '{own[0]}' of the backbone itself"
    elif make is None:
        why = "peft has none like it"
    elif why := _unlike(model, found):
        what = f"peft would not compute what method {done.method.name} does in this model"
    if make is None or why:
        raise UserError(f"{what} ({why}): {other_form(model, of_run=of_run)}.")
    options, tensors = make(found, done.method)
    usual = {
        "target_modules": target_modules(model, list(found), done.method.linear_targets()),
        "modules_to_save": list(done.head) or None,
        "task_type": None,
        "inference_mode": True,
    }
    return usual | options, tensors


def _unlike(model: nn.Module, adapters: Mapping[str, Any]) -> str:
    """Return where a model of peft's would compute something else, and why; "" where none would."""
    for name, reading in weight_readings(model, adapters).items():
        return (
            f"its {reading.by} reads the weight of '{name}' instead of calling that layer, where "
            "peft's adapter does nothing"
        )
    for name, adapter in adapters.items():
        if type(adapter.base) is not nn.Linear:
            return f"'{name}' is a {type(adapter.base).__name__}, and no plain nn.Linear"
        if others := other_names(model, model.get_submodule(name)):
            return (
                f"'{name}' is '{others[0]}' too, one layer in two places, of which peft adapts the "
                "first alone"
            )
    heads = adaptation(model).head
    others = [
        name
        for name, module in model.named_modules()
        if not belongs_to(name, adapters)
        and name not in heads
        and [*module.parameters(), *module.buffers()]  # else nothing is saved
    ]
    for name in heads:
        if isinstance(head := model.get_submodule(name), nn.ModuleList | nn.ModuleDict):
            return f"its head '{name}' is a {type(head).__name__}, which peft does not save"
        meant = [n for n in (*others, *_OF_PEFT) if n.endswith(name) and not belongs_to(n, heads)]
        if meant:
            return (
                f"it saves modules by the end of their names, and '{meant[0]}' ends as its head "
                f"'{name}' does: give the head another name"
            )
    return ""


def target_modules(model: nn.Module, layers: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return names for peft that mean ``layers`` of ``model``: the patterns, where peft reads them
    alike, or the layers' own."""

    def named(name: str) -> bool:
        return any(name == pattern or name.endswith(f".{pattern}") for pattern in patterns)

    means = {name for name, _ in model.named_modules() if named(name)}
    return sorted(set(patterns)) if means == set(layers) else list(layers)


def _low_rank(adapters: Mapping[str, LowRankLinear], method: Any) -> Form:
    tensors: dict[str, Tensor] = {}
    rank, scale, constants = 0, 1.0, dict[str, Tensor]()
    for name, adapter in adapters.items():
        down, up, constants[name] = lora_factors(adapter)
        rank, scale = len(down), adapter.scale
        tensors[f"{PREFIX}.{name}.lora_A.weight"] = down
        tensors[f"{PREFIX}.{name}.lora_B.weight"] = up
    biased = any(bool(constant.any()) for constant in constants.values())
    if biased:  # peft has constants in all layers or in none
        tensors |= {f"{PREFIX}.{n}.lora_B.bias": constant for n, constant in constants.items()}
    dropout = method.dropout if method.dropout_at == "input" else 0.0
    return _lora_options(rank, scale, dropout) | {"lora_bias": biased}, tensors


def lora_factors(adapter: LowRankLinear) -> tuple[Tensor, Tensor, Tensor]:
    """Return A ``[rank, in]``, B ``[out, rank]`` and c ``[out]`` of ``h = f + s (B A x + c)``.

    s is the adapter's scale. Computed in float64, rounded once to the widest dtype of the adapter
    and its layer.
    """
    down, shift, up, offset = adapter.update(torch.float64)
    constant = up.new_zeros(len(up))
    if shift is not None:
        constant += up @ shift
    if offset is not None:
        constant += offset
    dtype, scale = adapter.base.weight.dtype, adapter.scale  # a method's is never 0
    for _, parameter in adapter.adapter_parameters():
        dtype = torch.promote_types(dtype, parameter.dtype)
    return down.to(dtype), (up / scale).to(dtype), (constant / scale).to(dtype)


def _dora(adapters: Mapping[str, DoraLinear], method: Any) -> Form:
    tensors: dict[str, Tensor] = {}
    rank, scale = 0, 1.0
    for name, adapter in adapters.items():
        rank, scale = len(adapter.down), adapter.scale
        tensors[f"{PREFIX}.{name}.lora_A.weight"] = adapter.down
        tensors[f"{PREFIX}.{name}.lora_B.weight"] = adapter.up
        tensors[f"{PREFIX}.{name}.lora_magnitude_vector"] = adapter.magnitude
    return _lora_options(rank, scale, method.dropout) | {"use_dora": True}, tensors


def _lora_options(rank: int, scale: float, dropout: float) -> dict[str, Any]:
    """Return options of LoRA; peft multiplies by alpha over the rank."""
    alpha = scale * rank
    whole = int(alpha) if float(alpha).is_integer() else alpha
    return {"peft_type": "LORA", "r": rank, "lora_alpha": whole, "lora_dropout": dropout}


def _vera(adapters: Mapping[str, VeraLinear], method: Any) -> Form:
    first = next(iter(adapters.values()))
    shared = {"base_model.vera_A": first.down, "base_model.vera_B": first.up}
    own: dict[str, Tensor] = {}
    for name, adapter in adapters.items():
        own[f"{PREFIX}.{name}.vera_lambda_d"] = adapter.down_scale
        own[f"{PREFIX}.{name}.vera_lambda_b"] = adapter.up_scale
    options = {"peft_type": "VERA", "r": len(first.down), "vera_dropout": method.dropout}
    return options | {"d_initial": method.start, "save_projection": True}, own | shared


def _ia3(adapters: Mapping[str, Adapter], _: Any) -> Form:
    tensors: dict[str, Tensor] = {}
    inputs = [name for name, adapter in adapters.items() if isinstance(adapter, ScaledInput)]
    for name, adapter in adapters.items():
        if isinstance(adapter, ScaledOutput):
            tensors[f"{PREFIX}.{name}.ia3_l"] = adapter.factors(adapter.scale)[:, None]
        elif isinstance(adapter, ScaledInput):
            tensors[f"{PREFIX}.{name}.ia3_l"] = adapter.scale[None]
    # peft wants the second to be among the first, word by word
    named = {"target_modules": list(adapters), "feedforward_modules": inputs}
    return {"peft_type": "IA3", **named}, tensors


_FORMS: dict[tuple[type[Adapter], ...], Any] = {
    (LowRankLinear,): _low_rank,
    (DoraLinear,): _dora,
    (VeraLinear,): _vera,
    (ScaledInput, ScaledOutput): _ia3,
}
