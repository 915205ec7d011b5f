"""Which modules of a model a config of peft's means, by peft's own rules, and whether the file
beside it has the tensors of all of them, and of no others."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hydra_peft.adaptation.carried import carriers
from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.adaptation.peft_files import CONFIG, TENSORS, saved_config
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.adapters.targets import lies_in
from hydra_peft.errors import UserError, reason_of
from hydra_peft.plain_text import counted, quoted, tensor_name

#: most repetitions (* + ? {}) of an expression, with those that peft itself adds
_REPEATS = 5
#: most groups, each of which may have alternatives
_GROUPS = 12
#: what means every linear layer but the output
_ALL = "all-linear"


def check_layers_complete(
    model: nn.Module, folder: Path, layers: Collection[str], *, apart: Collection[str] = ()
) -> None:
    """Check that ``layers``, on which the file in ``folder`` has a LoRA, are those that its config
    means in ``model``, which is untouched or adapted by ``lora``.

    Args:
        apart: names of modules, such as a head of the model's own, that are not looked at.

    Raises:
        UserError: it means others too, or not all of them; or has an expression that is none.
    """
    config = saved_config(folder)
    if (targets := config.get("target_modules")) is None:
        return  # peft has names by the kind of model then
    named = _modules(model, apart)
    meant = {n for n, m in named.items() if _is_meant(config, n, m, folder)}
    needed = meant
    if _is_all(targets):
        # Which of them is the output, and left out, goes by the kind of model and the task.
        outputs = tuple(_outputs(model))
        needed = {n for n in meant if not any(lies_in(n, top) for top in outputs)}
    if lost := [name for name in named if name in needed and name not in layers]:
        raise UserError(
            f"{folder / TENSORS} has no LoRA on {tensor_name(lost[0])}, one of "
            f"{counted(len(lost), 'layer')} of this {type(model).__name__} that target_modules="
            f"{quoted(targets)} in {CONFIG} means and the file lacks: it is not whole, or of "
            "another backbone; save it again with peft, or build that one."
        )
    if extra := sorted(name for name in layers if name in named and name not in meant):
        raise UserError(
            f"{folder / TENSORS} has a LoRA on {tensor_name(extra[0])}, which target_modules="
            f"{quoted(targets)} in {CONFIG} does not mean, so that peft would leave it out: one of "
            "the two was edited; save them again with peft."
        )


def modules_saved(model: nn.Module, folder: Path) -> list[str]:
    """Return the names of the modules of ``model`` that were saved whole beside the adapter, those
    in others of them left out."""
    ends = tuple(saved_config(folder).get("modules_to_save") or ())
    # As peft does: by the end of the name, whether or not a part of it begins there.
    named = [n for n, _ in model.named_modules(remove_duplicate=False) if n and n.endswith(ends)]
    return [name for name in named if not belongs_to(name, named)]


def check_modules_complete(model: nn.Module, folder: Path, rest: Mapping[str, Tensor]) -> None:
    """Check that ``rest``, what the file in ``folder`` has beside the LoRA, are all tensors of the
    modules of ``model`` that were saved whole.

    Raises:
        UserError: one is not there, or is of a module that its config does not name.
    """
    saved = modules_saved(model, folder)
    said = quoted(saved_config(folder).get("modules_to_save"))
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and belongs_to(name, saved) and name not in rest:
            raise UserError(
                f"{folder / TENSORS} lacks {tensor_name(name)}, which modules_to_save={said} in "
                f"{CONFIG} says is saved whole: it is not whole, or of another backbone; save it "
                "again with peft, or build that one."
            )
    if extra := sorted(name for name in rest if not belongs_to(name, saved)):
        raise UserError(
            f"{folder / TENSORS} has {tensor_name(extra[0])}, of no module that modules_to_save="
            f"{said} in {CONFIG} names, so that peft would leave it out: one of the two was "
            "edited; save them again with peft."
        )


def _modules(model: nn.Module, apart: Collection[str]) -> dict[str, nn.Module]:
    """Return the modules of ``model`` as if it were untouched, less those ``apart``."""
    carried = {name for name, _, _ in carriers(model)}
    named = {n: m for n, m in model.named_modules() if n and not belongs_to(n, carried)}
    return {n: m for n, m in named.items() if not any(lies_in(n, top) for top in apart)}


def _outputs(model: nn.Module) -> Iterable[str]:
    """Return the names of what may be the output of ``model``: its head, or words."""
    words = getattr(model, "get_output_embeddings", lambda: None)()
    return (*find_head(model), *(n for n, m in model.named_modules() if n and m is words))


def _is_all(targets: str | list[str]) -> bool:
    return isinstance(targets, str) and targets.lower() == _ALL


def _is_meant(config: Mapping[str, Any], name: str, module: nn.Module, folder: Path) -> bool:
    if _is_left_out(config, name, folder):
        return False
    if _is_all(config["target_modules"]):
        return isinstance(module, nn.Linear | LowRankLinear)
    return _is_target(config, name, folder)


def _is_left_out(config: Mapping[str, Any], name: str, folder: Path) -> bool:
    """Whether ``name`` is one of ``exclude_modules``, or of or in one of ``modules_to_save``."""
    left_out = config.get("exclude_modules")
    if left_out and _is_named(name, left_out, folder):
        return True
    # Unlike where they are saved: the end of a name, from the begin of a part on.
    whole = config.get("modules_to_save") or ()
    return any(_matches(rf"(^|.*\.){saved}($|\..*)", name, folder) for saved in whole)


def _is_target(config: Mapping[str, Any], name: str, folder: Path) -> bool:
    """Whether ``name`` is one of ``target_modules``, in one of ``layers_to_transform``."""
    targets, layers = config["target_modules"], config.get("layers_to_transform")
    if not _is_named(name, targets, folder):
        return False
    if isinstance(targets, str) or layers is None or layers == []:
        return True
    patterns = config.get("layers_pattern") or ()
    patterns = (patterns,) if isinstance(patterns, str) else patterns
    begins = [rf"(?:^|.*?\.){pattern}" for pattern in patterns] or [r".*?\.[^.]*"]
    found = (_matches(rf"{begin}\.(?P<idx>\d+)\.", name, folder) for begin in begins)
    first = next((match for match in found if match is not None), None)
    numbers = layers if isinstance(layers, list) else [layers]
    return first is not None and int(first["idx"]) in numbers


def _is_named(name: str, names: str | list[str], folder: Path) -> bool:
    """Whether one of ``names`` is the last parts of ``name``, or as an expression all of it."""
    if isinstance(names, str):
        return _matches(names, name, folder, re.fullmatch) is not None
    return any(name == end or name.endswith(f".{end}") for end in names)


def _matches(
    pattern: str, name: str, folder: Path, match: Callable[..., Any] = re.match
) -> re.Match[str] | None:
    if not _ends_soon(pattern):
        raise UserError(
            f"{folder / CONFIG} names modules by {quoted(pattern)}, which repeats a group, or has "
            f"more than {_REPEATS} repetitions or {_GROUPS} groups, so that it could be matched "
            "without end: write it without, or as a list of names."
        )
    try:
        found: re.Match[str] | None = match(pattern, name)
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(
            f"{folder / CONFIG} names modules by {quoted(pattern)}, which is no regular expression "
            f"({reason_of(error)}): save it again with peft."
        ) from None
    return found


def _ends_soon(pattern: str) -> bool:
    """Whether matching takes no time that grows without bound: an expression is data of a file.

    A repeated group may try a name's parts in exponentially many ways, several repetitions of
    single characters in as many as the name's length to the power of their number.
    """
    plain = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern)
    plain = re.sub(r"\(\?(?:[:=!>]|<[=!]|P<\w+>|[a-zA-Z-]+[:)])", "(", plain)  # no repetition
    plain = re.sub(r"(?<=[*+?}])[?+]", "", plain)
    repeats = re.findall(r"[*+?{]", plain)
    few = len(repeats) <= _REPEATS and plain.count("(") <= _GROUPS
    return few and not re.search(r"\)[*+{]", plain)
