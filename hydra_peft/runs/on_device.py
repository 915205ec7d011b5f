"""The part of a config that only the device decides: the precision, where it says ``auto``."""

from __future__ import annotations

import dataclasses

from hydra_peft.config.schema import RunConfig
from hydra_peft.training.devices import fastest_precision


def on_device(config: RunConfig) -> RunConfig:
    """Return ``config`` with the precision that its device here is fastest in for ``auto``.

    The last step of composing: nothing is left open then, and the run has its identity.
    """
    if "auto" not in (config.precision, config.protocol.fills.precision):
        return config
    fastest = fastest_precision(config.device)
    precision = fastest if config.precision == "auto" else config.precision
    fills = config.protocol.fills
    if fills.precision == "auto":
        fills = dataclasses.replace(fills, precision=fastest)
    return dataclasses.replace(
        config,
        precision=precision,
        protocol=dataclasses.replace(config.protocol, fills=fills),
        settings={**config.settings, "precision": precision},
    )
