"""Overrides that would change what a name stands for are refused."""

from __future__ import annotations

from collections.abc import Iterable

from hydra.conf import HydraConf
from omegaconf import DictConfig, OmegaConf

from hydra_peft.errors import UserError, did_you_mean

#: keys of a protocol that are asked for beside its name
_FREE = ("protocol.tune", "protocol.grid", "protocol.search", "protocol.trials")


def check_overrides(overrides: Iterable[str]) -> None:
    """Check that no override changes what a name stands for instead of what a run does.

    Raises:
        UserError: one does; a table could not tell such a run from one of the recipe or protocol.
    """
    for override in overrides:
        key = override.lstrip("+~").split("=")[0].strip()
        if key.startswith(("dataset.recipe", "dataset.versions")) or key == "method.recipe":
            raise UserError(
                f"'{override}' would change the task's recommendation: override what the run "
                "takes from it, such as optimizer.lr, train.epochs or method.dropout."
            )
        if key.startswith("protocol.fills"):
            raise UserError(
                f"'{override}' would change the protocol under its name: override what the run "
                "takes from it, such as method.init, model.drop_path or data.normalization."
            )
        if key == "protocol.name":
            raise UserError(
                f"'{override}' would give one protocol another's name: choose one as "
                "protocol=<name>, or write a new one as conf/protocol/<name>.yaml."
            )
        if key.startswith("protocol.") and not key.startswith(_FREE):
            raise UserError(
                f"'{override}' would change the protocol under its name: choose another as "
                "protocol=<name>, or write a new one as conf/protocol/<name>.yaml."
            )


def check_keys_of_hydra(words: Iterable[str]) -> None:
    """Check that ``+hydra.<key>=...`` adds no key that Hydra does not have: it would say nothing.

    Raises:
        UserError: one does.
    """
    for word in words:
        key, given, _ = word.partition("=")
        name = key.lstrip("+")
        if not given or name == key or not name.startswith("hydra."):
            continue
        node: object = OmegaConf.structured(HydraConf)
        for part in name.split(".")[1:]:
            # Below a plain dict, or what plugins bring along, any key may be meant.
            if not isinstance(node, DictConfig) or OmegaConf.get_type(node) in (None, dict):
                break
            known = [str(one) for one in node.keys()]  # noqa: SIM118 - `in` passes over missing ones
            if part not in known:
                raise UserError(
                    f"'{word}': Hydra has no key '{name}'{did_you_mean(part, known)}; "
                    f"known there: {', '.join(known)}."
                )
            node = node._get_node(part)
