"""Signed distances of unit shapes: negative inside, in units of the object's radius.

Every shape faces along +u. Convex pieces use the largest half-plane distance, which is exact inside
and along the edges and keeps corners sharp; other shapes are unions (minimum) of pieces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.rendering.pose import FloatArray, Pose, object_frame

Distance = Callable[[FloatArray, FloatArray], FloatArray]
Point = tuple[float, float]


def disc(
    u: FloatArray, v: FloatArray, centre: Point = (0.0, 0.0), radius: float = 1.0
) -> FloatArray:
    """Return the distance to a disc; u and v are arrays of one shape, as is the result."""
    return np.hypot(u - centre[0], v - centre[1]) - radius


def convex(u: FloatArray, v: FloatArray, corners: Sequence[Point]) -> FloatArray:
    """Return the half-plane distance to a convex polygon.

    `corners` go round so that v turns from u: (1, 0), (0, 1), (-1, 0) is in order. Raises
    ValueError for fewer than three corners.
    """
    if len(corners) < 3:
        raise ValueError(f"a polygon needs at least three corners, got {len(corners)}")
    result: FloatArray | None = None
    for (u0, v0), (u1, v1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = math.hypot(u1 - u0, v1 - v0)
        nu, nv = (v1 - v0) / length, (u0 - u1) / length
        side = u * nu + v * nv - (u0 * nu + v0 * nv)
        result = side if result is None else np.maximum(result, side)
    assert result is not None
    return result


def regular_corners(count: int, radius: float = 1.0, turn: float = 0.0) -> list[Point]:
    """Return the corners of a regular polygon, the first one at angle `turn`."""
    angles = [turn + 2.0 * math.pi * k / count for k in range(count)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def square(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance to a square whose corners lie on the unit circle."""
    return np.maximum(np.abs(u), np.abs(v)) - math.sqrt(0.5)


def triangle(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance to an equilateral triangle with one corner at (1, 0)."""
    return convex(u, v, regular_corners(3))


def ellipse(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance (to first order) to an ellipse with half axes 1 and 0.6."""
    scaled = np.hypot(u, v / 0.6)
    slope = np.hypot(u, v / 0.36) / np.maximum(scaled, 1e-9)
    return (scaled - 1.0) / np.maximum(slope, 1.0)


def heart(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance to a heart whose tip is at (1, 0), its centroid close to the origin."""
    lobes = np.minimum(disc(u, v, (-0.3, -0.36), 0.46), disc(u, v, (-0.3, 0.36), 0.46))
    tip = convex(u, v, [(1.0, 0.0), (-0.05, 0.752), (-0.42, 0.25), (-0.42, -0.25), (-0.05, -0.752)])
    return np.minimum(lobes, tip)


def arrow(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance to an arrow that points to (1, 0), with a short shaft behind."""
    head = convex(u, v, [(1.0, 0.0), (-0.15, 0.66), (-0.15, -0.66)])
    shaft = convex(u, v, [(0.0, -0.25), (0.0, 0.25), (-0.6, 0.25), (-0.6, -0.25)])
    return np.minimum(head, shaft)


def drop(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance to a drop: a round end behind and a tip at (1, 0)."""
    # The straight sides touch the disc where its radius is perpendicular to them.
    back, reach = (-0.25, 0.0), 1.25
    radius = 0.5
    u1 = back[0] + radius * radius / reach
    v1 = radius * math.sqrt(1.0 - (radius / reach) ** 2)
    cone = convex(u, v, [(1.0, 0.0), (u1, v1), (u1, -v1)])
    return np.minimum(disc(u, v, back, radius), cone)


def cross(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance to an upright cross of two equal bars."""
    a, b = np.abs(u), np.abs(v)
    long, wide = 0.94, 0.34
    return np.minimum(np.maximum(a - long, b - wide), np.maximum(a - wide, b - long))


def ring(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the distance to a ring between the radii 0.5 and 1."""
    return np.abs(np.hypot(u, v) - 0.75) - 0.25


def pixel_distance(
    shapes: Sequence[Distance], kind: NDArray[np.int64], pose: Pose, size: int
) -> FloatArray:
    """Return the distance in pixels to the object of each image, float64 [n, size, size].

    `kind` (int64 [n]) picks the shape of each image out of `shapes`.
    """
    u, v = object_frame(pose, size)
    result = np.empty_like(u)
    for number, shape in enumerate(shapes):
        chosen = kind == number
        if chosen.any():
            result[chosen] = shape(u[chosen], v[chosen])
    return result * pose.radius[:, None, None]
