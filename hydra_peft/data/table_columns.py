"""Columns of images and of labels in a table, found by the type of what stands in them.

Features are those of the package ``datasets``. No torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.quoting import of_file

#: types of values that may name a class, beside whole numbers
_NAMES = ("string", "large_string", "string_view", "bool")
_BINARY = ("binary", "large_binary")


def image_column(features: Mapping[str, Any], given: str | None, place: str) -> str:
    """Return the column of images: of the feature Image, else of encoded bytes.

    Args:
        features: of each column.
        given: its name, if it is known.
        place: whose columns, for messages.

    Raises:
        UserError: there is no such column, or several.
    """
    images = [n for n, f in features.items() if type(f).__name__ == "Image"]
    encoded = [n for n, f in features.items() if _is_encoded(f)]
    need = (
        "images must be encoded (PNG, JPEG, ...) in a column of their own; where there are paths, "
        "use dataset=csv"
    )
    return _column("image", features, given, images, encoded, place, need)


def label_column(features: Mapping[str, Any], given: str | None, image: str, place: str) -> str:
    """Return the column of labels: of the feature ClassLabel, else of names or whole numbers.

    Args and errors are those of :func:`image_column`; ``image`` is the column of images.
    """
    classes = [n for n, f in features.items() if type(f).__name__ == "ClassLabel"]
    others = [n for n, f in features.items() if n != image and _names_classes(f)]
    need = "a label must be a class, a name or a whole number"
    return _column("label", features, given, classes, others, place, need)


def _column(
    kind: str,
    features: Mapping[str, Any],
    given: str | None,
    sure: list[str],
    possible: list[str],
    place: str,
    need: str,
) -> str:
    if given is not None:
        if given not in features:
            raise UserError(
                f"{place} has no column '{given}' for dataset.{kind}_column"
                f"{of_file(did_you_mean(given, features), '')}: it has "
                f"{of_file(', '.join(features))}."
            )
        if given not in (*sure, *possible):
            raise UserError(
                f"{place}: column '{given}' of dataset.{kind}_column has "
                f"{of_file(_kind(features[given]))}: {need}."
            )
        return given
    found = sure or possible
    if not found:
        listed = ", ".join(f"{name} ({_kind(feature)})" for name, feature in features.items())
        raise UserError(f"{place} has no column of {kind}s, only {of_file(listed)}: {need}.")
    if len(found) > 1:
        raise UserError(
            f"{place} has several columns of {kind}s: set dataset.{kind}_column to one of "
            f"{of_file(', '.join(found))}."
        )
    return found[0]


def _is_encoded(feature: Any) -> bool:
    inside = feature.get("bytes") if isinstance(feature, dict) else feature
    return getattr(inside, "dtype", None) in _BINARY


def _names_classes(feature: Any) -> bool:
    kind = str(getattr(feature, "dtype", ""))
    plain = type(feature).__name__ == "Value"
    return plain and (kind in _NAMES or kind.startswith(("int", "uint")))


def _kind(feature: Any) -> str:
    kind = type(feature).__name__
    if kind == "Value":
        return f"{feature.dtype} values"
    return {"Image": "images", "ClassLabel": "classes"}.get(kind, f"values of type {kind}")
