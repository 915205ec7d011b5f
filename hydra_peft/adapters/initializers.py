"""Initialisers of projections by name; those of low-rank branches go up from zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from hydra_peft.errors import check_one_of
from hydra_peft.limits import Words

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


def trunc_normal(weight: Tensor) -> None:
    """N(0, 0.02^2) cut at 2, a hundred deviations: how timm's transformers start, and NOAH's
    adapters with them (ZhangYuanhan-AI/NOAH, whose model draws over what its modules drew)."""
    _truncated(weight, std=0.02, cut=2.0)


def houlsby(weight: Tensor) -> None:
    """N(0, 0.01^2) cut at two deviations, near the identity (Houlsby et al., arXiv 1902.00751,
    section 3.6; their code draws a tenth of it)."""
    _truncated(weight, std=0.01, cut=0.02)


def _truncated(weight: Tensor, *, std: float, cut: float) -> None:
    import torch
    from torch import nn

    # Drawn in float32: half precision lacks the digits of the inverse error function.
    drawn = torch.empty_like(weight, dtype=torch.float32, requires_grad=False)
    nn.init.trunc_normal_(drawn, std=std, a=-cut, b=cut)
    with torch.no_grad():
        weight.copy_(drawn)


INITIALIZERS: dict[str, Callable[[Tensor], None]] = {
    "gaussian": gaussian,
    "xavier": xavier,
    "kaiming": kaiming,
    "trunc_normal": trunc_normal,
    "houlsby": houlsby,
}
#: an option that names one
Init = Annotated[str, Words(*INITIALIZERS)]


def initializer(name: str) -> Callable[[Tensor], None]:
    """Return the initialiser called ``name``.

    Raises:
        UserError: no initialiser has that name.
    """
    check_one_of("init", name, INITIALIZERS)
    return INITIALIZERS[name]
