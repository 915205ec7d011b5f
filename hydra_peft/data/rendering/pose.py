"""Pose of an object in its image, and the change from pixel to object coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Pose:
    """Placement of one object in each of n images; every field is float64 of shape [n]."""

    x: FloatArray
    y: FloatArray
    radius: FloatArray
    angle: FloatArray

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Pose:
        """Return the poses at `index` (integers, a boolean mask or a slice over the n images)."""
        return Pose(self.x[index], self.y[index], self.radius[index], self.angle[index])


def pixel_centres(size: int) -> tuple[FloatArray, FloatArray]:
    """Return x and y of all pixel centres of a square image, each float64 [size, size]."""
    line = np.arange(size, dtype=np.float64) + 0.5
    x, y = np.meshgrid(line, line)
    return x, y


def object_frame(pose: Pose, size: int) -> tuple[FloatArray, FloatArray]:
    """Express pixel centres in the frame of each object, where its radius is one.

    Returns u (along the direction the object faces) and v (a quarter turn clockwise from it), each
    float64 [n, size, size].
    """
    x, y = pixel_centres(size)
    dx = x - pose.x[:, None, None]
    dy = y - pose.y[:, None, None]
    cos = (np.cos(pose.angle) / pose.radius)[:, None, None]
    sin = (np.sin(pose.angle) / pose.radius)[:, None, None]
    return dx * cos + dy * sin, dy * cos - dx * sin
