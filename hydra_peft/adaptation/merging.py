"""Writing adapters into the frozen weights, and taking them out again."""

from __future__ import annotations

import logging

import torch
from torch import nn

from hydra_peft.adaptation.adaptable import check_computed, computed_tensors
from hydra_peft.adaptation.carried import carriers, remember, written
from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.record import adaptation, find_adaptation
from hydra_peft.adaptation.tried import check_merged
from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.adaptation.written import DTYPES
from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.copied import copy_of
from hydra_peft.adapters.surgery import is_intercepted, replace_module
from hydra_peft.errors import UserError

#: share of an update that may be rounded away before merging warns of it
_MOST_LOST = 0.1

log = logging.getLogger("hydra_peft")


@torch.inference_mode(False)  # what is made in it could never be trained
def merge(model: nn.Module) -> list[str]:
    """Replace every adapter of ``model``, in place, by the plain module it equals.

    One that lies in the ``base`` of another is merged by that one.

    The merged model has the untouched model's classes and state-dict keys. Each plain module
    remembers its adapter outside the state dict, for :func:`unmerge`. Where a half-precision weight
    rounds away more than a tenth of its update, a warning says how much; another names a layer
    whose weight was tied to that of a part which stays as it is.

    Returns:
        Names of the merged layers.

    Raises:
        NotMergeable: no plain module computes what an adapter does, or one of a class of your own
            does not compute it when tried out. The model is then as it was.
        UserError: merged already, an adapter with hooks, or a merged weight that is not finite.
            The model is then as it was.
    """
    done = adaptation(model)
    model = unwrap(model)
    found = {name: adapter for name, module, adapter in carriers(model) if module is adapter}
    if done.layers and not found:
        raise UserError("this model is merged already: unmerge() it first.")
    outermost = {name: adapter for name, adapter in found.items() if not belongs_to(name, found)}
    merged: list[tuple[str, Adapter, nn.Module]] = []
    for name, adapter in outermost.items():
        _check_hooks(name, adapter, "merge")
        try:
            plain = adapter.merged()
            if any(tensor.is_meta for tensor in plain.parameters()):
                raise UserError(f"{name} is on the meta device and has no values to merge.")
            check_merged(adapter, plain)
        except NotMergeable as error:
            raise NotMergeable(f"{name}: {error}.") from None
        if not all(bool(torch.isfinite(tensor).all()) for tensor in plain.parameters()):
            raise UserError(
                f"merging {name} gives values that are not finite: its branches have diverged or "
                f"overflow {next(plain.parameters()).dtype}; nothing was merged."
            )
        merged.append((name, adapter, plain))
    _tell_of_rounding(merged)
    _tell_of_ties(model, merged)
    for _, adapter, plain in merged:
        remember(plain, adapter)
        replace_module(model, adapter, plain)
    return [name for name, _, _ in merged]


def _check_hooks(name: str, module: nn.Module, verb: str) -> None:
    for part, inner in module.named_modules(prefix=name):
        if is_intercepted(inner):
            raise UserError(
                f"{part} has hooks, or a forward of its own, which the layer that takes the place "
                f"of {name} would not run: remove them before {verb}()."
            )


def _tell_of_rounding(merged: list[tuple[str, Adapter, nn.Module]]) -> None:
    """Warn where weights of half precision hold little of what is merged into them."""
    lost = {name: _lost_share(adapter, plain) for name, adapter, plain in merged}
    bad = [name for name, share in lost.items() if share > _MOST_LOST]
    if bad:
        worst = max(bad, key=lost.__getitem__)
        log.warning(
            "merging rounds away %.0f%% of the update of %s (more than %.0f%% in %d of %d layers), "
            "since its weight is held in half precision: merge a model.float(), or do not merge",
            100 * lost[worst],
            worst,
            100 * _MOST_LOST,
            len(bad),
            len(lost),
        )


