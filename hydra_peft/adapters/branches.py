"""Two adapters of one frozen layer, one beside and one behind it, summed (paper section 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.copied import copy_of
from hydra_peft.adapters.per_thread import PerThread
from hydra_peft.adapters.plain import with_weights


class _Known:
    """The frozen layer as both adapters see it: computed once for one input.

    It is no module, so that neither adapter holds the layer's weights a second time.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.seen = PerThread()

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen: tuple[Tensor, Any] | None = self.seen.get()
        if seen is not None and seen[0] is x:
            return seen[1]
        return self.layer(x, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "layer":
            raise AttributeError(name)
        return getattr(self.layer, name)


class Branches(Adapter):
    """``h = f + (P(x) - f) + (S(x) - f)``: f of the frozen layer, P and S adapters of it.

    With LoRA as P and SeqLoRA as S that is Hydra (paper eq. 10): what P adds, it adds beside the
    layer, and S reads the frozen layer's output, not the sum.

    Args:
        base: the frozen layer.
        parallel, sequential: adapters whose ``base`` is that layer. They keep what is theirs; the
            layer is kept here.
    """

    def __init__(self, base: nn.Module, parallel: Adapter, sequential: Adapter) -> None:
        super().__init__()
        self.base = base
        self.parallel, self.sequential = parallel, sequential
        known = _Known(base)
        for adapter in (parallel, sequential):
            assert adapter.base is base, "both adapters are of the same layer"
            del adapter._modules["base"]
            object.__setattr__(adapter, "base", known)
            if hasattr(adapter, "fused"):  # it would compute the layer again
                object.__setattr__(adapter, "fused", False)
        object.__setattr__(self, "_known", known)
        self.train(base.training)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map what ``base`` does; ``base`` is computed once."""
        known: _Known = self._known
        out: Tensor = self.base(x, *args, **kwargs)
        known.seen.put((x, out))
        total = self.parallel(x, *args, **kwargs) + self.sequential(x, *args, **kwargs) - out
        known.seen.put(None)
        return total

    def merged(self) -> nn.Module:
        """Return the layer with both updates in its weights.

        Raises:
            NotMergeable: one of the adapters does not merge.
        """
        wide = copy_of(self).double()  # rounded once, at the end
        with wide._bases(), torch.no_grad():
            parts = [wide.parallel.merged(), wide.sequential.merged()]
        total = [_summed(name, parts, wide.base) for name in ("weight", "bias")]
        return with_weights(self.base, *total).train(self.training)

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias"):  # for modules that read them, as of a LinearAdapter
            return _summed(name, [self.parallel, self.sequential], self.base)
        return super().__getattr__(name)

    @contextmanager
    def _bases(self) -> Iterator[None]:
        """Let both adapters have the layer itself as ``base``, as merging needs it."""
        adapters = (self.parallel, self.sequential)
        for adapter in adapters:
            object.__setattr__(adapter, "base", self.base)
        try:
            yield
        finally:
            for adapter in adapters:
                object.__setattr__(adapter, "base", self._known)


def _summed(name: str, parts: Sequence[nn.Module], frozen: nn.Module) -> Any:
    """Return the frozen ``weight`` or ``bias`` with what both ``parts`` make of it added up."""
    there = [value for part in parts if (value := getattr(part, name)) is not None]
    own = getattr(frozen, name)
    return sum(there[1:], there[0]) - (0 if own is None else own) if there else None
