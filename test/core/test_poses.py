import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.poses import (
    ROBUST_FROM,
    Similarity,
    baseline,
    inverse,
    rigid_poses,
    rotation_of_quaternion,
    similarity,
)

seeds = st.integers(0, 2**32 - 1)


def _rotation(rng):
    return cv2.Rodrigues(rng.normal(size=3))[0]


def _poses(rng, count):
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = [_rotation(rng) for _ in range(count)]
    poses[:, :3, 3] = rng.normal(0, 3, (count, 3))
    return poses


# Poses


def test_poses_are_stacked_as_they_are():
    poses = _poses(np.random.default_rng(0), 3)

    found = rigid_poses([pose.tolist() for pose in poses], 3)

    assert found.dtype == np.float64 and (found == poses).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pose: pose[:3], r"got shapes \[\(4, 4\), \(3, 4\)\]"),
        (lambda pose: pose * [[2], [2], [2], [1]], "pose 1 is no rotation"),
        (lambda pose: pose * [[-1], [1], [1], [1]], "pose 1 is no rotation"),  # a mirror
        (lambda pose: pose.T, "pose 1 is no rotation"),
        (lambda pose: pose + np.array((0, 0, 0, np.nan)), "pose 1 is no rotation"),
        (lambda pose: pose + np.diag((0, 0, 0, 1)), "pose 1 is no rotation"),
    ],
)
def test_what_is_no_pose_is_refused(change, message):
    one, two = _poses(np.random.default_rng(0), 2)

    with refused(CameraError, "pose", message):
        rigid_poses([one, change(two)], 2)


def test_each_picture_needs_a_pose():
    with refused(CameraError, "pose", "3 pictures need as many poses"):
        rigid_poses(list(_poses(np.random.default_rng(0), 2)), 3)


@given(seeds)
@settings(max_examples=20)
def test_a_pose_and_its_inverse_undo_each_other(seed):
    poses = _poses(np.random.default_rng(seed), 3)

    np.testing.assert_allclose(inverse(poses) @ poses, np.tile(np.eye(4), (3, 1, 1)), atol=1e-12)
    np.testing.assert_array_equal(inverse(poses)[1], inverse(poses[1]))


def test_a_quarter_turn_about_z():
    half = math.sqrt(0.5)

    R = rotation_of_quaternion(np.array((0, 0, half, half)))

    np.testing.assert_allclose(R, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15)


@given(seeds, st.floats(0.1, 10))
@settings(max_examples=30)
def test_a_quaternion_of_any_length_turns_about_its_axis_by_its_angle(seed, length):
    rng = np.random.default_rng(seed)
    axis, angle = rng.normal(size=3), rng.uniform(-3, 3)
    axis /= np.linalg.norm(axis)
    xyzw = length * np.append(math.sin(angle / 2) * axis, math.cos(angle / 2))

    R = rotation_of_quaternion(np.stack((xyzw, -xyzw)))

    np.testing.assert_allclose(R, [cv2.Rodrigues(angle * axis)[0]] * 2, atol=1e-12)


def test_the_baseline_is_between_the_two_that_are_farthest_apart():
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, 3] = ((0, 0, 0), (3, 0, 0), (3, 4, 0))

    assert baseline(poses) == 5.0
    assert baseline(poses[:1]) == 0.0


# Similarity


def _random_similarity(rng):
    return Similarity(float(rng.uniform(0.1, 5)), _rotation(rng), rng.normal(0, 4, 3))


def _assert_same(found, expected, atol=1e-9):
    assert found.scale == pytest.approx(expected.scale, rel=atol)
    np.testing.assert_allclose(found.rotation, expected.rotation, atol=atol)
    np.testing.assert_allclose(found.translation, expected.translation, atol=10 * atol)


@given(seeds, st.sampled_from((3, 4, 9, 10, 25)))
@settings(max_examples=30)
def test_an_exact_similarity_is_found(seed, count):
    rng = np.random.default_rng(seed)
    expected, source = _random_similarity(rng), rng.normal(0, 2, (count, 3))

    _assert_same(similarity(source, expected.apply(source)), expected, 1e-6)


@pytest.mark.parametrize("along", [(0.0, 0.6), (0.0, 0.1, 0.7), (0.0, 1.0, 2.0, 3.0)])
def test_places_on_a_line_have_a_scale(along):
    """A stereo pair, and cameras in a row along the front of a robot."""
    rng = np.random.default_rng(3)
    expected = _random_similarity(rng)
    source = np.array(along)[:, None] * rng.normal(size=3) + rng.normal(size=3)
    target = expected.apply(source)

    found = similarity(source, target)

    assert found.scale == pytest.approx(expected.scale, rel=1e-9)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-9)


def test_it_is_a_rotation_where_a_mirror_would_fit_better():
    rng = np.random.default_rng(0)
    source = rng.normal(size=(6, 3))

    found = similarity(source, source * (1, 1, -1))

    assert np.linalg.det(found.rotation) == pytest.approx(1)
    assert 0 <= found.scale < 1


def test_places_of_one_point_have_no_scale():
    assert similarity(np.ones((3, 3)), np.eye(3)).scale == 0.0
    assert similarity(np.eye(3), np.ones((3, 3))).scale == pytest.approx(0)


@given(seeds)
@settings(max_examples=10)
def test_less_than_half_of_many_may_be_wrong(seed):
    rng = np.random.default_rng(seed)
    count = 2 * ROBUST_FROM
    expected, source = _random_similarity(rng), rng.normal(0, 2, (count, 3))
    target = expected.apply(source)
    target[: count // 5] += rng.normal(0, 10 * expected.scale, (count // 5, 3))

    _assert_same(similarity(source, target), expected, 1e-6)


@pytest.mark.parametrize("count", [3, 7, 12])
def test_same_as_the_reference(count):
    """The official code takes it from evo, on which depth-anything-3 installs without --no-deps."""
    geometry = pytest.importorskip("evo.core.geometry", reason="evo is not installed")
    rng = np.random.default_rng(0)
    source = rng.normal(0, 2, (count, 3))
    noise = 0.05 if count < ROBUST_FROM else 0.0
    target = _random_similarity(rng).apply(source) + rng.normal(0, noise, (count, 3))

    rotation, translation, scale = geometry.umeyama_alignment(source.T, target.T, True)

    _assert_same(similarity(source, target), Similarity(scale, rotation, translation), 1e-6)
