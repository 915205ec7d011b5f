"""Keys of ``dataset`` that the sources of tables have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hydra_peft.data.labelled_tables import TableColumns
from hydra_peft.data.sources._own_options import SplitOptions


@dataclass(frozen=True, kw_only=True)
class TableOptions(SplitOptions):
    """Columns and splits of tables.

    Attributes:
        image_column: the column of encoded images; None finds it by its type.
        label_column: the column of labels; None finds it by its type.
        split_names: what splits are that have other names: train, val, test, or None (left out).
    """

    image_column: str | None = None
    label_column: str | None = None
    # Requests are looked up by their hash, and then compared.
    split_names: dict[str, str | None] = field(default_factory=dict, hash=False)

    @property
    def columns(self) -> TableColumns:
        """The columns as they were given."""
        return TableColumns(self.image_column, self.label_column)

    def identity(self) -> dict[str, Any]:
        """Return what of it decides results: which images and labels are learnt, too."""
        said = {
            "image_column": self.image_column,
            "label_column": self.label_column,
            "split_names": dict(self.split_names),
        }
        return {**super().identity(), **{key: value for key, value in said.items() if value}}
