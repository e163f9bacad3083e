"""A simulated robot's drive, rendered ahead into messages that only lack a stamp."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.models.device import choose_device
from depth_anything_ros.nodes.messages import (
    camera_info_message,
    image_message,
    records_cloud_message,
)
from depth_anything_ros.nodes.sim_parameters import SimParameters
from depth_anything_ros.sim.lidar import Sweep
from depth_anything_ros.sim.lidar_patterns import find_pattern
from depth_anything_ros.sim.places import build_scene
from depth_anything_ros.sim.robot import Robot, drive_of

# Fields and their order are those that Velodyne's driver publishes.
POINT = np.dtype("f4, f4, f4, f4, u2, f4")
POINT.names = ("x", "y", "z", "intensity", "ring", "time")


@dataclass(frozen=True)
class Schedule:
    """The ticks of a drive, and which of them have a picture or a sweep.

    Attributes:
        frames: pictures from one end of the drive to the other.
        rate_hz: pictures in a second.
        per_picture: ticks from one picture to the next.
        per_sweep: ticks from one sweep to the next; this or per_picture is 1.
    """

    frames: int
    rate_hz: float
    per_picture: int
    per_sweep: int

    @classmethod
    def of(cls, frames: int, rate_hz: float, lidar_rate_hz: float) -> Schedule:
        """Round the LiDAR's rate to a multiple or a whole part of that of the pictures."""
        ratio = lidar_rate_hz / rate_hz
        if ratio >= 1:
            return cls(frames, rate_hz, round(ratio), 1)
        return cls(frames, rate_hz, 1, round(1 / ratio))

    @property
    def tick_hz(self) -> float:
        """Ticks in a second."""
        return self.rate_hz * self.per_picture

    @property
    def lidar_rate_hz(self) -> float:
        """Sweeps in a second."""
        return self.tick_hz / self.per_sweep

    @property
    def ticks(self) -> int:
        """Ticks from one end of the drive to the other, both included."""
        return (self.frames - 1) * self.per_picture + 1

    def tick(self, step: int) -> int:
        """Return where on the drive a step is, there and back for ever."""
        last = self.ticks - 1
        return last - abs(last - step % (2 * last))


@dataclass(frozen=True, eq=False)
class Tick:
    """What is published at one tick.

    Attributes:
        T_odom_base: float64 (4, 4), where the robot is.
        messages: by topic, in the order of publishing; headers have a frame and no stamp yet.
    """

    T_odom_base: NDArray[np.float64]
    messages: dict[str, CameraInfo | Image | PointCloud2]


class RenderedDrive:
    """Render the ticks of a drive in threads of its own.

    Args:
        parameters: of the node.
        camera_frame: frame_id of the pictures.
        lidar_frame: frame_id of the sweeps.

    Raises:
        DepthAnythingError: where there is no such place, LiDAR or device.
    """

    def __init__(self, parameters: SimParameters, camera_frame: str, lidar_frame: str) -> None:
        p = parameters
        self.device = choose_device(p.device)
        self.robot = _robot(p, self.device, camera_frame)
        self.pattern = find_pattern(p.lidar) if p.lidar else None
        self.schedule = Schedule.of(
            p.frames, p.rate_hz, p.lidar_rate_hz if self.pattern else p.rate_hz
        )
        self._seed, self._camera_frame, self._lidar_frame = p.seed, camera_frame, lidar_frame
        # On a CPU, pictures side by side are faster than threads that share a picture.
        workers = os.cpu_count() or 1 if self.device.type == "cpu" else 1
        self._pool = ThreadPoolExecutor(
            workers, "render", initializer=torch.set_num_threads, initargs=(1,)
        )
        ticks = range(self.schedule.ticks)
        self._moments: list[Future[Tick]] = [self._pool.submit(self._render, t) for t in ticks]

    @property
    def pictures_ready(self) -> int:
        """How many pictures are rendered."""
        return sum(moment.done() for moment in self._moments[:: self.schedule.per_picture])

    @property
    def is_ready(self) -> bool:
        """Whether all is rendered, or some of it has failed."""
        return all(moment.done() for moment in self._moments)

    def moment(self, step: int) -> Tick:
        """Return what is to be published at a step; raise what its rendering raised."""
        return self._moments[self.schedule.tick(step)].result()

    def stop(self) -> None:
        """Render no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _render(self, tick: int) -> Tick:
        schedule, t = self.schedule, tick / self.schedule.tick_hz
        seed = (self._seed + 1) * 10_000 + tick
        messages: dict[str, CameraInfo | Image | PointCloud2] = {}
        if tick % schedule.per_picture == 0:
            picture, camera = self.robot.picture(t, seed), self.robot.camera
            header = Header(frame_id=self._camera_frame)
            size = camera.width, camera.height
            # camera_info first: a picture whose camera is not known yet may have to be dropped.
            messages["camera_info"] = camera_info_message(header, camera, size)
            messages["image"] = image_message(header, picture.rgb, "rgb8")
            messages["ground_truth/depth"] = image_message(header, picture.depth_m, "32FC1")
        if self.pattern is not None and tick % schedule.per_sweep == 0:
            records = _records(self.robot.sweep(self.pattern, t, seed))
            header = Header(frame_id=self._lidar_frame)
            messages["lidar/points"] = records_cloud_message(header, records)
        return Tick(self.robot.T_odom_base(t), messages)


def _robot(p: SimParameters, device: torch.device, camera_frame: str) -> Robot:
    scene = build_scene(p.seed, p.place)
    drive = drive_of(scene, p.speed_mps, p.camera_height_m, p.camera_pitch_deg)
    camera = Camera.from_hfov(p.width, p.height, p.hfov_deg, camera_frame)
    return Robot(scene, camera, drive, device)


def _records(sweep: Sweep) -> NDArray[np.void]:
    """Return the points of a sweep as POINT, (n,)."""
    records = np.empty(len(sweep.points), POINT)
    for axis, name in enumerate("xyz"):
        records[name] = sweep.points[:, axis]
    records["intensity"], records["ring"] = sweep.intensity, sweep.ring
    records["time"] = sweep.time_s
    return records
