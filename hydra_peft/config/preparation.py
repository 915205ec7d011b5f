"""The config of a method's preparation: the training before the run that counts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from hydra_peft.config.grid import Choice
from hydra_peft.config.identity import science
from hydra_peft.errors import UserError, placed

#: kind of the runs of a search (:func:`on_held_out`)
TRIAL = "tuning"

if TYPE_CHECKING:
    from hydra_peft.config.schema import ProtocolConfig, RunConfig
    from hydra_peft.methods._base import Preparation


def check_preparation(config: RunConfig, found: Preparation) -> None:
    """Check that the preparation ``found`` of ``config`` is a training that could be asked for.

    Raises:
        UserError: tuning would choose on the same data, or what the preparation changes does not
            fit the run.
    """
    if config.protocol.tune:
        raise UserError(
            f"{found.asked} and protocol.tune=true both choose on held-out data before one run: "
            "set protocol.tune=false, or give the method's options themselves."
        )
    with placed(f"{found.asked} prepares a run that cannot be:"):
        _prepared(config, found)


def prepared_config(config: RunConfig) -> RunConfig | None:
    """Return the training of the preparation of ``config``; None where it has none.

    It is a run of its own, on the part ``fit`` of the data, scored on ``val``.
    """
    found = config.method.preparation()
    if found is None:
        return None
    prepared = _prepared(config, found)
    return dataclasses.replace(prepared, settings=_settings(config, prepared, found))


def on_held_out(config: RunConfig, kind: str, selection: str = "last") -> ProtocolConfig:
    """Return the protocol of ``config`` for a run that chooses: trained on fit, scored on val.

    Args:
        kind: of such runs, which tells their protocol's name from that of the run that counts.
        selection: which epoch counts there: the ``last``, or the ``best``.
    """
    roles = config.dataset.splits
    assert roles.fit is not None, "checked where something is chosen"
    assert roles.val is not None, "checked likewise"
    return dataclasses.replace(
        config.protocol,
        name=f"{config.protocol.name}-{kind}",
        train_split=roles.fit,
        evaluate_split=roles.val,
        selection=selection,
        evaluate_every=None if selection == "last" else 1,
        tune=False,
        tune_seed=None,
    )


def _prepared(config: RunConfig, found: Preparation) -> RunConfig:
    protocol = on_held_out(config, "preparation")
    changes = Choice(dict(found.changes))
    return changes.apply(config, method=found.method, protocol=protocol, seed=config.choosing_seed)


def _settings(config: RunConfig, prepared: RunConfig, found: Preparation) -> dict[str, Any]:
    """Return the settings of ``prepared``: those of ``config`` but for what differs."""
    own = science(prepared)
    changed = {"method", "protocol", *(key.partition(".")[0] for key in found.changes)}
    settings = {k: v for k, v in config.settings.items() if k.partition(".")[0] not in changed}
    for group in sorted(changed):
        for name, value in own[group].items():
            key = f"{group}.{name}"
            by_recipe = config.settings.get(key) == "recipe" and key not in found.changes
            settings[key] = "recipe" if by_recipe else value
    return settings
