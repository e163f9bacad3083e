import gc
import weakref

import numpy as np
import pytest
from ros_harness import camera_info

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.nodes.camera_lookup import CameraLookup
from depth_anything_ros.nodes.depth_pipeline import DepthPipeline


def info(frame_id, *args, **changes):
    message = camera_info(*args, **changes)
    message.header.frame_id = frame_id
    return message


def reason(lookup, *key):
    with pytest.raises(CameraError) as error:
        lookup.find(*key)
    return error.value.reason


def test_the_last_that_fits_frame_and_aspect_is_used():
    lookup = CameraLookup()
    assert reason(lookup, "left", 160, 120) == "no_camera_info"
    lookup.update(info("left", 640, 480, 600.0))
    lookup.update(info("right", 160, 120, 99.0))
    lookup.update(info("left", 640, 360, 700.0))
    assert lookup.find("left", 160, 120).K[0] == 150.0
    assert lookup.find("left", 160, 90).K[0] == 175.0
    lookup.update(info("left", 320, 240, 400.0))  # newer, and of the same aspect
    assert lookup.find("left", 160, 120).K[0] == 200.0
    assert reason(lookup, "rear", 160, 120) == "camera_frame_id"
    assert reason(lookup, "left", 120, 160) == "camera_size"


def test_what_came_last_counts_even_where_it_is_no_camera():
    lookup = CameraLookup()
    lookup.update(info("left"))
    lookup.update(info("left", k=[0.0] * 9))
    assert reason(lookup, "left", 160, 120) == "uncalibrated"
    lookup.update(info("left"))
    assert lookup.find("left", 160, 120).K[0] == 150.0
    # One of another aspect does not count.
    lookup.update(info("left", 160, 90, k=[0.0] * 9))
    assert lookup.find("left", 160, 120).K[0] == 150.0
    lookup.clear()
    assert reason(lookup, "left", 160, 120) == "no_camera_info"


def test_many_cameras_do_not_pile_up():
    lookup = CameraLookup()
    for i in range(1000):
        lookup.update(info(f"camera_{i}"))
    assert lookup.find("camera_999", 160, 120)
    assert reason(lookup, "camera_0", 160, 120) == "camera_frame_id"


class Picture(np.ndarray):
    """Pixels that say when they are gone."""


def test_what_is_refused_again_and_again_holds_no_picture():
    lookup, pipeline, held = CameraLookup(), DepthPipeline(input_is_rectified=False), []
    lookup.update(info("left", k=[0.0] * 9))
    backwards = camera_info(d=[-0.1, 0, 0, 0, 0], r=[-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0])
    camera = Camera.from_info(backwards)

    def answer():
        rgb = np.zeros((120, 160, 3), np.uint8).view(Picture)
        held.append(weakref.ref(rgb))
        for ask in (
            lambda: lookup.find("left", 160, 120),
            lambda: pipeline.view(rgb, camera, "auto"),
        ):
            with pytest.raises(CameraError):
                ask()

    for _ in range(3):
        answer()
    gc.collect()
    assert [one() for one in held] == [None] * 3
