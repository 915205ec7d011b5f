"""Whether a protocol may train on, select on and score the splits that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra_peft.data.split_roles import FURTHER, role_of
from hydra_peft.errors import UserError

if TYPE_CHECKING:
    from hydra_peft.config.schema import DatasetConfig, ProtocolConfig

#: protocols that may choose an epoch on the test set, because what they reproduce does
MAY_SELECT_ON_TEST = ("official", "best_epoch")


def check_splits(protocol: ProtocolConfig, dataset: DatasetConfig) -> None:
    """Check what ``protocol`` does with the splits of ``dataset``.

    Raises:
        UserError: it names a split that the data set has not, trains on what is no training data,
            scores what it trains on, selects an epoch on the test set, or tunes where nothing is
            held out.
    """
    roles = dataset.splits
    parts = roles.part_of()
    _one_of("train_split", protocol.train_split, tuple(parts))
    _one_of("evaluate_split", protocol.evaluate_split, roles.names())
    if protocol.evaluate_split in parts[protocol.train_split]:
        raise UserError(
            f"protocol.evaluate_split={protocol.evaluate_split} overlaps "
            f"protocol.train_split={protocol.train_split}: score on examples that are not trained "
            "on."
        )
    if (chooses := protocol.select_split) is not None:
        _one_of("select_split", chooses, roles.names())
        if chooses in (protocol.evaluate_split, *parts[protocol.train_split]):
            raise UserError(
                f"protocol.select_split={chooses} is no data apart: it is trained on "
                f"(protocol.train_split={protocol.train_split}) or scored as the result "
                f"(protocol.evaluate_split={protocol.evaluate_split})."
            )
    on_test = role_of(protocol.chosen_on, vars(roles)) in ("test", FURTHER)
    if protocol.selection == "best" and on_test and protocol.name not in MAY_SELECT_ON_TEST:
        raise UserError(
            f"protocol.name={protocol.name} may not select the best epoch on the test set: only "
            f"{', '.join(MAY_SELECT_ON_TEST)} may; use protocol.evaluate_split="
            f"{roles.val or '<a held-out split>'}."
        )
    if protocol.tune:
        check_held_out(protocol, dataset, "protocol.tune=true")


def check_held_out(protocol: ProtocolConfig, dataset: DatasetConfig, asked: str) -> None:
    """Check that what is ``asked`` for can choose on held-out data before the run that counts.

    Raises:
        UserError: none is held out, or the run is not on all of the labelled data.
    """
    roles = dataset.splits
    if roles.fit is None or roles.val is None:
        raise UserError(
            f"{asked} needs data that is held out, and dataset {dataset.name} has none: "
            "name such splits in dataset.splits.fit and dataset.splits.val."
        )
    if (protocol.train_split, protocol.evaluate_split) != (roles.train, roles.test):
        raise UserError(
            f"{asked} chooses on {roles.val} before a run on all of {roles.train} and "
            f"the test set; protocol.name={protocol.name} trains on {protocol.train_split} and "
            f"scores {protocol.evaluate_split}."
        )


def _one_of(key: str, split: str, choices: tuple[str, ...]) -> None:
    if split not in choices:
        raise UserError(
            f"protocol.{key}={split} is not allowed: it must be one of {', '.join(choices)}; a "
            "protocol's yaml points to a role, such as ${dataset.splits.test}."
        )
