"""Initialisers of down-projections; up-projections always start at zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor  # names are checked before torch is loaded

GAUSSIAN_STD = 0.02
#: no initialiser of a projection alone, see :mod:`hydra_peft.adapters.principal_branch`
PISSA = "pissa"


def gaussian(weight: Tensor) -> None:
    """N(0, 0.02^2). The paper says "random Gaussian" without a width; 0.02 is that of its
    ELEVATER code (extremebird/Hydra, ``Hydra_model.py``)."""
    from torch import nn

    nn.init.normal_(weight, std=GAUSSIAN_STD)


def xavier(weight: Tensor) -> None:
    """Xavier uniform, as in the paper's VTAB code (extremebird/Hydra, ``hydra.py``)."""
    from torch import nn

    nn.init.xavier_uniform_(weight)


def kaiming(weight: Tensor) -> None:
    """Kaiming uniform with a = sqrt(5), as in microsoft/LoRA and the paper's GLUE code."""
    from torch import nn

    nn.init.kaiming_uniform_(weight, a=math.sqrt(5))


INITIALIZERS: dict[str, Callable[[Tensor], None]] = {
    "gaussian": gaussian,
    "xavier": xavier,
    "kaiming": kaiming,
}


def initializer(name: str) -> Callable[[Tensor], None]:
    """Return the initialiser called ``name``.

    Raises:
        UserError: no initialiser has that name.
    """
    if name not in INITIALIZERS:
        raise UserError(
            f"init '{name}' is unknown{did_you_mean(name, INITIALIZERS)}: "
            f"choose one of {', '.join(INITIALIZERS)}."
        )
    return INITIALIZERS[name]
