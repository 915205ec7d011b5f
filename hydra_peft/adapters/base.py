"""Base class of adapter modules: a frozen ``base``, own parameters, and merging."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from torch import Tensor, nn

from hydra_peft.errors import UserError


class NotMergeable(UserError, TypeError):  # noqa: N818 - read as a sentence
    """No plain module computes what an adapter does; the message says why."""


class Adapter(nn.Module):
    """A module that stands in the place of a frozen one and owns trainable parameters beside it.

    Subclasses keep the frozen module as ``self.base`` and define ``forward``; those whose effect
    can be written into the frozen weights also define :meth:`merged`. Everything else here
    (freezing, naming, saving) relies on nothing but ``base``.

    ``base`` may be, or contain, another adapter, which :meth:`merged` then has to merge too.

    Adapters may share parameters: each registers the same ``nn.Parameter``, or the same module.
    What they share frozen (random factors) is a parameter with ``requires_grad=False`` too, since
    torch copies a shared buffer for each module when it casts or moves the model.

    What ``base`` is like (``in_features``, ``eps``, ``kernel_size``) can be read from the adapter;
    its tensors, modules and methods cannot, by which a model would compute past the adapter.
    """

    base: nn.Module
    #: whether parameters beside ``base`` may have another dtype, as float32 on one in bfloat16
    own_dtype: ClassVar[bool] = False

    def adapter_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield ``(name, parameter)`` of the adapter's own parameters, not of ``base``."""
        for name, parameter in self.named_parameters():
            if not name.startswith("base."):
                yield name, parameter

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError as error:
            missing = error
        own = self.__dict__  # torch 2.6 does not compile vars()
        base = own.get("base") or own.get("_modules", {}).get("base")
        if base is None or name.startswith("__"):
            raise missing
        try:
            value = getattr(base, name)
        except AttributeError as error:
            raise (error if isinstance(base, Adapter) else missing) from None
        if isinstance(value, Tensor):
            raise AttributeError(self._not_read(name), name=name, obj=self)
        if isinstance(value, nn.Module) or callable(value):
            raise missing
        return value

    def _not_read(self, name: str) -> str:
        """Return the sentence for a model that asks for a tensor which an adapter has not."""
        return (
            f"this model reads '{name}' of an adapted layer instead of calling the layer, where "
            f"this adapter ({type(self).__name__}) has no place: adapt another layer, or, in an "
            "nn.TransformerEncoder, call torch.backends.mha.set_fastpath_enabled(False)"
        )

    def merged(self) -> nn.Module:
        """Return a new plain module that computes what this one computes in evaluation mode.

        Raises:
            NotMergeable: the adapter cannot be written as a module of ``base``'s kind.
        """
        raise NotMergeable(
            f"{type(self).__name__} cannot be merged into {type(self.base).__name__}"
        )
