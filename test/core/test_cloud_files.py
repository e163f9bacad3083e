import json
import struct

import numpy as np
import pytest

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector
from depth_anything_ros.core.cloud_files import CLOUD_FILES, glb_bytes, pcd_bytes, write_cloud
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import SourceError

CAMERA = Camera(8, 6, (10.0, 0, 3.5, 0, 12.0, 2.5, 0, 0, 1))


def cloud(color=True):
    """A wall at 2 m of which the first pixel is not seen, each pixel of another colour."""
    depth = DepthMap(np.full((6, 8), 2.0, np.float32), CAMERA)
    depth.depth_m[0, 0] = np.nan
    rgb = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3) if color else None
    return BackProjector(CAMERA).project(depth, rgb)


@pytest.fixture(params=[True, False], ids=["coloured", "plain"])
def made(request):
    return cloud(request.param)


def seen(made):
    return made.xyz.reshape(-1, 3)[1:]


def colours(made):
    return made.rgb.reshape(-1, 3)[1:]


def test_ply_holds_the_finite_points(tmp_path, made):
    path = tmp_path / "cloud.ply"
    assert write_cloud(path, made, "from a test") == 47
    header, body = path.read_bytes().split(b"end_header\n", 1)
    assert header.startswith(b"ply\nformat binary_little_endian 1.0\ncomment from a test\n")
    assert b"element vertex 47" in header
    kind = [("xyz", "<f4", 3)] + ([("rgb", "u1", 3)] if made.has_color else [])
    vertices = np.frombuffer(body, kind)
    np.testing.assert_array_equal(vertices["xyz"], seen(made))
    if made.has_color:
        np.testing.assert_array_equal(vertices["rgb"], colours(made))


def test_pcd_has_the_bits_of_pcl(made):
    header, body = pcd_bytes(made, "from a test").split(b"DATA binary\n", 1)
    said = dict(line.split(" ", 1) for line in header.decode().splitlines() if line[0] != "#")
    assert said["VERSION"] == "0.7" and said["POINTS"] == said["WIDTH"] == "47"
    names = said["FIELDS"].split()
    assert names == ["x", "y", "z"] + ["rgb"] * made.has_color
    assert all(len(said[word].split()) == len(names) for word in ("SIZE", "TYPE", "COUNT"))
    points = np.frombuffer(body, "<f4").reshape(47, len(names))
    np.testing.assert_array_equal(points[:, :3], seen(made))
    if made.has_color:
        bits = np.ascontiguousarray(points[:, 3]).view(np.uint32)
        np.testing.assert_array_equal(
            np.stack((bits >> 16, bits >> 8 & 255, bits & 255), axis=-1), colours(made)
        )


def chunks(data):
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    at, found = 12, []
    while at < length:
        size, kind = struct.unpack_from("<I4s", data, at)
        assert size % 4 == 0
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    (first, scene), (second, binary) = found
    assert (first, second) == (b"JSON", b"BIN\0")
    return json.loads(scene), binary


def test_glb_looks_where_the_camera_does(made):
    scene, binary = chunks(glb_bytes(made, "from a test"))
    assert scene["asset"]["copyright"] == "from a test"
    assert scene["buffers"][0]["byteLength"] <= len(binary)
    primitive = scene["meshes"][0]["primitives"][0]
    assert primitive["mode"] == 0  # POINTS
    place = scene["accessors"][primitive["attributes"]["POSITION"]]
    view = scene["bufferViews"][place["bufferView"]]
    xyz = np.frombuffer(binary, "<f4", 47 * 3, view["byteOffset"]).reshape(47, 3)
    np.testing.assert_array_equal(xyz, seen(made) * (1, -1, -1))
    np.testing.assert_array_equal(place["min"], xyz.min(axis=0))
    np.testing.assert_array_equal(place["max"], xyz.max(axis=0))
    assert ("COLOR_0" in primitive["attributes"]) == made.has_color


def test_colours_of_glb_are_light():
    scene, binary = chunks(glb_bytes(cloud()))
    view = scene["bufferViews"][1]
    assert view["byteOffset"] % 4 == 0
    light = np.frombuffer(binary, "<u2", 47 * 4, view["byteOffset"]).reshape(47, 4) / 65535
    assert (light[:, 3] == 1).all()
    value = light[:, :3]
    srgb = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    np.testing.assert_array_equal(np.rint(srgb * 255), colours(cloud()))


@pytest.mark.parametrize("suffix", ["ply", "glb"])
def test_another_library_reads_it(suffix, made, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"cloud.{suffix}"
    write_cloud(path, made)
    read = trimesh.load(path)
    points = read.vertices if suffix == "ply" else next(iter(read.geometry.values())).vertices
    turn = (1, 1, 1) if suffix == "ply" else (1, -1, -1)
    np.testing.assert_allclose(points, seen(made) * turn, rtol=1e-6)


@pytest.mark.parametrize("suffix", CLOUD_FILES)
def test_a_cloud_of_nothing_is_a_file_of_no_points(suffix, tmp_path):
    nothing = DepthMap(np.full((6, 8), np.nan, np.float32), CAMERA)
    path = tmp_path / f"cloud.{suffix}"
    assert write_cloud(path, BackProjector(CAMERA).project(nothing)) == 0
    assert path.stat().st_size > 50


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"cannot write .*nowhere/cloud\.ply"):
        write_cloud(tmp_path / "nowhere" / "cloud.ply", cloud(), error=SourceError)
