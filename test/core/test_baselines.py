import numpy as np
import pytest
from refusals import refused

from depth_anything_ros.core.baselines import best_constant, best_plane, mean_depth
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.core.metrics import score

CAMERA = Camera.from_hfov(64, 48, 70.0)
ALL = np.ones((48, 64), bool)


def plane_in_space():
    """Depth of the plane (0.1, -0.6, 0.7) · X = 2.5, m."""
    return (2.5 / (CAMERA.rays() @ (0.1, -0.6, 0.7))).astype(np.float32)


def test_a_plane_in_space_is_a_plane_in_disparity():
    truth = plane_in_space()
    mask = ALL.copy()
    mask[::3] = False
    found = best_plane(truth, mask, 1000.0)
    assert found.dtype == np.float32 and found.shape == (48, 64)
    np.testing.assert_allclose(found, truth, rtol=1e-5)  # where it was not fitted, too


def test_constants_worked_by_hand():
    truth, mask = np.array([[1.0, 2.0, 4.0, np.nan]]), np.array([[True, True, True, False]])
    np.testing.assert_allclose(mean_depth(truth, mask), np.full((1, 4), 7 / 3), rtol=1e-6)
    # Mean disparity (1 + 0.5 + 0.25) / 3.
    np.testing.assert_allclose(best_constant(truth, mask), np.full((1, 4), 12 / 7), rtol=1e-6)


def test_a_wall_is_found_by_all():
    truth = np.full((48, 64), 3.0)
    for found in (mean_depth(truth, ALL), best_constant(truth, ALL), best_plane(truth, ALL, 80)):
        np.testing.assert_allclose(found, 3.0, rtol=1e-6)


def test_each_is_the_best_of_its_kind():
    rng = np.random.default_rng(3)
    truth, mask = rng.uniform(1, 20, (48, 64)), rng.random((48, 64)) < 0.4

    def squares(depth_m):
        return np.sum((1 / depth_m[mask] - 1 / truth[mask]) ** 2)

    constant, plane = best_constant(truth, mask), best_plane(truth, mask, 1e6)
    u, v = np.meshgrid(np.arange(64), np.arange(48))
    assert squares(plane) < squares(constant)
    for change in (1e-3, -1e-3, 1e-4 * u, -1e-4 * u, 1e-4 * v, -1e-4 * v):
        assert squares(plane) < squares(1 / (1 / plane + change))
    for change in (1e-3, -1e-3):
        assert squares(constant) < squares(1 / (1 / constant + change))


def test_beyond_its_horizon_the_plane_is_as_far_as_it_may_be():
    v = np.arange(48.0)[:, None] + np.zeros((1, 64))
    truth = np.where(v > 20, 1 / (0.01 * np.maximum(v - 20, 1)), 1000.0)
    found = best_plane(truth, v > 20, 80.0)
    np.testing.assert_allclose(found[:21], 80.0)
    np.testing.assert_allclose(found[30:], truth[30:], rtol=1e-4)
    assert (found > 0).all()


def test_one_pixel_and_one_line_still_have_a_plane():
    truth, mask = plane_in_space(), np.zeros((48, 64), bool)
    mask[10, 20] = True
    assert score(best_plane(truth, mask, 80.0), truth, mask).abs_rel < 1e-5
    mask[10] = True
    assert score(best_plane(truth, mask, 80.0), truth, mask).abs_rel < 1e-5


@pytest.mark.parametrize("baseline", [mean_depth, best_constant, lambda t, m: best_plane(t, m, 80)])
def test_no_truth_no_baseline(baseline):
    with refused(DepthAnythingError, "degenerate_fit", "the mask is empty"):
        baseline(plane_in_space(), ~ALL)
