"""Does depth_node's memory grow? What it holds after 500 and after 5,000 pictures.

Pictures are shown as fast as they are answered; depth and cloud are subscribed to.

    python benchmark/memory.py
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
from processes import isolate, memory_mb

WAIT_S = 2.0


class Audience:
    """A camera that shows a picture as soon as the one before is answered."""

    def __init__(self, width: int, height: int) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.qos import QoSProfile
        from sensor_msgs.msg import CameraInfo, Image, PointCloud2
        from std_msgs.msg import Header

        from depth_anything_ros.core.camera import Camera
        from depth_anything_ros.nodes.messages import camera_info_message, image_message

        rclpy.init()
        self.node, qos = rclpy.create_node("camera"), QoSProfile(depth=2)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        header = Header(frame_id="camera")
        rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
        camera = Camera.from_hfov(width, height, 70.0)
        self._info = camera_info_message(header, camera, (width, height))
        self._image = image_message(header, rgb, "bgr8")
        self._out = [
            self.node.create_publisher(kind, topic, qos)
            for kind, topic in ((CameraInfo, "camera_info"), (Image, "image"))
        ]
        self.node.create_subscription(Image, "depth/image_rect", lambda _: None, qos)
        self.node.create_subscription(PointCloud2, "points", self._count, qos)
        self.answered = 0

    def _count(self, _message: object) -> None:
        self.answered += 1

    def show(self, pictures: int) -> None:
        """Show pictures until so many have been answered in all; a lost one is shown again."""
        while self.answered < pictures:
            before, until = self.answered, time.monotonic() + WAIT_S
            self._image.header.stamp = self.node.get_clock().now().to_msg()
            for publisher, message in zip(self._out, (self._info, self._image), strict=True):
                publisher.publish(message)
            while self.answered == before and time.monotonic() < until:
                self.executor.spin_once(timeout_sec=0.1)


def main() -> None:
    """Show the pictures, and print what the node holds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--engine", default="torch")
    parser.add_argument("--input-size", type=int, default=56, help="of the network [px]")
    parser.add_argument("--size", type=int, nargs=2, default=(160, 120), help="of a picture [px]")
    parser.add_argument("--at", type=int, nargs="+", default=[500, 5000], help="pictures")
    options = parser.parse_args()
    isolate()
    command = [sys.executable, "-m", "depth_anything_ros.nodes.depth_node", "--ros-args"]
    command += ["-p", f"model:={options.model}", "-p", f"engine:={options.engine}"]
    command += ["-p", "device:=cpu", "-p", f"input_size:={options.input_size}"]
    with tempfile.TemporaryFile() as log:
        node = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            audience, found, start = Audience(*options.size), [], time.monotonic()
            print("| pictures | RSS (MB) | USS (MB) | s |\n|---:|---:|---:|---:|")
            for pictures in options.at:
                audience.show(pictures)
                rss, uss = (
                    memory_mb(node.pid, *kinds)
                    for kinds in (("Rss",), ("Private_Clean", "Private_Dirty"))
                )
                found.append((rss, uss))
                seconds = time.monotonic() - start
                print(f"| {pictures} | {rss:.1f} | {uss:.1f} | {seconds:.0f} |", flush=True)
        finally:
            node.send_signal(signal.SIGINT)
            node.wait()
    changes = [100 * (last / first - 1) for first, last in zip(found[0], found[-1], strict=True)]
    print(f"change: RSS {changes[0]:+.2f} %, USS {changes[1]:+.2f} %")


if __name__ == "__main__":
    main()
