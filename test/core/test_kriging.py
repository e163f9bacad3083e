import numpy as np
import pytest

from depth_anything_ros.core.kriging import Sites, cross_validated, doubted, krige

ASPECT = 0.75


def sites_of(residual, count=600, seed=0, levels=(0.0, 2.0)):
    """Sites at random places, residual a function of x, y, q."""
    rng = np.random.default_rng(seed)
    x, y, q = (
        a.astype(np.float32)
        for a in (
            rng.uniform(0, 1, count),
            rng.uniform(0, ASPECT, count),
            rng.uniform(*levels, count),
        )
    )
    values = np.asarray(residual(x, y, q), np.float32) * np.ones(count, np.float32)
    return Sites(x, y, q, values, np.ones(count, np.float32), 3.0, ASPECT)


def field_of(sites):
    return krige(cross_validated(sites, doubted(sites)))


def at(field, values, x, y, q):
    _, rows, columns = values.shape
    level = round((q - field.low) / field.step)
    return values[level, int(y / ASPECT * rows), int(x * columns)]


def test_no_residual_is_no_field():
    field = field_of(sites_of(lambda x, y, q: 0 * x))
    assert not field.residual.any()


def test_a_field_that_varies_in_place_and_depth_is_found():
    field = field_of(sites_of(lambda x, y, q: 0.2 * np.sin(3 * x) - 0.1 * q, count=2000))
    for x, y, q in ((0.2, 0.2, 0.5), (0.5, 0.4, 1.0), (0.8, 0.5, 1.5)):
        q = field.low + field.step * round((q - field.low) / field.step)
        expected = 0.2 * np.sin(3 * x) - 0.1 * q
        assert at(field, field.residual, x, y, q) == pytest.approx(expected, abs=0.03)


def test_levels_of_depth_do_not_mix():
    field = field_of(sites_of(lambda x, y, q: np.where(q > 1, 0.3, 0), 2000))
    assert at(field, field.residual, 0.5, 0.4, 1.6) == pytest.approx(0.3, abs=0.03)
    assert at(field, field.residual, 0.5, 0.4, 0.4) == pytest.approx(0, abs=0.03)


def test_what_one_half_does_not_foretell_is_left_alone():
    noise = np.random.default_rng(3).normal(0, 0.3, 600)
    field = field_of(sites_of(lambda x, y, q: noise))
    assert np.abs(field.residual).mean() < 0.05


@pytest.mark.parametrize(("share", "seed"), [(0.3, 7), (0.5, 8)])
def test_outliers_are_told(share, seed):
    rng = np.random.default_rng(seed)
    wrong = rng.random(600) < share
    gross = np.where(rng.random(600) < 0.5, -1, 1) * rng.uniform(0.5, 1.5, 600)
    sites = sites_of(lambda x, y, q: np.where(wrong, gross, 0.3 * x))
    trial = cross_validated(sites, doubted(sites))
    right = (trial.belief.trusted > 0.5) == ~wrong
    assert right.mean() > 0.97
    assert trial.belief.outliers == pytest.approx(wrong.mean(), abs=0.05)


def test_support_and_error_are_of_the_sites_near():
    rng = np.random.default_rng(0)
    sites = sites_of(
        lambda x, y, q: np.where(x < 0.5, 0, rng.normal(0, 0.2, x.size)), levels=(0, 0.2)
    )
    field = field_of(sites)
    quiet = at(field, field.error, 0.2, 0.4, 0.1)
    assert quiet < 0.5 * at(field, field.error, 0.8, 0.4, 0.1)
    one_side = sites_of(lambda x, y, q: 0 * x, levels=(0, 0.2))
    one_side = Sites(
        one_side.x * 0.3, one_side.y, one_side.q, one_side.residual, one_side.spread, 3.0, ASPECT
    )
    support = field_of(one_side).support[1, 9]
    assert (np.diff(support[8:]) < 0).all() and support[4] > 50 > 5 > support[-1]


def test_support_fades_off_the_lattice():
    field = field_of(sites_of(lambda x, y, q: 0 * x))
    q = np.array([field.low, field.high, field.high + 0.4, field.low - 0.4, field.high + 8])
    np.testing.assert_allclose(
        field.fading(q.astype(np.float32)), [1, 1, np.exp(-1), np.exp(-1), 0], atol=1e-5
    )
