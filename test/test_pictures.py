"""The pictures of README, and what draws the cloud in one of them."""

import importlib.util
import re
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip("rerun", reason="needs the extra view")
pytest.importorskip("playwright", reason="in the extra test")
pytest.importorskip("PIL", reason="of Rerun")

from depth_anything_ros.core.cloud import Cloud


@pytest.fixture(scope="module")
def pictures(repository):
    folder = str(repository / "doc")
    sys.path.insert(0, folder)  # as of a script
    spec = importlib.util.spec_from_file_location("pictures", repository / "doc/pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(folder)


def test_readme_shows_them_and_they_are_small(repository, pictures):
    shown = re.findall(r"\(doc/(\w+)\.png\)", (repository / "README.md").read_text())
    assert shown == list(pictures.MAKERS)
    for name in shown:
        path = repository / f"doc/{name}.png"
        assert path.stat().st_size <= 300_000
        assert cv2.imread(str(path)).std() > 20


def test_the_eye_sees_what_it_looks_at_and_not_what_is_behind(pictures):
    eye, target = np.array(pictures.EYE_M), np.array(pictures.TARGET_M)

    def point(where, rgb):
        packed = np.array([*rgb[::-1], 0], np.uint8).view(np.float32)
        return [*where, packed[0]]

    along = target - eye
    points = [
        point(eye + 0.9 * along, (10, 200, 30)),
        point(target, (250, 0, 0)),
        point(eye - along, (0, 0, 250)),  # behind the eye
        point(target - (0.0, 0.5, 0.0), (0, 0, 77)),  # above: y is down
        point((np.nan, 0, 1), (1, 1, 1)),
    ]
    cloud = Cloud(np.array([points], np.float32), False)
    image = pictures.render(cloud, (641, 481))
    assert image[240, 320].tolist() == [10, 200, 30]
    above = np.argwhere((image == (0, 0, 77)).all(axis=-1))
    assert len(above) == 4 and above[:, 0].max() < 230 and np.abs(above[:, 1] - 320).max() < 3
    drawn = {tuple(colour) for colour in image.reshape(-1, 3).tolist()}
    assert drawn == {(10, 200, 30), (0, 0, 77), (pictures.PAPER,) * 3}
