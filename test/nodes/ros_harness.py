"""Real ROS 2 processes for tests: nodes of this package, and a camera that asks them."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections import defaultdict, deque
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, LaserScan, PointCloud2
from sensor_msgs_py.point_cloud2 import read_points
from std_msgs.msg import Header

OUTPUT_TYPES = {
    "depth/image_rect": Image,
    "depth/image_rect/compressedDepth": CompressedImage,
    "depth/camera_info": CameraInfo,
    "depth/image_color": Image,
    "disparity/image_rect": Image,
    "affine_depth/image_rect": Image,
    "points": PointCloud2,
    "confidence/image": Image,
    "obstacles": PointCloud2,
    "ground/points": PointCloud2,
    "scan": LaserScan,
}
RELIABLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE
)
BEST_EFFORT = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.BEST_EFFORT
)
FRAME_ID = "camera_optical_frame"
# A depth_node that answers at once. Not the engine auto: what it takes depends on the machine.
SMALL = {
    "model": "test_metric",
    "weights": "random",
    "device": "cpu",
    "engine": "torch",
    "precision": "fp32",
    "input_size": 112,
    "cloud.edge_jump": 0.0,
}
# What comes at all has come by then, on the slowest machine.
PATIENCE_S = 300.0
# An answer is lost where a service hears of a new client later than of its request, as happens on a
# busy machine: it sends nothing to whom it does not know yet, and rclpy warns. So ask again.
ASK_AGAIN_S = 10.0


def wait_until(condition, timeout_s=PATIENCE_S, what="the condition"):
    """Return condition()'s first true answer; AssertionError after the time is over."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.01)
    text = what() if callable(what) else what
    raise AssertionError(f"{text} did not come within {timeout_s} s")


class NodeProcess:
    """A node of this package, or the program of a test, in a process of its own."""

    def __init__(self, name, parameters=None, arguments=(), namespace="/", log=None, program=None):
        self.name = name
        self.full_name = f"{namespace.rstrip('/')}/{name}"
        what = [program] if program else ["-m", f"depth_anything_ros.nodes.{name}"]
        command = [sys.executable, *what, "--ros-args"]
        command += ["-r", f"__ns:={namespace}", *arguments]
        for key, value in (parameters or {}).items():
            text = str(value).lower() if isinstance(value, bool) else value
            text = f"'{text}'" if isinstance(value, (str, Path)) else text
            command += ["-p", f"{key}:={text}"]
        self.log_path, self._begin = Path(log), 0
        with self.log_path.open("wb") as file:
            # A crash in a library of C++ leaves its trace in the log.
            environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment
            )

    @property
    def log(self):
        """What it has said since its start, or since ``forget_log``."""
        return self.log_path.read_bytes()[self._begin :].decode(errors="replace")

    def forget_log(self):
        self._begin = self.log_path.stat().st_size

    def wait_for_log(self, text):
        def found():
            assert self.process.poll() is None or text in self.log, f"{self.name} died: {self.log}"
            return text in self.log

        wait_until(found, what=lambda: f"'{text}' in the log of {self.name}: {self.log[-2000:]}")
        return self

    def stop(self, by=signal.SIGINT):
        """Stop it, as Ctrl-C does, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        try:
            status = self.process.wait(timeout=PATIENCE_S)
            if status < 0:
                print(f"{self.name} ended by signal {-status}: {self.log[-4000:]}")
            return status
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"{self.name} did not stop on SIGINT: {self.log[-2000:]}"
            ) from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def memory_kb(self):
        """Memory that is the process's own: anonymous pages, without shared libraries."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1])
        raise AssertionError("no RssAnon")

    def threads(self):
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))


