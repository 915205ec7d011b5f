"""Reading a LoRA of the peft library into a model of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.carried import tensors_by_name
from hydra_peft.adaptation.copying import check_ties, copy_tensors
from hydra_peft.adaptation.fingerprint import architecture_hash, backbone_state_dict
from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.adaptation.injection import check_adaptable, inject
from hydra_peft.adaptation.peft_files import (
    BACKBONE,
    CONFIG,
    PREFIX,
    TENSORS,
    lora_options,
)
from hydra_peft.adaptation.peft_targets import (
    check_layers_complete,
    check_modules_complete,
    modules_saved,
)
from hydra_peft.adaptation.record import Adaptation, adaptation
from hydra_peft.adaptation.storage import resize_head
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.adapters.patterns import matches
from hydra_peft.adapters.surgery import other_names
from hydra_peft.adapters.targets import find_linear_layers, lies_in
from hydra_peft.errors import UserError, placed
from hydra_peft.hub import local_folder
from hydra_peft.plain_text import counted, quoted, shortened, tensor_name, tensor_shape
from hydra_peft.tensor_files import read_tensors_and_metadata
from hydra_peft.tensor_values import check_weight

#: peft's names of a layer's tensors, and ours
_PARTS = {"lora_A.weight": "down.weight", "lora_B.weight": "up.weight", "lora_B.bias": "up.bias"}


@torch.inference_mode(False)  # what is made in it could never be trained
def load_peft(model: nn.Module, folder: str | Path) -> Adaptation:
    """Adapt a fresh backbone, in place, as a LoRA that peft saved; its head comes with it.

    The method is our ``lora`` with peft's scale (``alpha / r``, or rsLoRA's) and dropout on the
    input: it computes the same, trains on as peft would, merges, and is saved by
    :func:`hydra_peft.save_adapter`.

    Args:
        model: an untouched model with the layers that the adapter is on.
        folder: holds ``adapter_config.json`` and ``adapter_model.safetensors``; or
            ``hf://<user>/<name>[@<revision>]`` on the hub.

    Raises:
        UserError: no such files, tensors in a pickle, another method than plain LoRA (DoRA, PiSSA
            unconverted, ranks by layer), another backbone, or tensors that do not fit, are not
            finite, or are not all of those that the config means here. ``model`` is not adapted
            then.
    """
    folder = local_folder(folder, (CONFIG, TENSORS), "the folder to load from")
    model = check_adaptable(model)
    options, path = lora_options(folder), folder / TENSORS
    tensors, header = read_tensors_and_metadata(path)
    layers, rest = _sorted_out(model, tensors, path)
    rest = _less_the_backbone(model, rest, modules_saved(model, folder), path)
    heads = _heads(model, folder, layers, rest)
    head = tuple(top for top in heads if any(belongs_to(n, [top]) for n in rest))
    _check_rest(model, layers, [name for name in rest if not belongs_to(name, head)], path)
    _check_backbone(model, heads, header, path)
    for name, parts in layers.items():
        _check_layer(model, name, parts, options["rank"], options["bias"], path)
    check_layers_complete(model, folder, layers)
    check_modules_complete(model, folder, rest)
    targets = _targets(model, list(layers), heads, path)
    check_ties(tensors_by_name(model), rest, path)
    resize_head(model, head, rest, path)
    _check_head(model, rest, path)
    with placed(f"{path} cannot be used:"):
        done = inject(model, "lora", head=heads, targets=targets, **options)
    copy_tensors(model, {**_by_our_names(layers), **rest}, path)
    return done


def take_peft(model: nn.Module, folder: Path) -> None:
    """Copy the LoRA that peft saved in ``folder`` into ``model``, which ``lora`` was applied to.

    Its head stays as it is.

    Raises:
        UserError: the files are as of :func:`load_peft` not to be read; or layers or shapes are
            others than the model's.
    """
    done, options, path = adaptation(model), lora_options(folder), folder / TENSORS
    tensors, _ = read_tensors_and_metadata(path)
    layers, _ = _sorted_out(model, tensors, path)
    check_layers_complete(model, folder, layers, apart=done.head)
    layers = {n: p for n, p in layers.items() if not any(lies_in(n, top) for top in done.head)}
    if set(layers) != set(done.layers):
        other = sorted(set(layers) ^ set(done.layers))[0]
        raise UserError(
            f"the LoRA in {folder} is on {counted(len(layers), 'layer')}, and this model "
            f"has adapters on {len(done.layers)}, or on others ({tensor_name(other)}): set "
            f"method.targets to its layers, [{shortened(','.join(_endings(layers)), 300)}]."
        )
    for name, parts in layers.items():
        _check_layer(model, name, parts, options["rank"], options["bias"], path)
    copy_tensors(model, _by_our_names(layers), path)


def _by_our_names(layers: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {
        f"{name}.parallel.{_PARTS[part]}": tensor
        for name, parts in layers.items()
        for part, tensor in parts.items()
    }


def _heads(
    model: nn.Module, folder: Path, layers: Iterable[str], rest: Iterable[str]
) -> tuple[str, ...]:
    """Return the names of the head: of those that a head usually has the ones that no LoRA is in,
    and what else peft was told to save beside the LoRA and ``rest`` has tensors of."""

    def whole(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(n for n in names if not any(lies_in(layer, n) for layer in layers))

    usual = whole(find_head(model))
    saved = whole(modules_saved(model, folder))
    beside = tuple(n for n in saved if not any(lies_in(n, top) for top in usual))
    beside = tuple(n for n in beside if any(belongs_to(name, [n]) for name in rest))
    if beside and not any(belongs_to(name, usual) for name in rest):
        return beside
    return (*usual, *beside)


def _check_rest(model: nn.Module, layers: Iterable[str], others: Sequence[str], path: Path) -> None:
    """Check that there are no tensors ``others``, neither of a LoRA nor of the head.

    Raises:
        UserError: there are.
    """
    if not others:
        return
    name = min(others)
    for top in find_head(model):
        if lora := next((n for n in layers if lies_in(n, top) and belongs_to(name, [top])), None):
            raise UserError(
                f"{path} has a LoRA on {tensor_name(lora)} and {tensor_name(name)} itself, both of "
                f"the head '{top}', which is read adapted or whole: merge it with peft "
                "(merge_and_unload) and start from those weights."
            )
    raise UserError(
        f"{path}: {tensor_name(name)} is neither of a LoRA nor of the head of this "
        f"{type(model).__name__}: another backbone, or modules_to_save beside its head."
    )


def _sorted_out(
    model: nn.Module, tensors: dict[str, Tensor], path: Path
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Tensor]]:
    """Return the tensors of each layer by peft's names of them, and those of other modules.

    A layer in a part of ``model`` that has several names comes under the first.
    """
    first: dict[int, str] = {}
    named = model.named_modules(remove_duplicate=False)
    names = {name: first.setdefault(id(module), name) for name, module in named}
    layers: dict[str, dict[str, Tensor]] = {}
    rest: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(f"{PREFIX}.")
        part = next((part for part in _PARTS if name.endswith(f".{part}")), None)
        if part is None and ".lora_embedding_" in name:
            raise UserError(
                f"{path} has a LoRA on an embedding, {tensor_name(name)}, and only linear layers "
                "are adapted: merge it with peft (merge_and_unload) and start from those weights."
            )
        if part is None:
            rest[name] = tensor
            continue
        check_weight(tensor, torch.float32, f"{path}: {quoted(key)}")
        layer = name.removesuffix(f".{part}")
        layers.setdefault(names.get(layer, layer), {})[part] = tensor
    if not layers:
        raise UserError(f"{path} has no tensors called lora_A and lora_B: not a LoRA of peft's.")
    return layers, rest


def _once(rest: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return ``rest`` without what peft writes a second time of modules saved whole: their names
    in its own modules, and what they replaced.

    Raises:
        UserError: a module comes with two values.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in rest.items():
        plain = name.replace(".modules_to_save.", ".")
        if ".original_module." in name and name.replace(".original_module.", ".") in rest:
            continue
        if plain in found and not torch.equal(found[plain], tensor):
            raise UserError(f"{path} has two values of {tensor_name(plain)}: save it again.")
        found[plain] = tensor
    return found


def _less_the_backbone(
    model: nn.Module, rest: dict[str, Tensor], saved: Sequence[str], path: Path
) -> dict[str, Tensor]:
    """Return ``rest`` without what repeats the backbone's own values, as peft writes those of
    embeddings and of layers that it finds tied to them.

    Raises:
        UserError: it has other values of a frozen layer.
    """
    state, kept = model.state_dict(), dict[str, Tensor]()
    for name, tensor in _once(rest, path).items():
        plain = name.replace(".base_layer.", ".")
        own = state.get(plain)
        same = isinstance(own, Tensor) and torch.equal(own, tensor.to(own))
        if plain != name and not same:
            raise UserError(
                f"{path} has the frozen {tensor_name(plain)} too, with other values or another "
                f"shape than this {type(model).__name__}: build the model that it was made on."
            )
        if not same or belongs_to(name, saved):
            kept[name] = tensor
    return kept


def _check_backbone(
    model: nn.Module, heads: tuple[str, ...], header: dict[str, str], path: Path
) -> None:
    """Check the backbone where the file is an export of ours, which says what it was made on."""
    try:
        said = json.loads(header.get(BACKBONE, "{}"))
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise UserError(f"{path}: its header says nothing readable under '{BACKBONE}': edited?")
    # Of one that was adapted without a head, head=(), what we take for it is the backbone's.
    now = [architecture_hash(backbone_state_dict(model, head)) for head in (heads, ())]
    if said.get("architecture", now[0]) not in now:
        raise UserError(
            f"{path} was made on another backbone ({quoted(said.get('timm'))}) than this "
            f"{type(model).__name__}: build that one."
        )


def _check_layer(
    model: nn.Module, name: str, parts: dict[str, Tensor], rank: int, bias: bool, path: Path
) -> None:
    found_here = dict(model.named_modules()).get(name)
    if found_here is not None and (others := other_names(model, found_here)):
        raise UserError(
            f"{path} has a LoRA on {tensor_name(name)}, which is '{others[0]}' too, one layer in "
            "two places: peft adapts the first alone and our LoRA both; merge it with peft "
            "(merge_and_unload) and start from those weights."
        )
    layer = found_here.base if isinstance(found_here, LowRankLinear) else found_here
    if not isinstance(layer, nn.Linear):
        kind = "no layer" if layer is None else f"a {type(layer).__name__}"
        raise UserError(
            f"{path} has a LoRA on {tensor_name(name)}, where this {type(model).__name__} has "
            f"{kind}, and only linear layers are adapted: another backbone?"
        )
    if rank > (most := min(layer.in_features, layer.out_features)):
        raise UserError(
            f"{path} has a LoRA of rank {rank} on {tensor_name(name)}, a linear layer "
            f"{layer.in_features}->{layer.out_features} whose updates have at most rank {most}, as "
            "ours do: merge it with peft (merge_and_unload) and start from those weights, or train "
            "it with target_modules that leave that layer out."
        )
    shapes: dict[str, tuple[int, ...]] = {
        "lora_A.weight": (rank, layer.in_features),
        "lora_B.weight": (layer.out_features, rank),
    }
    if bias:
        shapes["lora_B.bias"] = (layer.out_features,)
    found = {part: tuple(tensor.shape) for part, tensor in parts.items()}
    if found != shapes:
        raise UserError(
            f"{path}: the LoRA on {tensor_name(name)} has {shortened(str(found), 300)}, and "
            f"r={rank} on a linear layer {layer.in_features}->{layer.out_features} has {shapes}: "
            "another backbone, another rank, or a file that was cut short."
        )


def _check_head(model: nn.Module, rest: dict[str, Tensor], path: Path) -> None:
    own, buffers = tensors_by_name(model), dict(model.named_buffers(remove_duplicate=False))
    for name, tensor in rest.items():
        if name not in own or own[name].shape != tensor.shape:
            here = tuple(own[name].shape) if name in own else "none"
            raise UserError(
                f"{path}: {tensor_name(name)} has shape {tensor_shape(tensor.shape)}, this model "
                f"{here}: another backbone?"
            )
        check_weight(tensor, own[name].dtype, f"{path}: {tensor_name(name)}", mask=name in buffers)


def _targets(model: nn.Module, layers: list[str], heads: tuple[str, ...], path: Path) -> list[str]:
    """Return the shortest endings that name ``layers`` among the linear layers of ``model``, or
    their names.

    Raises:
        UserError: neither names them alone.
    """
    for targets in (_endings(layers), layers):
        means = find_linear_layers(model, targets, exclude=heads)
        if means.keys() == set(layers):
            return targets
    other = next(name for name in means if name not in layers)
    raise UserError(
        f"{path} has a LoRA on {tensor_name(next(n for n in layers if matches(other, n)))} and "
        f"none on '{other}', which that name means too: rename one of the two modules."
    )


def _endings(layers: Iterable[str]) -> list[str]:
    """Return the last two parts of the names of ``layers``, each once."""
    return sorted({".".join(name.split(".")[-2:]) for name in layers})
