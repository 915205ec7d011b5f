"""Overrides that would change what a name stands for are refused."""

from __future__ import annotations

from collections.abc import Iterable

from hydra_peft.errors import UserError

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
