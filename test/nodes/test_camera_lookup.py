import gc
import weakref

import numpy as np
import pytest
from ros_harness import camera_info
from sensor_msgs.msg import RegionOfInterest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.camera_lookup import CameraLookup
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.pipeline.image import ImageRectifier, takes_as_rectified


def info(frame_id, *args, **changes):
    message = camera_info(*args, **changes)
    message.header.frame_id = frame_id
    return message


def reason(lookup, *key):
    with pytest.raises(CameraError) as error:
        lookup.match(*key)
    return error.value.reason


def test_the_last_that_fits_frame_and_aspect_is_used():
    lookup = CameraLookup()
    assert reason(lookup, "left", 160, 120) == "no_camera_info"
    lookup.update(info("left", 640, 480, 600.0))
    lookup.update(info("right", 160, 120, 99.0))
    lookup.update(info("left", 640, 360, 700.0))
    assert lookup.match("left", 160, 120).camera.K[0] == 150.0
    assert lookup.match("left", 160, 90).camera.K[0] == 175.0
    lookup.update(info("left", 320, 240, 400.0))  # newer, and of the same aspect
    assert lookup.match("left", 160, 120).camera.K[0] == 200.0
    assert reason(lookup, "rear", 160, 120) == "camera_frame_id"
    assert reason(lookup, "left", 120, 160) == "camera_size"


def test_what_came_last_counts_even_where_it_is_no_camera():
    lookup = CameraLookup()
    lookup.update(info("left"))
    lookup.update(info("left", k=[0.0] * 9))
    assert reason(lookup, "left", 160, 120) == "uncalibrated"
    lookup.update(info("left"))
    assert lookup.match("left", 160, 120).camera.K[0] == 150.0
    # One of another aspect does not count.
    lookup.update(info("left", 160, 90, k=[0.0] * 9))
    assert lookup.match("left", 160, 120).camera.K[0] == 150.0
    lookup.clear()
    assert reason(lookup, "left", 160, 120) == "no_camera_info"


def test_many_cameras_do_not_pile_up():
    lookup = CameraLookup()
    for i in range(1000):
        lookup.update(info(f"camera_{i}"))
    assert lookup.match("camera_999", 160, 120).camera
    assert reason(lookup, "camera_0", 160, 120) == "camera_frame_id"


def test_a_camera_info_without_frame_id_contradicts_nothing():
    lookup = CameraLookup()
    lookup.update(info("", 640, 480, 600.0))
    match = lookup.match("left", 160, 120)
    assert match.camera.K[0] == 150.0
    (remark,) = match.remarks
    assert "no frame_id" in remark.text and "'left'" in remark.text and not remark.is_doubt
    lookup.update(info("left", 640, 480, 400.0))
    match = lookup.match("left", 160, 120)
    assert (match.camera.K[0], match.remarks) == (100.0, ())
    lookup.clear()
    lookup.update(info("left", 640, 480, 400.0))
    (remark,) = lookup.match("", 160, 120).remarks
    assert "the picture has no frame_id" in remark.text


@pytest.mark.parametrize(("of_info", "of_picture"), [("/left", "left"), ("left", "/left")])
def test_the_slash_of_ros_1_is_no_other_frame(of_info, of_picture):
    lookup = CameraLookup()
    lookup.update(info(of_info, 640, 480, 600.0))
    match = lookup.match(of_picture, 160, 120)
    assert (match.camera.K[0], match.remarks) == (150.0, ())
    assert reason(lookup, "/right", 160, 120) == "camera_frame_id"


def test_another_frame_id_is_taken_where_that_is_asked_for():
    lookup = CameraLookup()
    lookup.update(info("lens", 640, 480, 400.0))
    lookup.update(info("sensor", 640, 480, 600.0))
    assert reason(lookup, "left", 160, 120) == "camera_frame_id"
    match = lookup.match("left", 160, 120, any_frame=True)
    assert match.camera.K[0] == 150.0  # the newest
    assert "'left'" in match.remarks[0].text and "'lens', 'sensor'" in match.remarks[0].text
    assert lookup.match("lens", 160, 120, any_frame=True).remarks == ()
    with pytest.raises(CameraError, match=r"set camera\.check_frame_id to false"):
        lookup.match("left", 160, 120)


