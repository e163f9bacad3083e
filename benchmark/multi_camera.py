"""What three cameras cost through one depth_node, and through three: CPU time and memory.

Pictures are published at a rate that both keep up with, and somebody listens to depth and cloud of
each camera. The arrangements take turns, so that what else the machine does meets both.

    python benchmark/multi_camera.py
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np

NAMES = ("front", "left", "right")
WIDTH, HEIGHT = 640, 480
PROFILE = Path(__file__).resolve().parents[1] / "config" / "fastdds_large_messages.xml"
ANSWER_TIMEOUT_S = 60.0
TICKS_HZ = os.sysconf("SC_CLK_TCK")
# Arrangements: the namespace and the cameras of each node.
ARRANGEMENTS = {
    "one node": (("/", NAMES),),
    "three nodes": tuple((f"/{name}", ()) for name in NAMES),
}


@dataclass(frozen=True)
class Cost:
    """What an arrangement took in one round.

    Attributes:
        pictures: answered.
        cpu_ms: of all its processes, for each of these pictures.
        own_mb: memory of the processes alone, not counting what they share with any other.
        pss_mb: their memory, pages that they share divided among the sharers (PSS).
    """

    pictures: int
    cpu_ms: float
    own_mb: float
    pss_mb: float


def cpu_s(pid: int) -> float:
    """Return user and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_HZ


def memory_mb(pid: int, *kinds: str) -> float:
    """Return the sum of kinds of memory of a process, by the kernel's names."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return sum(found[kind] for kind in kinds) * 1024 / 1e6


@contextmanager
def nodes(
    arrangement: Sequence[tuple[str, Sequence[str]]], options: argparse.Namespace, folder: Path
) -> Iterator[list[int]]:
    """Run the nodes of an arrangement until the block ends; give their process ids."""
    started, logs = [], []
    for index, (namespace, cameras) in enumerate(arrangement):
        command = [sys.executable, "-m", "depth_anything_ros.nodes.depth_node", "--ros-args"]
        command += ["-r", f"__ns:={namespace}", "-p", f"model:={options.model}"]
        command += ["-p", "device:=cpu", "-p", f"cameras:=[{', '.join(cameras)}]"]
        logs.append(folder / f"{index}.log")
        with logs[-1].open("wb") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
    try:
        while not all("waiting for pictures" in log.read_text() for log in logs):
            if any(process.poll() is not None for process in started):
                raise SystemExit("\n".join(log.read_text() for log in logs))
            time.sleep(0.2)
        yield [process.pid for process in started]
    finally:
        for process in started:
            process.send_signal(signal.SIGINT)
        for process in started:
            process.wait()


class Cameras:
    """Three cameras that publish pictures, and somebody who counts their depth and clouds."""

    def __init__(self, rate_hz: float) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import CameraInfo, Image, PointCloud2
        from std_msgs.msg import Header

        from depth_anything_ros.core.camera import Camera
        from depth_anything_ros.nodes.messages import camera_info_message, image_message

        rclpy.init()
        self.node, qos = rclpy.create_node("cameras"), QoSProfile(depth=2)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.answered: Counter[str] = Counter()
        camera, rng = Camera.from_hfov(WIDTH, HEIGHT, 70.0), np.random.default_rng(0)
        self._cameras = []
        for name in NAMES:
            header = Header(frame_id=name)
            rgb = rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
            info = camera_info_message(header, camera, (WIDTH, HEIGHT))
            sent = (
                (CameraInfo, "camera_info", info),
                (Image, "image", image_message(header, rgb, "rgb8")),
            )
            for kind, topic, message in sent:
                publisher = self.node.create_publisher(kind, f"{name}/{topic}", qos)
                self._cameras.append((publisher, message))
            count = partial(self._count, name)
            self.node.create_subscription(Image, f"{name}/depth/image_rect", count, qos)
            self.node.create_subscription(PointCloud2, f"{name}/points", lambda _: None, qos)
        self.node.create_timer(1 / rate_hz, self._publish)

    def _count(self, name: str, _message: object) -> None:
        self.answered[name] += 1

    def _publish(self) -> None:
        stamp = self.node.get_clock().now().to_msg()
        for publisher, message in self._cameras:
            message.header.stamp = stamp
            publisher.publish(message)

    def spin(self, seconds: float) -> int:
        """Publish for a time; return how many pictures were answered in it."""
        before, end = self.answered.total(), time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.05)
        return self.answered.total() - before


def measure(name: str, options: argparse.Namespace, cameras: Cameras, folder: Path) -> Cost:
    """Run an arrangement for a round."""
    with nodes(ARRANGEMENTS[name], options, folder) as pids:
        cameras.spin(options.warm_up)
        until = time.monotonic() + ANSWER_TIMEOUT_S
        while len(+cameras.answered) < len(NAMES):
            if time.monotonic() > until:
                raise SystemExit(f"{name}: not all cameras are answered: {dict(cameras.answered)}")
            cameras.spin(1.0)
        before = sum(map(cpu_s, pids))
        pictures = cameras.spin(options.seconds)
        spent_s = sum(map(cpu_s, pids)) - before
        own = sum(memory_mb(pid, "Private_Clean", "Private_Dirty") for pid in pids)
        pss = sum(memory_mb(pid, "Pss") for pid in pids)
    cameras.answered.clear()
    return Cost(pictures, 1e3 * spent_s / pictures, own, pss)


def table(costs: dict[str, list[Cost]]) -> str:
    """Return the medians over the rounds, as Markdown."""
    fields = ("cpu_ms", "own_mb", "pss_mb")
    lines = [
        "| 3 cameras through | answered | CPU a picture (ms) | own memory (MB) | PSS (MB) |",
        "|---|---|---|---|---|",
    ]
    middle = {
        name: [median(getattr(c, f) for c in rounds) for f in fields]
        for name, rounds in costs.items()
    }
    for name, values in middle.items():
        count = sum(cost.pictures for cost in costs[name])
        lines.append(f"| {name} | {count} | " + " | ".join(f"{v:.0f}" for v in values) + " |")
    one, three = middle.values()
    ratios = [a / b for a, b in zip(one, three, strict=True)]
    lines.append("| one / three |  | " + " | ".join(f"{r:.2f}" for r in ratios) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure both arrangements by turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--rate", type=float, default=1.0, help="pictures of each camera [Hz]")
    parser.add_argument("--rounds", type=int, default=3, help="of each arrangement")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a round")
    parser.add_argument("--warm-up", type=float, default=8.0, help="before each round [s]")
    options = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    for variable in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        os.environ[variable] = str(PROFILE)
    cameras = Cameras(options.rate)
    costs: dict[str, list[Cost]] = {name: [] for name in ARRANGEMENTS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.rounds):
            for name, rounds in costs.items():
                rounds.append(measure(name, options, cameras, Path(folder)))
                print(name, rounds[-1], file=sys.stderr, flush=True)
    print(table(costs))


if __name__ == "__main__":
    main()
