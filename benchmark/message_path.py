"""What a picture's way through depth_node takes beside the network, by stage, without transport.

The stages are the node's own functions, called in turn in one process; the network's answer is made
up. publish is a real publisher's, to a subscriber in another process if one runs.

    OMP_NUM_THREADS=1 python benchmark/message_path.py
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import rclpy
import torch
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.image_decoding import ImageDecoder
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.output import NetworkOutput
from depth_anything_ros.nodes.messages import (
    Outgoing,
    cloud_message,
    depth_message,
    image_message,
)
from depth_anything_ros.nodes.running import keep_freed_memory
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.tools.options import parse_size
from depth_anything_ros.tools.timing import (
    machine,
    markdown,
    middle_and_tail,
    publish,
)

STAGES = ("decode", "rectify", "pre", "post", "depth", "cloud")
LENS = (-0.25, 0.08, 1e-3, -1e-3, 0.0)


class Way:
    """The way of pictures of one camera through the node.

    Args:
        size: (width, height) of the pictures.
        encoding: of the messages.
        lens: distortion coefficients; none for a pinhole.
        estimator: whose input is made and whose answers are finished; its network does not run.
    """

    def __init__(
        self,
        size: tuple[int, int],
        encoding: str,
        lens: tuple[float, ...],
        estimator: DepthEstimator,
    ) -> None:
        width, height = size
        rng = np.random.default_rng(0)
        noise = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
        rgb = cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC)
        self.message = image_message(Header(frame_id="camera"), np.asarray(rgb), encoding)
        self.camera = replace(Camera.from_hfov(width, height, 70.0), D=lens)
        self.decoder, self.pipeline = ImageDecoder(), DepthPipeline(estimator)
        self.estimator = estimator
        self.depth_out, self.cloud_out = Outgoing(Image), Outgoing(PointCloud2)
        self.times: dict[str, list[float]] = defaultdict(list)
        self._answer = self._made_up(rng)

    def _made_up(self, rng: np.random.Generator) -> NetworkOutput:
        """Return what a network might say: a scene of a few steps, with the sky above."""
        shape = self._prepared(self.decoder.decode(self.message)).shape[-2:]
        depth = cv2.resize(rng.uniform(1, 20, (12, 16)).astype(np.float32), shape[::-1])
        sky = np.zeros(shape, np.float32)
        sky[: shape[0] // 6] = 1.0
        return NetworkOutput(torch.from_numpy(depth)[None], torch.from_numpy(sky)[None])

    def _prepared(self, rgb: np.ndarray) -> torch.Tensor:
        with torch.inference_mode():
            return self.estimator.prepared(rgb)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.times[stage].append(1e3 * (time.thread_time() - start))

    def go(self) -> tuple[Image, PointCloud2]:
        """Take one picture from its message to the messages of its depth."""
        pipeline, header = self.pipeline, self.message.header
        start = time.thread_time()
        with self._timed("decode"):
            rgb = self.decoder.decode(self.message)
        with self._timed("rectify"):
            image = pipeline.prepare(rgb, self.camera)
        with self._timed("pre"):
            self._prepared(image.rgb)
        with self._timed("post"):
            # The private function is what the node runs between network and message.
            estimate = self.estimator._answer(self._answer, image.camera, rgb.shape[:2])
            answer = pipeline.finish(image, estimate)
        assert answer.estimate is not None
        with self._timed("depth"):
            depth = depth_message(header, answer.estimate, "32FC1", self.depth_out)
        with self._timed("cloud"):
            made = answer.cloud(self.cloud_out.memory)
            assert made is not None  # metres of a known camera
            cloud = cloud_message(header, made, self.cloud_out)
        self.times["all"].append(1e3 * (time.thread_time() - start))
        return depth, cloud


def main() -> None:
    """Measure all ways in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", default="640x480,1280x720", help="of pictures, with commas")
    parser.add_argument("--encoding", default="bgr8", help="rgb8 or bgr8")
    parser.add_argument("--model", default="tiny", help="whose input and answer it is")
    parser.add_argument("--runs", type=int, default=50, help="of each, timed")
    parser.add_argument("--threads", type=int, default=1, help="of torch and OpenCV")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    estimator = DepthEstimator(options.model, device="cpu")
    ways = {
        f"{text}{', lens' if lens else ''}": Way(
            parse_size(text), options.encoding, lens, estimator
        )
        for text in options.sizes.split(",")
        for lens in ((), LENS)
    }
    rclpy.init()
    node = rclpy.create_node("message_path")
    outputs = node.create_publisher(Image, "depth", 2), node.create_publisher(PointCloud2, "p", 2)
    for run in range(options.runs + 3):
        for way in ways.values():
            messages = way.go()
            start = time.thread_time()
            for publisher, message in zip(outputs, messages, strict=True):
                publisher.publish(message)
            way.times["publish"].append(1e3 * (time.thread_time() - start))
            if run == 2:
                way.times.clear()
    rclpy.try_shutdown()
    stages = (*STAGES, "all", "publish")
    found = {name: [middle_and_tail(way.times[s]) for s in stages] for name, way in ways.items()}
    rows = [{"way": name, **dict(zip(stages, times, strict=True))} for name, times in found.items()]
    what = f"{options.encoding}, {options.model}; median (95th percentile) of {options.runs} [ms]"
    cells = [
        [name, *(f"{middle:.1f} ({tail:.1f})" for middle, tail in times)]
        for name, times in found.items()
    ]
    publish(machine(), [what, *markdown(("way", *stages), cells)], rows, options.output)


if __name__ == "__main__":
    main()
