"""The interface of a metric: from all outputs and targets of a split to one number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from hydra_peft.errors import UserError
from hydra_peft.plain_text import in_one_line, quoted

if TYPE_CHECKING:  # who reads a record asks for the direction of a metric, and waits for no numpy
    import numpy as np
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[np.generic]
else:
    Array = Any

#: by which a value may be past a bound: a correlation of 100.00000000000001
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Metric:
    """A score of a whole split. It is computed once, from every example, never batch by batch.

    Values are in percent: 100 times the metric's textbook value, so a correlation lies between
    -100 and 100. Those without a bound, such as errors, are the textbook value itself.

    Attributes:
        name: as in configs, records and tables.
        title: as a table's head prints it.
        score: from outputs, float32 ``[n, outputs]`` as the model gives them, and targets (int64
            ``[n]``, float32 ``[n]`` or 0/1 ``[n, outputs]``) to the value.
        kinds: the kinds of task that it can score, and with them those derived from them.
        classes: how many classes a task must have for it; None for any number.
        higher_is_better: the direction of a better score.
        least, most: between which values lie; ``most`` is infinite where there is no bound.
        counts: whether the value is a share of ``n`` examples that were right, whose number a
            record then holds too.
    """

    name: str
    title: str
    score: Callable[[Array, Array], float]
    kinds: tuple[str, ...]
    classes: int | None = None
    higher_is_better: bool = True
    least: float = 0.0
    most: float = 100.0
    counts: bool = False

    @property
    def unit(self) -> str:
        """Unit of a printed value: ``%``, or nothing where values are not in percent."""
        return "%" if math.isfinite(self.most) else ""

    def better(self, value: float, than: float) -> bool:
        """Whether ``value`` is strictly the better score."""
        return value > than if self.higher_is_better else value < than

    def value(self, outputs: Array, targets: Array) -> float:
        """Return :attr:`score` of ``outputs`` and ``targets`` as Python's float.

        Raises:
            UserError: it raises something, or gives no number between :attr:`least` and
                :attr:`most`.
        """
        try:
            found = self.score(outputs, targets)
            value = float(found)
        except Exception as error:  # whatever somebody's function does
            said = f"{type(error).__name__}: {error}"
            raise UserError(
                f"metric {self.name} cannot score: {in_one_line(said).rstrip('.')}."
            ) from error
        bounded = min(max(value, self.least), self.most)
        if not (math.isfinite(value) and math.isclose(value, bounded, abs_tol=_ROUNDING)):
            raise UserError(
                f"metric {self.name} gives {quoted(found)}: it must give a finite number from "
                f"{self.least:g} to {self.most:g}."
            )
        return bounded


def probabilities(outputs: Array) -> NDArray[np.float64]:
    """Return the softmax over the last axis of ``outputs``, float64."""
    import numpy as np
    from scipy.special import softmax

    result: NDArray[np.float64] = softmax(outputs.astype(np.float64), axis=-1)
    return result