def _tell_of_ties(model: nn.Module, merged: list[tuple[str, Adapter, nn.Module]]) -> None:
    """Warn where merging parts a weight that other modules share, as an embedding's."""
    own = {id(part) for _, adapter, _ in merged for part in adapter.modules()}
    inside = {id(part): name for name, adapter, _ in merged for part in adapter.base.modules()}
    users: dict[int, dict[str, str]] = {}
    for name, module in model.named_modules():
        if id(module) in own - inside.keys():  # factors that adapters share end with them
            continue
        layer = inside.get(id(module), name)
        for key, parameter in module._parameters.items():
            if parameter is not None:
                users.setdefault(id(parameter), {}).setdefault(layer, f"{layer}.{key}".lstrip("."))
    layers = {name for name, _, _ in merged}
    for names in users.values():
        if len(names) > 1 and (parted := next((name for name in names if name in layers), None)):
            log.warning(
                "'%s' is tied to '%s' and, merged, is not any more: tying them again "
                "(tie_weights()) undoes the merge, and a fresh model that ties them does not take "
                "the merged state dict: untie them there first (transformers: "
                "tie_word_embeddings=False)",
                names[parted],
                next(key for name, key in names.items() if name != parted),
            )


@torch.no_grad()
def _lost_share(adapter: Adapter, plain: nn.Module) -> float:
    """Relative error of merging in the layer's dtype: ``|W - W*| / |W* - W0|`` of merged weight W.

    W is the merged weight, W* the same in float64, W0 the frozen one; norms are Frobenius'. A bias
    is measured alone, and the larger share is what counts.
    """
    held = dict(plain.named_parameters())
    if all(tensor.dtype not in DTYPES[:2] for tensor in held.values()):
        return 0.0
    exact = dict(copy_of(adapter).double().merged().named_parameters())
    frozen = dict(adapter.base.named_parameters())
    shared = [n for n in held if n in frozen and held[n].shape == frozen[n].shape]
    pairs = [(held[n].double() - exact[n], exact[n] - frozen[n].double()) for n in shared]
    shares = [float(off.norm() / update.norm()) for off, update in pairs if update.any()]
    return max(shares, default=0.0)


@torch.inference_mode(False)
def unmerge(model: nn.Module) -> list[str]:
    """Undo :func:`merge` in place; the frozen weights come back bit for bit, from a kept copy.

    Where the model was cast or moved since, they follow it.

    Returns:
        Names of the layers that carry an adapter again.

    Raises:
        UserError: ``model`` is not merged, its merged weights were changed since, or one of its
            merged layers has hooks. The model is then as it was.
    """
    model = unwrap(model)
    found = [carried for carried in carriers(model) if carried[1] is not carried[2]]
    if not found and (done := find_adaptation(model)) is not None and not done.layers:
        return []  # a method without adapters, for which merge() has nothing to do either
    if not found:
        raise UserError("this model is not merged, so there is nothing to unmerge.")
    check_unchanged(model)
    for name, plain, _ in found:
        _check_hooks(name, plain, "unmerge")
    for _, plain, adapter in found:
        # The hidden adapter does not follow model.to() and model.train() by itself. Where there
        # was no cast each part keeps its dtype, such as float32 beside bfloat16.
        if written(plain).was_cast(plain):
            adapter.to(next(plain.parameters()))
        adapter.train(plain.training)
        replace_module(model, plain, adapter)
    return [name for name, _, _ in found]


def check_unchanged(model: nn.Module) -> None:
    """Check that merged layers hold what :func:`merge` wrote, but for casts and moves.

    Raises:
        UserError: other weights were loaded into a layer while it was merged, or it was trained,
            pruned or parametrized.
    """
    merged = [carried for carried in carriers(model) if carried[1] is not carried[2]]
    layers = [name for name, _, _ in merged]
    check_computed(model, tuple(n for n in computed_tensors(model) if not belongs_to(n, layers)))
    for name, plain, adapter in merged:
        if not written(plain).is_in(plain, adapter):
            raise UserError(
                f"{name} does not hold what merge() wrote any more: weights were loaded or trained "
                "while the model was merged, and its adapter belongs to those of before. Load "
                "the former weights again, or keep these as a plain model (its state_dict())."
            )
