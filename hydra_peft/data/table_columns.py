"""Columns of images and of labels in a table, found by the type of what stands in them.

Features are those of the package ``datasets``. No torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra_peft.errors import UserError, did_you_mean

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
    if given is not None:
        _check_there(features, given, "image", place)
        if given not in (*images, *encoded):
            raise UserError(
                f"{place}: column '{given}' of dataset.image_column has {_kind(features[given])}, "
                "no encoded images."
            )
        return given
    found = images or encoded
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(
            f"{place} has no column of images, only {_listed(features)}: images must be encoded "
            "(PNG, JPEG, ...) in a column of their own; where there are paths, use dataset=csv."
        )
    raise UserError(
        f"{place} has several columns of images: set dataset.image_column to one of "
        f"{', '.join(found)}."
    )


def label_column(features: Mapping[str, Any], given: str | None, image: str, place: str) -> str:
    """Return the column of labels: of the feature ClassLabel, else of names or whole numbers.

    Args:
        features: of each column.
        given: its name, if it is known.
        image: the column of images.
        place: whose columns, for messages.

    Raises:
        UserError: there is no such column, or several.
    """
    classes = [n for n, f in features.items() if type(f).__name__ == "ClassLabel"]
    others = [n for n, f in features.items() if n != image and _names_classes(f)]
    if given is not None:
        _check_there(features, given, "label", place)
        if given not in (*classes, *others):
            raise UserError(
                f"{place}: column '{given}' of dataset.label_column has {_kind(features[given])}: "
                "a label must be a class, a name or a whole number."
            )
        return given
    found = classes or others
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(
            f"{place} has no column of labels, only {_listed(features)}: a label must be a class, "
            "a name or a whole number."
        )
    raise UserError(
        f"{place} has several columns that may be the labels: set dataset.label_column to one of "
        f"{', '.join(found)}."
    )


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


def _listed(features: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({_kind(feature)})" for name, feature in features.items())


def _check_there(features: Mapping[str, Any], name: str, key: str, place: str) -> None:
    if name not in features:
        raise UserError(
            f"{place} has no column '{name}' for dataset.{key}_column"
            f"{did_you_mean(name, features)}: it has {', '.join(features)}."
        )
