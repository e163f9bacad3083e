"""Pictures in a row with true depth and poses: of simulated places, and of recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.files import atomically, read_document
from depth_anything_ros.core.poses import rigid_poses
from depth_anything_ros.core.recording import RecordedFrame, frames_of
from depth_anything_ros.sim.assembly import Assembly
from depth_anything_ros.sim.moving import Mover, first_mover, with_movers
from depth_anything_ros.sim.palette import draw_of
from depth_anything_ros.sim.path import Drive, mount
from depth_anything_ros.sim.people import person
from depth_anything_ros.sim.photometry import develop
from depth_anything_ros.sim.places import build_scene
from depth_anything_ros.sim.render import Renderer
from depth_anything_ros.sim.robot import MILD, drive_of
from depth_anything_ros.sim.scene import Scene
from depth_anything_ros.sim.world import VERSION as WORLD_VERSION
from depth_anything_ros.tools.shared_options import FIRST_SEED

# Six kinds of place: four under a roof, two under the sky.
PLACES = ("office", "corridor", "warehouse", "kitchen", "street", "parking")
RATE_HZ = 15.0
# Raised, as the world's, when another picture comes out of the same words: no mixed caches.
VERSION = 2
HFOV_DEG = 70.0
CAMERA_HEIGHT_M = 0.6
# Outside, all is faster and farther by so much.
_OUTSIDE = 2.0
_SPEED_MPS = 0.6
_WALK_MPS = 1.0
_FROM, _UNTIL = 0.5, 0.85  # of the sequence, is there what appears
# How a robot on a floor shakes: degrees and Hz of its yaw, and of its pitch.
_YAW, _PITCH = (3.0, 0.7), (1.0, 1.3)
# Exposure in stops: a slow swing, and a jump in the middle, as auto-exposure does.
_SWING_STOPS, _SWING_HZ, _JUMP_STOPS = 0.25, 0.6, 0.5
_NOISY = replace(MILD, shot=1e-3, read=5e-3)


@dataclass(frozen=True, eq=False)
class PosedSequence:
    """Pictures of one camera in a row, all of one size.

    Attributes:
        name: of the sequence.
        camera: of all pictures, without a lens that bends.
        rgb: uint8 (n, height, width, 3).
        truth_m: float32 (n, height, width), metres along Z; +Inf is the sky, NaN not known.
        things: uint8 (n, height, width), which thing that moves or comes and goes is seen, as in
            ``THINGS``; 0 is what stands.
        T_world_camera: float64 (n, 4, 4).
        stamps_ns: when each was taken.
        is_still: whether the camera stands still.
    """

    name: str
    camera: Camera
    rgb: NDArray[np.uint8]
    truth_m: NDArray[np.float32]
    things: NDArray[np.uint8]
    T_world_camera: NDArray[np.float64]
    stamps_ns: tuple[int, ...]
    is_still: bool

    @property
    def moving(self) -> NDArray[np.bool_]:
        """What moves, or comes and goes: bool (n, height, width)."""
        return self.things > 0


_ARRAYS = ("rgb", "truth_m", "things", "T_world_camera")  # of a file of the cache
# The number of what appears among the things, and the names of all.
APPEARS = 3
THINGS = {1: "crosses", 2: "comes", APPEARS: "appears"}


def rendered(
    place: str,
    is_still: bool,
    frames: int,
    size: tuple[int, int],
    cache: Path | None = None,
    seed: int = FIRST_SEED,
) -> PosedSequence:
    """Render a place, or read it where the cache has it.

    A robot drives along the place's lane and shakes, or stands. One person crosses its way and
    one comes towards it, at 1 m/s (2 m/s outside); a box appears in the middle of the sequence and
    is gone before its end. The sensor is noisy, and its exposure swings and jumps.

    Args:
        place: a key of ``sim.places.PLACES``.
        is_still: whether the robot stands.
        frames: pictures, at ``RATE_HZ``.
        size: width and height of the pictures, in pixels.
        cache: folder that keeps it; None keeps nothing.
        seed: of the place.
    """
    width, height = size
    name = f"{place} {'still' if is_still else 'moving'}"
    camera = Camera.from_hfov(width, height, HFOV_DEG)
    versions = f"v{WORLD_VERSION}.{VERSION}"
    words = f"{name.replace(' ', '_')}_{width}x{height}_{frames}_{seed}_{versions}"
    path = cache and cache / f"{words}.npz"
    if path is None or not path.is_file():
        arrays = _render(place, is_still, frames, camera, seed)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomically(path) as partial_path, partial_path.open("wb") as file:
                rgb, truth_m, things, poses = (arrays[name] for name in _ARRAYS)
                np.savez_compressed(
                    file, rgb=rgb, truth_m=truth_m, things=things, T_world_camera=poses
                )
    else:
        with np.load(path) as file:
            arrays = {name: file[name] for name in _ARRAYS}
    stamps = tuple(round(1e9 * index / RATE_HZ) for index in range(frames))
    return PosedSequence(name, camera, **arrays, stamps_ns=stamps, is_still=is_still)


def recorded(folder: Path, size: tuple[int, int] | None = None) -> PosedSequence:
    """Read a recording with depth pictures and the poses of its camera.

    Its calibration has ``T_world_camera``, 16 numbers of each picture by its number, and
    ``frame_rate_hz``, at which those numbers count (see ``core.recording`` for the rest).

    Args:
        folder: of the recording.
        size: width and height that the pictures are resized to; None leaves them.

    Raises:
        SourceError: where it has no poses or no depth.
        CameraError: where a pose is none.
    """
    path = folder / "calib.json"
    said = read_document(path, "the calibration")
    poses, rate = said.get("T_world_camera"), said.get("frame_rate_hz")
    if not isinstance(poses, dict) or not rate:
        raise SourceError(
            f"{path} lacks T_world_camera, the poses by the numbers of pictures, or frame_rate_hz"
        )
    frames = [(frame, _number_of(frame)) for frame in frames_of(folder)]
    frames = [pair for pair in frames if pair[1] in poses and pair[0].has_truth]
    if len(frames) < 2:
        raise SourceError(f"{folder} has {len(frames)} pictures with depth and pose; need two")
    read = [_read(frame, size) for frame, _ in frames]
    camera = read[0][2]
    truth = np.stack([one[1] for one in read])
    matrices = [np.reshape(poses[number], (4, 4)) for _, number in frames]
    stamps = tuple(round(int(number) / float(rate) * 1e9) for _, number in frames)
    return PosedSequence(
        folder.name,
        camera,
        np.stack([one[0] for one in read]),
        truth,
        np.zeros(truth.shape, np.uint8),
        rigid_poses(matrices, len(frames)),
        stamps,
        is_still=False,
    )


def _number_of(frame: RecordedFrame) -> str:
    return frame.name.rpartition("_")[2]


def _read(
    frame: RecordedFrame, size: tuple[int, int] | None
) -> tuple[NDArray[np.uint8], NDArray[np.float32], Camera]:
    rgb, truth = frame.read_rectified()
    if truth.camera is None:
        raise SourceError(f"the camera of {frame.picture} is not known")
    if size is None:
        return rgb, truth.depth_m, truth.camera
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    depth = cv2.resize(truth.depth_m, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return (
        np.asarray(small, np.uint8),
        np.asarray(depth, np.float32),
        truth.camera.scaled(*size),
    )


def _render(
    place: str, is_still: bool, frames: int, camera: Camera, seed: int
) -> dict[str, NDArray[Any]]:
    scene = build_scene(seed, place)
    outside = _OUTSIDE if scene.sky else 1.0
    drive = drive_of(scene, _SPEED_MPS * outside, CAMERA_HEIGHT_M, 0.0)
    movers = _movers(scene, drive, outside, frames / RATE_HZ)
    times = [0.0 if is_still else index / RATE_HZ for index in range(frames)]
    poses = np.stack([drive.T_world_base(t) @ _shaken(t) @ drive.T_base_camera for t in times])
    view = partial(_view, scene, movers, camera)
    with ThreadPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        seen = list(pool.map(view, poses, range(frames), [frames] * frames))
    rgb, truth, things = (np.stack(part) for part in zip(*seen, strict=True))
    return {"rgb": rgb, "truth_m": truth, "things": things, "T_world_camera": poses}


def _movers(scene: Scene, drive: Drive, outside: float, seconds: float) -> Sequence[Mover]:
    """Return what moves before the robot's start, in the order of ``THINGS``."""
    draw = draw_of(scene.seed, "movers")
    start = drive.T_world_base(0.0)
    heading = math.atan2(start[1, 0], start[0, 0])

    def ahead(x: float, y: float) -> tuple[float, float, float]:
        place = start @ (x * outside, y * outside, 0.0, 1.0)
        return (float(place[0]), float(place[1]), float(place[2]))

    box = Assembly().box((0.6, 0.5, 1.1), (0, 0, 0), draw.print((0.2, 0.4)))
    return (
        Mover(person(draw, 1.75, 0.2), ahead(3.2, 1.3), heading - math.pi / 2, _WALK_MPS),
        Mover(person(draw, 1.65, 0.25), ahead(6.5, -0.6), heading + math.pi, _WALK_MPS),
        Mover(
            box,
            ahead(2.7, 0.4),
            heading,
            from_s=_FROM * seconds,
            until_s=_UNTIL * seconds,
        ),
    )


def _shaken(t: float) -> NDArray[np.float64]:
    """Return how the robot's body is turned, as a pose in itself."""
    yaw, pitch = (
        math.radians(degrees) * math.sin(2 * math.pi * hertz * t)
        for degrees, hertz in (_YAW, _PITCH)
    )
    return mount(pitch=pitch, yaw=yaw)


def _view(
    scene: Scene,
    movers: Sequence[Mover],
    camera: Camera,
    T_world_camera: NDArray[np.float64],
    index: int,
    frames: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """Return picture, depth and things of one time."""
    t = index / RATE_HZ
    renderer = Renderer([with_movers(scene, movers, t)])
    seen = renderer.view([camera], T_world_camera[None])
    jump = _JUMP_STOPS if index >= frames // 2 else 0.0
    stops = _SWING_STOPS * math.sin(2 * math.pi * _SWING_HZ * t) + jump
    rgb = develop(seen.light[0], replace(_NOISY, stops=stops), scene.seed + index)
    things = (seen.instance[0].numpy() + 1 - first_mover(scene)).clip(0)
    return rgb.numpy(), seen.depth_m[0].numpy(), things.astype(np.uint8)
