"""BitFit: the backbone's own biases are trained (Ben Zaken et al., arXiv 2106.10199)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn


#: names of biases; recurrent layers have two in each
_BIAS = re.compile(r"(\w+_)?bias(_[ih]h_l\d+(_reverse)?)?")


@dataclass(frozen=True)
class BitFit(Method):
    """BitFit (102,912 parameters on ViT-B/16, 102,144 in RoBERTa-base's encoder).

    Trained is every parameter called ``bias`` or ``..._bias``, those of norms too, as in
    microsoft/LoRA (``run_glue.py``: names with "bias"). There is nothing to merge: the trained
    values are the backbone's own.

    Attributes:
        targets: name patterns of the modules whose biases are trained; ``[attn.qkv, mlp.fc1]``
            is a part of them, as in the paper's section 4.
    """

    name: ClassVar[str] = "bitfit"
    targets: list[str] = field(default_factory=lambda: ["*"])

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Let the biases train."""
        from hydra_peft.adapters.patterns import matches
        from hydra_peft.adapters.targets import lies_in

        biases = {
            name: parameter
            for name, parameter in model.named_parameters()
            if _BIAS.fullmatch(name.rpartition(".")[2])
            and parameter.is_floating_point()
            and not any(lies_in(name, top) for top in head)
        }
        if not self.targets:
            raise UserError(
                "method.targets=[] lets no bias train, as method=linear does: give names of "
                "modules, or leave it out for all of them."
            )
        for pattern in self.targets:
            meant = [name for name in biases if matches(name.rpartition(".")[0], pattern)]
            if not meant:
                raise UserError(
                    f"target '{pattern}' matches no module of {type(model).__name__} with a bias."
                )
            for name in meant:
                biases[name].requires_grad_(True)
        return []


METHOD = BitFit