class Camera:
    """A camera driver and everybody who listens to depth_node, in the test's process."""

    def __init__(
        self,
        namespace="/",
        image_topic="image",
        outputs=tuple(OUTPUT_TYPES),
        qos=RELIABLE,
        name="",
        process=None,
    ):
        """Make its topics.

        Args:
            name: of a node's camera: its topics are then in the namespace of that name.
            process: the NodeProcess under test, for its log.
        """
        self.process = process
        # Every node says its statuses on /diagnostics, those of other tests too.
        of_namespace = re.escape(f"{namespace.strip('/')}/".lstrip("/"))
        self._own_status = re.compile(f"{of_namespace}[^/]+" + (f" of {name}" if name else ""))
        namespace = f"{namespace.rstrip('/')}/{name}" if name else namespace
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node("camera", namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        image_type = CompressedImage if image_topic.endswith("/compressed") else Image
        self.image = self.node.create_publisher(image_type, image_topic, qos)
        info_topic = "camera_info"
        self.info = self.node.create_publisher(CameraInfo, info_topic, RELIABLE)
        self.received = defaultdict(dict)
        self.order = defaultdict(list)
        self.statuses = []
        self.subscriptions = {}
        self._clients = {}
        self._changed = set()
        self._was_restarted = False
        for name in outputs:
            self.listen(name)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._keep_status, RELIABLE)
        self._tasks = deque()
        self._closing = False
        self._stamp = 1_000
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self):
        while not self._closing:
            while self._tasks:
                self._tasks.popleft()()
            self.executor.spin_once(timeout_sec=0.05)

    def on_executor(self, task):
        """Run a task on the executor's thread: entities must not go while it waits on them."""
        done = threading.Event()
        self._tasks.append(lambda: (task(), done.set()))
        assert done.wait(PATIENCE_S)

    def close(self):
        self._closing = True
        self._thread.join()
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def listen(self, name, qos=RELIABLE):
        def keep(message):
            stamp = message.header.stamp
            key = stamp.sec * 1_000_000_000 + stamp.nanosec
            self.received[name][key] = message
            self.order[name].append(key)

        self.subscriptions[name] = self.node.create_subscription(
            OUTPUT_TYPES[name], name, keep, qos
        )

    def silence(self, name):
        subscription = self.subscriptions.pop(name)
        self.on_executor(lambda: self.node.destroy_subscription(subscription))

    def connected(self):
        """Wait until the node under test listens to the camera, and the camera to it."""
        wait_until(
            lambda: self.image.get_subscription_count() and self.info.get_subscription_count(),
            what="a subscriber to image and camera_info",
        )
        time.sleep(0.5)  # for the node to know of our subscriptions
        return self

    def header(self, frame_id=FRAME_ID, stamp_ns=None):
        if stamp_ns is None:
            self._stamp += 50_000_000
            stamp_ns = self._stamp
        header = Header(frame_id=frame_id)
        header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
        return header

    def show(self, rgb, info=None, **header):
        """Publish a picture (RGB array or a message) with its CameraInfo and return its key.

        What came of an earlier picture with the same stamp is no answer to this one.
        """
        message = rgb if not isinstance(rgb, np.ndarray) else picture_message(rgb)
        message.header = self.header(**header)
        key = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        for of_topic in list(self.received.values()):
            of_topic.pop(key, None)
        if info is not None:
            info.header = message.header
            self.info.publish(info)
            time.sleep(0.05)  # two topics have no order
        self.image.publish(message)
        return key

    def answer(self, name, key, timeout_s=PATIENCE_S):
        """Return the answer of one topic to the picture of a key."""
        return wait_until(
            lambda: self.received[name].get(key), timeout_s, f"{name} for the stamp {key}"
        )

    def ask(self, rgb, info=None, output="depth/image_rect", **header):
        """Show a picture again and again until it is answered; return its key.

        Right after a start, discovery may still lose the first pictures.
        """
        for _ in range(30):
            key = self.show(rgb, info, **header)
            try:
                self.answer(output, key, 2.0)
                return key
            except AssertionError:
                continue
        raise AssertionError(f"no answer on {output}; last status: {self.last_status}")

    def see(self, rgb, info=None, output="depth/image_rect", **header):
        """Show a picture until it is answered; return what came of it."""
        return Answers(self, self.ask(rgb, info, output, **header))

    def shown(self, rgb, info=None, **header):
        """Show a picture once; return what comes of it."""
        return Answers(self, self.show(rgb, info, **header))

    def never_answered(self, *keys):
        return not any(key in of_topic for key in keys for of_topic in self.received.values())

    def status(self):
        """Return the next DiagnosticStatus of the node."""
        count = len(self.statuses)
        wait_until(lambda: len(self.statuses) > count, what="a status")
        return self.statuses[-1]

    @property
    def last_status(self):
        return self.statuses[-1] if self.statuses else None

    def _keep_status(self, array_):
        """Keep the statuses of the node under test."""
        self.statuses += [s for s in array_.status if self._own_status.fullmatch(s.name)]

    def wait_for_status(self, condition):
        """Return the first status to come that satisfies a condition; the newest is asked again."""
        asked = len(self.statuses)

        def satisfied():
            nonlocal asked
            start, asked = max(asked - 1, 0), len(self.statuses)
            return next((s for s in self.statuses[start:asked] if condition(s)), None)

        return wait_until(satisfied, what=lambda: f"the status; last: {self.last_status}")

    def call(self, service_type, service, request, again_s=ASK_AGAIN_S):
        """Return the answer of a service; a request that does no harm twice is repeated."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(service_type, service)
        client = self._clients[service]
        wait_until(client.service_is_ready, what=service)
        futures, due_s = [], 0.0

        def answered():
            nonlocal due_s
            if time.monotonic() >= due_s:
                futures.append(client.call_async(request))
                due_s = time.monotonic() + again_s
            return next((future for future in futures if future.done()), None)

        return wait_until(answered, what=f"an answer of {service}").result()

    def set_parameters(self, node_name, **values):
        """Set parameters (a double underscore stands for a dot); return reasons of refusals."""
        self._changed |= {name.replace("__", ".") for name in values}
        parameters = [
            Parameter(name.replace("__", "."), value=value).to_parameter_msg()
            for name, value in values.items()
        ]
        request = SetParameters.Request(parameters=parameters)
        results = self.call(SetParameters, f"{node_name}/set_parameters", request).results
        return [result.reason for result in results if not result.successful]

    def restart(self, node_name, **values):
        """Deactivate the node, set parameters and activate it: it knows nothing of before."""
        self._was_restarted |= bool(values)
        state = self.state(node_name)
        if state == "active":
            assert self.change_state(node_name, Transition.TRANSITION_DEACTIVATE)
        assert self.set_parameters(node_name, **values) == []
        self.forget()
        if state == "unconfigured":
            assert self.change_state(node_name, Transition.TRANSITION_CONFIGURE)
        assert self.change_state(node_name, Transition.TRANSITION_ACTIVATE)
        self.statuses.clear()
        return self.connected()

    def restore(self, node_name, values):
        """Undo ``set_parameters`` and ``restart``, where the node was started with these values."""
        changed = {name: values[name] for name in self._changed & values.keys()}
        if self._was_restarted:
            self.restart(node_name, **changed)
        elif changed:
            assert self.set_parameters(node_name, **changed) == []
        self._changed, self._was_restarted = set(), False

    def forget(self):
        """Drop what was received, and what the process said."""
        for kept in (self.received, self.order, self.statuses):
            kept.clear()
        if self.process is not None:
            self.process.forget_log()

    def get_parameter(self, node_name, name):
        request = GetParameters.Request(names=[name])
        return self.call(GetParameters, f"{node_name}/get_parameters", request).values[0]

    def describe(self, node_name, names):
        request = DescribeParameters.Request(names=names)
        return self.call(
            DescribeParameters, f"{node_name}/describe_parameters", request
        ).descriptors

    def change_state(self, node_name, transition):
        request = ChangeState.Request()
        request.transition.id = transition
        service = f"{node_name}/change_state"
        return self.call(ChangeState, service, request, again_s=math.inf).success

    def state(self, node_name):
        response = self.call(GetState, f"{node_name}/get_state", GetState.Request())
        return response.current_state.label


class Answers:
    """What a node publishes on one picture; each is waited for when it is looked at."""

    def __init__(self, camera, key):
        self.camera, self.key = camera, key

    def __getitem__(self, name):
        return self.camera.answer(name, self.key)

    @property
    def depth(self):
        return image_array(self["depth/image_rect"])

    @property
    def info(self):
        return self["depth/camera_info"]

    @property
    def cloud(self):
        return self["points"]

    @property
    def points(self):
        """Points (height, width, 3) of the cloud."""
        xyz = read_points_numpy(self.cloud, ("x", "y", "z"))
        return xyz.reshape(self.cloud.height, self.cloud.width, 3)

    @property
    def colours(self):
        """Colours (height, width, 3) of the cloud, RGB."""
        cloud = self.cloud
        return np.frombuffer(cloud.data, np.uint8).reshape(cloud.height, cloud.width, 16)[
            ..., 14:11:-1
        ]


class SimulatedTime:
    """A clock that goes on by a second whenever somebody waits for a status."""

    def __init__(self, camera):
        self._publisher = camera.node.create_publisher(Clock, "/clock", QoSProfile(depth=1))
        self.camera, self.now_s = camera, 100

    def wait_for_status(self, condition):
        def tick_and_look():
            self.now_s += 1
            message = Clock()
            message.clock.sec = self.now_s
            self._publisher.publish(message)
            time.sleep(0.05)
            status = self.camera.last_status
            return status is not None and condition(status)

        return wait_until(tick_and_look, what=lambda: f"status; last: {self.camera.last_status}")


def values(status):
    return {v.key: v.value for v in status.values}


def picture(width=160, height=120, seed=0):
    """Smooth random colours, uint8 (height, width, 3), RGB."""
    import cv2

    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def picture_message(array_, encoding="rgb8"):
    message = Image(height=array_.shape[0], width=array_.shape[1], encoding=encoding)
    message.step = array_.nbytes // array_.shape[0]
    message.data = array("B", array_.tobytes())
    return message


def camera_info(width=160, height=120, focal=150.0, **changes):
    info = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
    cx, cy = (width - 1) / 2, (height - 1) / 2
    info.k = [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0]
    info.p = [focal, 0.0, cx, 0.0, 0.0, focal, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.d = [0.0] * 5
    for name, value in changes.items():
        setattr(info, name, value)
    return info


def read_points_numpy(message, names):
    """Points (n, names) of a cloud; sensor_msgs_py has it too, but not that of Humble."""
    records = read_points(message, list(names))
    return np.stack([records[name] for name in names], axis=-1)


def image_array(message):
    kinds = {"32FC1": (np.float32, 1), "16UC1": (np.uint16, 1), "rgb8": (np.uint8, 3)}
    kind, channels = kinds[message.encoding]
    values_ = np.frombuffer(message.data, kind)
    shape = (message.height, message.width) + ((channels,) if channels > 1 else ())
    assert message.step == message.width * channels * np.dtype(kind).itemsize
    return values_.reshape(shape)