def test_a_roi_that_nobody_applied_and_a_camera_that_is_none_are_remarked():
    lookup = CameraLookup()
    roi = RegionOfInterest(x_offset=100, y_offset=60, width=320, height=240)
    lookup.update(info("left", 640, 480, 500.0, roi=roi))
    match = lookup.match("left", 640, 480)
    assert match.camera.K[0] == 500.0
    assert [(r.cause, r.is_doubt) for r in match.remarks] == [("roi", False)]
    match = lookup.match("left", 1280, 960)
    assert match.camera.K[0] == 2000.0
    assert [(r.cause, r.is_doubt) for r in match.remarks] == [("roi_unsure", True)]
    # A corner of the sensor may have its axis outside: it is the sensor that is looked at.
    corner = RegionOfInterest(x_offset=440, y_offset=360, width=200, height=120)
    lookup.update(info("left", 640, 480, 500.0, roi=corner))
    assert lookup.match("left", 200, 120).remarks == ()
    lookup.update(info("left", 640, 480, 0.96))
    (remark,) = lookup.match("left", 640, 480).remarks
    assert remark.is_doubt and "by K, focal lengths of 0.96 and 0.96 px" in remark.text
    p = [23705.0, 0.0, 320.0, 0.0, 0.0, 23705.0, 240.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    lookup.update(info("left", 640, 480, 500.0, p=p))
    (remark,) = lookup.match("left", 640, 480).remarks
    assert "by P, focal lengths of 2.37e+04" in remark.text and "by K" not in remark.text


@pytest.mark.parametrize(
    "lens",
    [
        {"distortion_model": "double_sphere", "d": [0.5, 0.1]},
        {"distortion_model": "equidistant", "d": [0.1] * 6},
        {"distortion_model": "plumb_bob", "d": [float("nan")] * 5},
    ],
)
@pytest.mark.parametrize("is_rectified_topic", [True, False])
def test_the_lens_of_pictures_that_come_rectified_is_nobodys_business(lens, is_rectified_topic):
    """P is their camera, with the ROI cut from it and scaled, whatever D says."""
    p = [400.0, 0.0, 310.0, -40.0, 0.0, 400.0, 230.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    roi = RegionOfInterest(x_offset=100, y_offset=60, width=320, height=200)
    lookup = CameraLookup()
    lookup.update(info("left", 640, 480, 500.0, p=p, roi=roi, **lens))
    policy = "auto" if is_rectified_topic else "already"
    as_rectified = takes_as_rectified(policy, is_rectified_topic)
    camera = lookup.match("left", 160, 100, is_rectified=as_rectified).camera
    rgb = np.zeros((100, 160, 3), np.uint8)
    view = ImageRectifier().rectified(rgb, camera, policy, is_rectified_topic)
    principal = ((310 - 100 + 0.5) / 2 - 0.5, (230 - 60 + 0.5) / 2 - 0.5)
    assert (200, 0, principal[0], 0, 200, principal[1], 0, 0, 1) == view.camera.K
    assert view.camera.P[3] == -20 and not view.camera.is_distorted
    assert reason(lookup, "left", 160, 100) == "distortion_model"
    for policy in ("never", "always"):
        assert not takes_as_rectified(policy, is_rectified_topic)


class Picture(np.ndarray):
    """Pixels that say when they are gone."""


def test_what_is_refused_again_and_again_holds_no_picture():
    lookup, rectifier, held = CameraLookup(), ImageRectifier(), []
    lookup.update(info("left", k=[0.0] * 9))
    backwards = camera_info(d=[-0.1, 0, 0, 0, 0], r=[-1.0, 0, 0, 0, 1.0, 0, 0, 0, -1.0])
    camera = Camera.from_info(backwards)

    def answer():
        rgb = np.zeros((120, 160, 3), np.uint8).view(Picture)
        held.append(weakref.ref(rgb))
        for ask in (
            lambda: lookup.match("left", 160, 120),
            lambda: rectifier.rectified(rgb, camera, "auto"),
        ):
            with pytest.raises(CameraError):
                ask()

    for _ in range(3):
        answer()
    gc.collect()
    assert [one() for one in held] == [None] * 3
