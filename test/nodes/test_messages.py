import cv2
import numpy as np
import pytest
from ros_harness import camera_info
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.nodes.messages import (
    Outgoing,
    camera_info_message,
    depth_message,
    transform_message,
)


def test_a_camera_survives_the_message():
    info = camera_info(d=[0.1, 0.2, 0.3, 0.4, 0.5])
    info.header.frame_id = "optical"
    camera = Camera.from_info(info)
    again = camera_info_message(info.header, camera, (160, 120))
    assert again == info
    assert Camera.from_info(again) == camera


def test_millimetres_round_and_never_wrap():
    nan, inf = np.nan, np.inf
    depth = np.array([[nan, inf, 0.0004, 0.0006, 1.2344, 65.534, 65.536, 70000.0]], np.float32)
    message = depth_message(Header(), DepthMap(depth), "16UC1")
    values = np.frombuffer(message.data, np.uint16)
    np.testing.assert_array_equal(values, [0, 0, 0, 1, 1234, 65534, 0, 0])


@pytest.mark.parametrize(
    "turn", [(0, 0, 0), (0.3, -0.2, 0.9), (3e-6, 0, 0), (np.pi, 0, 0), (0, 0, -3.0)]
)
def test_a_transform_holds_rotation_and_translation(turn):
    R, _ = cv2.Rodrigues(np.array(turn, float))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = R, (1, 2, 3)
    message = transform_message(Header().stamp, "optical", "lidar", matrix)
    assert (message.header.frame_id, message.child_frame_id) == ("optical", "lidar")
    q = message.transform.rotation
    x, y, z, w = q.x, q.y, q.z, q.w
    assert x * x + y * y + z * z + w * w == pytest.approx(1)
    point = np.array([0.4, -0.5, 0.6])
    u = np.array([x, y, z])
    turned = point + 2 * np.cross(u, np.cross(u, point) + w * point)
    np.testing.assert_allclose(turned, R @ point, atol=1e-12)
    t = message.transform.translation
    assert (t.x, t.y, t.z) == (1, 2, 3)


def test_outgoing_memory_is_used_again_and_changes_its_size():
    outgoing = Outgoing(Image)
    one = outgoing.memory((3, 4))
    one[:] = 5
    message = outgoing.holding(one)
    assert np.frombuffer(message.data, np.float32).tolist() == [5.0] * 12
    assert outgoing.holding(np.full((3, 4), 6, np.float32)) is message
    assert one[0, 0] == 6
    other = outgoing.holding(np.arange(5, dtype=np.uint8))
    assert other.data.tolist() == [0, 1, 2, 3, 4] and one[0, 0] == 6
    for values in (np.empty((0, 4), np.float32), np.arange(6.0).reshape(2, 3).T):
        assert outgoing.holding(values).data.tobytes() == values.tobytes()
