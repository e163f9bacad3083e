"""What three cameras cost through one depth_node, and through three: CPU time and memory.

Pictures are published at a rate that both keep up with, and somebody listens to depth and cloud of
each camera. The arrangements take turns, so that what else the machine does meets both.

    python benchmark/multi_camera.py
"""

from __future__ import annotations

import argparse
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
from processes import isolate, memory_mb

from depth_anything_ros.tools.timing import cpu_s, markdown

NAMES = ("front", "left", "right")
WIDTH, HEIGHT = 640, 480
ANSWER_TIMEOUT_S = 60.0
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
    middle = {
        name: [median(getattr(c, f) for c in rounds) for f in fields]
        for name, rounds in costs.items()
    }
    counts = {name: str(sum(cost.pictures for cost in costs[name])) for name in costs}
    rows = [[n, counts[n], *(f"{v:.0f}" for v in values)] for n, values in middle.items()]
    one, three = middle.values()
    ratios = [f"{a / b:.2f}" for a, b in zip(one, three, strict=True)]
    heading = ("3 cameras through", "answered", "CPU an image (ms)", "own memory (MB)", "PSS (MB)")
    return "\n".join(markdown(heading, [*rows, ["one / three", "", *ratios]]))


def main() -> None:
    """Measure both arrangements by turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--rate", type=float, default=1.0, help="pictures of each camera [Hz]")
    parser.add_argument("--rounds", type=int, default=3, help="of each arrangement")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a round")
    parser.add_argument("--warm-up", type=float, default=8.0, help="before each round [s]")
    options = parser.parse_args()
    isolate()
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
