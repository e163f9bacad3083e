"""Where a picture has changed, on pictures whose changes are known."""

import numpy as np
import pytest

from depth_anything_ros.pipeline.steady_changes import Brightness, Changes, changes

RNG = np.random.default_rng(0)
PICTURE = RNG.uniform(40, 160, (60, 80))


def grey(values, noise=0.0):
    return np.clip(values + RNG.normal(0, noise, values.shape), 0, 255).astype(np.uint8)


def with_square(values):
    changed = values.copy()
    changed[20:40, 30:50] = 200 - changed[20:40, 30:50]
    return changed


@pytest.mark.parametrize(("gain", "offset", "noise"), [(1, 0, 0), (1.4, 0, 2), (0.6, 20, 3)])
def test_neither_exposure_nor_noise_is_a_change(gain, offset, noise):
    found = changes(grey(PICTURE, noise), grey(gain * PICTURE + offset, noise), Brightness())
    assert (found.active > 0.2).mean() < 0.02


def test_what_is_another_is_active_and_the_rest_is_not():
    found = changes(grey(PICTURE, 2), grey(1.2 * with_square(PICTURE), 2), Brightness())
    assert found.active[22:38, 32:48].min() == 1
    assert (found.active[:14] > 0.2).mean() < 0.02


def test_a_change_is_remembered_and_fades():
    pictures = [PICTURE] * 3 + [with_square(PICTURE)] * 60
    found, active = Changes.first(grey(pictures[0])), []
    for picture in pictures[1:]:
        found = found.after(grey(picture, 1), 0.1)
        active.append(found.active[22:38, 32:48].mean())
    assert active[1] < 0.2 and active[2] == 1 and active[5] == 1 and active[-1] < 0.2


def test_what_moves_by_less_than_can_be_told_from_noise_is_seen_over_time():
    found = Changes.first(grey(PICTURE, 2))
    for index in range(15):
        brighter = PICTURE.copy()
        brighter[20:40, 30:50] += 2.0 * index
        found = found.after(grey(brighter, 2), 0.1)
    assert found.active[25:35, 35:45].mean() > 0.5
