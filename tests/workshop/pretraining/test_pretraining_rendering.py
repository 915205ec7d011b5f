"""The drawing package that pretraining and benchmark share."""

from __future__ import annotations

import numpy as np
import pytest

from hydra_peft.data.rendering import shapes
from hydra_peft.data.rendering.backgrounds import smooth_field
from hydra_peft.data.rendering.colours import contrasting, from_hue
from hydra_peft.data.rendering.paint import blend, coverage, to_bytes
from hydra_peft.data.rendering.pose import Pose, object_frame, pixel_centres

ALL_SHAPES = (
    shapes.disc,
    shapes.square,
    shapes.triangle,
    shapes.ellipse,
    shapes.heart,
    shapes.arrow,
    shapes.drop,
    shapes.cross,
    shapes.ring,
)


def one_pose(x: float, y: float, radius: float, angle: float) -> Pose:
    return Pose(*(np.array([value]) for value in (x, y, radius, angle)))


def test_pixel_centres_are_at_half_pixels() -> None:
    x, y = pixel_centres(4)
    assert x[0].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert y[:, 0].tolist() == [0.5, 1.5, 2.5, 3.5]


def test_object_frame_turns_clockwise_on_screen() -> None:
    # Facing down the screen: a pixel below the centre lies ahead, one to the left at +v.
    u, v = object_frame(one_pose(8.5, 8.5, 2.0, np.pi / 2), 16)
    assert np.isclose(u[0, 12, 8], 2.0)
    assert np.isclose(v[0, 12, 8], 0.0)
    assert np.isclose(v[0, 8, 4], 2.0)


@pytest.mark.parametrize("shape", ALL_SHAPES)
def test_shapes_lie_in_the_unit_disc_and_reach_its_border(shape: shapes.Distance) -> None:
    line = np.linspace(-1.5, 1.5, 601)
    u, v = np.meshgrid(line, line)
    inside = shape(u, v) < 0
    reach = np.hypot(u, v)[inside].max()
    assert 0.9 < reach <= 1.0 + 1e-9


@pytest.mark.parametrize(
    "shape", [shape for shape in ALL_SHAPES if shape not in (shapes.arrow, shapes.drop)]
)
def test_centred_shapes_have_their_centroid_at_the_origin(shape: shapes.Distance) -> None:
    line = np.linspace(-1.5, 1.5, 601)
    u, v = np.meshgrid(line, line)
    inside = shape(u, v) < 0
    assert abs(u[inside].mean()) < 0.1
    assert abs(v[inside].mean()) < 0.01


@pytest.mark.parametrize(
    ("shape", "area"),
    [
        (shapes.disc, np.pi),
        (shapes.square, 2.0),
        (shapes.triangle, 3.0 * np.sqrt(3.0) / 4.0),
        (shapes.ellipse, 0.6 * np.pi),
        (shapes.ring, 0.75 * np.pi),
    ],
)
def test_painted_area_is_the_area_of_the_shape(shape: shapes.Distance, area: float) -> None:
    pose = one_pose(32.3, 31.6, 20.0, 0.7)
    distance = shapes.pixel_distance((shape,), np.zeros(1, dtype=np.int64), pose, 64)
    assert np.isclose(coverage(distance).sum() / 400.0, area, rtol=0.02)


def test_convex_refuses_two_corners() -> None:
    with pytest.raises(ValueError, match="three corners"):
        shapes.convex(np.zeros(1), np.zeros(1), [(0.0, 0.0), (1.0, 0.0)])


def test_coverage_falls_from_one_to_zero_across_the_edge() -> None:
    assert coverage(np.array([-2.0, -0.5, 0.0, 0.5, 2.0])).tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]
    with pytest.raises(ValueError, match="positive"):
        coverage(np.zeros(1), 0.0)


def test_blend_mixes_by_alpha() -> None:
    canvas = np.zeros((1, 2, 2, 3))
    alpha = np.array([[[0.0, 0.25], [0.5, 1.0]]])
    blend(canvas, alpha, np.array([[1.0, 0.5, 0.0]]))
    assert np.allclose(canvas[0, :, :, 0], alpha[0])
    assert np.allclose(canvas[0, :, :, 1], alpha[0] / 2)


def test_to_bytes_rounds_and_clips() -> None:
    values = np.array([-1.0, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 7.0])
    assert to_bytes(values).tolist() == [0, 0, 0, 1, 255, 255]


def test_contrasting_colours_keep_their_distance() -> None:
    other = np.random.RandomState(1).random_sample((500, 3))
    colours = contrasting(np.random.RandomState(2), other, 0.5)
    gap = np.sqrt(((colours - other) ** 2).sum(axis=1))
    assert (gap >= 0.5).mean() > 0.99
    assert colours.min() >= 0.0
    assert colours.max() <= 1.0


def test_from_hue_gives_the_primary_colours() -> None:
    hue = np.array([0.0, 1.0 / 3.0, 2.0 / 3.0])
    assert np.allclose(from_hue(hue, np.ones(3), np.ones(3)), np.eye(3))
    assert np.allclose(from_hue(hue, np.zeros(3), np.full(3, 0.4)), 0.4)


def test_smooth_fields_are_bounded_and_smooth() -> None:
    field = smooth_field(np.random.RandomState(0), 20, 3, 32)
    assert field.shape == (20, 32, 32)
    assert np.abs(field).max() <= 1.0
    assert np.abs(np.diff(field, axis=2)).max() < 0.35
