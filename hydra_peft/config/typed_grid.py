"""``protocol.grid`` with what a task's recipe tries beside it, each value of its key's type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra_peft.config.grid import SHORT
from hydra_peft.config.schema import RecipeConfig
from hydra_peft.config.tunable import flattened, leaves_of_recipe, owner
from hydra_peft.config.typed import KEPT, typed_item
from hydra_peft.errors import UserError
from hydra_peft.memo import memo


@memo(
    KEPT,
    key=lambda grid, recipe, kind, classes: (
        (grid, recipe.grid, list(recipe.lr), kind),
        *classes.values(),
    ),
)
def whole_grid(
    grid: dict[str, Any], recipe: RecipeConfig, kind: str, classes: Mapping[str, type]
) -> dict[str, list[Any]]:
    """Return ``protocol.grid``, and beside it what the recipe's has of keys it says nothing of.

    Raises:
        UserError: a value of either is wrong, in the recipe's of any kind of method.
    """
    beside = {}
    for leaf in leaves_of_recipe(recipe.grid, recipe.lr):
        try:
            _typed_grid(flattened({leaf.key: leaf.values}), classes)
        except UserError as error:
            written = f"dataset.recipe.grid.{leaf.path}"
            raise UserError(str(error).replace(f"protocol.grid.{leaf.key}", written)) from None
        # To these three each protocol points, or leaves them out.
        if leaf.key not in SHORT and kind and leaf.kind in ("", kind):
            beside[leaf.key] = leaf.values
    return _typed_grid(flattened(grid, beside), classes)


def _typed_grid(grid: dict[str, Any], classes: Mapping[str, type]) -> dict[str, list[Any]]:
    """Return a flat grid with each value of the type that its key has."""
    typed = {}
    for key, given in grid.items():
        cls, name = owner(key, classes)
        where = f"protocol.grid.{key}"
        values = [typed_item(cls, name, v, f"{where}[{i}]") for i, v in enumerate(given)]
        if twice := [v for i, v in enumerate(values) if v in values[:i]]:
            raise UserError(f"{where} has {twice[0]} twice, which would be tried twice: drop one.")
        typed[key] = values
    return typed
