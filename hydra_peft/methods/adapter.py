"""Adapter: a non-linear bottleneck in each transformer block (Houlsby et al., arXiv 1902.00751)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.adapters.initializers import Init
from hydra_peft.limits import Share
from hydra_peft.methods._bottleneck import Activation, BottleneckMethod


@dataclass(frozen=True)
class Adapter(BottleneckMethod):
    """One adapter behind each MLP, ``y + m + (W_up Drop(QuickGELU(W_down m + b_down)) + b_up)``.

    With y, m of ``[..., width]``: y is what the MLP's part m is added to. The defaults are the row
    "Adapter" of VTAB-1k (ZhangYuanhan-AI/NOAH, ``adapter_super.py``): 156,768 parameters on
    ViT-B/16. There both weights start as N(0, 0.02^2), since the model draws over what the module
    drew, and so do they here: the adapters do not start as the identity.

    The options make the others: ``conf/method/adapter_houlsby.yaml`` is the original, with two
    adapters a block (its layer norms, which it trains too, stay frozen here), and
    ``adapter_elevater.yaml`` the row of ELEVATER (eric-ai-lab/PEViT, ``adapter_model.py``).
    """

    name: ClassVar[str] = "adapter"
    activation: Activation = "quick_gelu"
    dropout: Share = 0.1
    init: Init = "trunc_normal"


METHOD = Adapter
