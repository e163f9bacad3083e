import cv2
import numpy as np
import pytest
from ros_harness import camera_info, picture, picture_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import ImageError
from depth_anything_ros.nodes.messages import (
    Outgoing,
    byte_array,
    camera_info_message,
    decode_image,
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


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (2, 3, 4)])
def test_bytes_of_any_shape(shape):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert byte_array(values).tobytes() == values.tobytes()
    assert byte_array(values.T).tobytes() == values.T.tobytes()


def test_big_endian_mono16():
    gray = (np.arange(120 * 160) * 3 % 65536).astype(np.uint16).reshape(120, 160)
    little = decode_image(picture_message(gray, "mono16"))
    message = picture_message(gray.astype(">u2"), "mono16")
    message.is_bigendian = 1
    np.testing.assert_array_equal(decode_image(message), little)


def test_odd_width_yuv_is_refused_with_a_reason():
    message = picture_message(np.zeros((4, 5, 2), np.uint8), "yuv422")
    with pytest.raises(ImageError) as error:
        decode_image(message)
    assert error.value.reason == "undecodable"


@pytest.mark.parametrize("turn", [(0, 0, 0), (0.3, -0.2, 0.9), (np.pi, 0, 0), (0, 0, -3.0)])
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
    np.testing.assert_allclose(turned, R @ point, atol=1e-7)
    t = message.transform.translation
    assert (t.x, t.y, t.z) == (1, 2, 3)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8", "mono8"])
def test_padded_rows_give_the_same_picture(encoding):
    order = {"rgb8": [0, 1, 2], "bgr8": [2, 1, 0], "rgba8": [0, 1, 2, 0], "bgra8": [2, 1, 0, 0]}
    rgb = picture(7, 5)
    values = rgb[..., order.get(encoding, [1])]
    padded = np.pad(values.reshape(5, -1), ((0, 0), (0, 3)), constant_values=99)
    message = picture_message(padded, encoding)
    message.width = 7
    expected = rgb if encoding != "mono8" else np.repeat(values, 3, axis=2)
    np.testing.assert_array_equal(decode_image(message), expected)


def test_rgb8_is_looked_at_where_it_lies():
    message = picture_message(picture(7, 5))
    assert np.shares_memory(decode_image(message), np.frombuffer(message.data, np.uint8))


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
    assert len(outgoing.holding(np.empty((0, 4), np.float32)).data) == 0
