"""``depth_anything benchmark node``: from camera messages to depth and clouds.

Camera, depth_node and listener are processes of their own. An image's stamp is the time at which
the camera publishes it, and every answer carries it on, so the listener's clock less the stamp is
what a robot waits for.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.tools.node_process import (
    PROFILE_VARIABLES,
    NodeProcess,
    isolated_environment,
)
from depth_anything_ros.tools.options import (
    check_known,
    check_least,
    parse_size,
    whole_numbers,
)
from depth_anything_ros.tools.timing import (
    cpu_s,
    machine,
    markdown,
    middle_and_tail,
    publish,
)

# How Fast DDS carries messages: as it comes, or by config/fastdds_large_messages.xml.
TRANSPORTS = ("default", "profile")
_BUILTIN = "FASTDDS_BUILTIN_TRANSPORTS"
RELIABLE = "reliable"
OUTPUTS = ("depth/image_rect", "points")
LOAD_TIMEOUT_S = 300.0
START_TIMEOUT_S = 60.0
# What is still on its way arrives within this after the camera's end.
DRAIN_S = 2.0
TRANSPORT_RATE_HZ = 20.0
# How depth_node's diagnostics name the median time of a stage, and which stage is the network.
_STAGE = re.compile(r"stage (\w+) p50 \(ms\)")
NETWORK = "net"
# Before a picture's way through the node begins.
BEFORE = ("transport", "wait")
NODE_HEADING = (
    "pictures",
    "input size",
    "output",
    "transport",
    "answers a second",
    "dropped",
    "depth p50 (ms)",
    "p95",
    "cloud p50 (ms)",
    "p95",
    "CPU (cores)",
    "memory (MB)",
)
TRANSPORT_HEADING = (
    "pictures",
    "transport",
    "p50 (ms)",
    "p95 (ms)",
    "lost",
    "default reliable / this",
)


@dataclass(frozen=True)
class NodeSetting:
    """What one line is of.

    Attributes:
        width, height: of the pictures, in pixels.
        input_size: of the network; 0 is the model's own.
        output_size: depth_node's output.size.
        transport: one of ``TRANSPORTS``.
    """

    width: int
    height: int
    input_size: int
    output_size: str
    transport: str

    def __str__(self) -> str:
        size = f"{self.width}x{self.height}, input size {self.input_size or 'default'}"
        return f"{size}, output {self.output_size}, transport {self.transport}"


@dataclass(frozen=True)
class Load:
    """What comes in, and through which node.

    Attributes:
        parameters: of depth_node, but for those of the setting.
        rate_hz: of the pictures.
        warm_up_s: before anything is measured, until discovery has settled.
        seconds: that are measured.
    """

    parameters: Mapping[str, object]
    rate_hz: float
    warm_up_s: float
    seconds: float

    @property
    def count(self) -> int:
        """Pictures to publish, those of the warm-up included, and some to spare."""
        return round((self.warm_up_s + self.seconds + 1) * self.rate_hz)


@dataclass
class Counted:
    """What happened to the pictures of a time.

    Attributes:
        published: how many.
        seconds: in which.
        latency_ms: from the stamp to the arrival of what carries it, by topic.
    """

    published: int
    seconds: float
    latency_ms: dict[str, list[float]] = field(default_factory=dict)

    def missing(self, topic: str) -> int:
        """Return how many pictures have no answer on a topic."""
        return self.published - len(self.latency_ms[topic])


@dataclass(frozen=True)
class NodeRow:
    """A line of the table of nodes.

    Attributes:
        setting: that it is of.
        counted: of the outputs.
        cpu_cores: that depth_node kept busy.
        memory_mb: that it held at the end.
        diagnostics: what it said last of itself while pictures came.
    """

    setting: NodeSetting
    counted: Counted
    cpu_cores: float
    memory_mb: float
    diagnostics: dict[str, str]

    @property
    def stages_ms(self) -> dict[str, float]:
        """Return the median times of its stages that the node says of itself, in milliseconds."""
        found = ((_STAGE.fullmatch(key), value) for key, value in self.diagnostics.items())
        return {match[1]: float(value) for match, value in found if match}

    @property
    def around_network_ms(self) -> float:
        """Return the sum of all stages in the node but the network."""
        return sum(ms for name, ms in self.stages_ms.items() if name not in (NETWORK, *BEFORE))

    def cells(self) -> list[str]:
        """Return the line as text."""
        s, counted = self.setting, self.counted
        depth, cloud = (_percentiles(counted.latency_ms[name]) for name in OUTPUTS)
        missing = counted.missing(OUTPUTS[0])
        rate = len(counted.latency_ms[OUTPUTS[0]]) / counted.seconds
        size, seen = f"{s.width}x{s.height}", str(s.input_size or "default")
        start = [size, seen, s.output_size, s.transport, f"{rate:.1f}"]
        end = [f"{self.cpu_cores:.2f}", f"{self.memory_mb:.0f}"]
        return [*start, f"{missing} of {counted.published}", *depth, *cloud, *end]

    def as_json(self) -> dict[str, Any]:
        """Return the line as a mapping."""
        counted = self.counted
        return {
            **vars(self.setting),
            "published": counted.published,
            "seconds": round(counted.seconds, 3),
            "answered": {name: len(times) for name, times in counted.latency_ms.items()},
            "latency_ms": {name: _summary(times) for name, times in counted.latency_ms.items()},
            "cpu_cores": round(self.cpu_cores, 3),
            "memory_mb": round(self.memory_mb, 1),
            "around_network_ms": round(self.around_network_ms, 2),
            "diagnostics": self.diagnostics,
        }


def measure_node(setting: NodeSetting, load: Load, folder: Path) -> NodeRow:
    """Run camera, depth_node and listener for a time.

    Raises:
        DepthAnythingError: where one of them cannot start, or no answer comes.
    """
    environment = _environment(setting.transport, folder)
    own = {"input_size": setting.input_size, "output.size": setting.output_size}
    log, size = folder / "depth_node.log", (setting.width, setting.height)
    with NodeProcess("depth_node", {**load.parameters, **own}, environment, log) as node:
        node.wait_for("waiting for pictures", LOAD_TIMEOUT_S)
        with _camera_and_listener(environment, folder, OUTPUTS, size, load):
            time.sleep(load.warm_up_s)
            before, began = cpu_s(node.pid), time.monotonic()
            time.sleep(load.seconds)
            cores = (cpu_s(node.pid) - before) / (time.monotonic() - began)
            memory = _resident_mb(node.pid)
    counted = _counted(folder, load)
    if not counted.latency_ms[OUTPUTS[0]]:
        raise ParameterError(
            f"no depth of {setting.width}x{setting.height} by {setting.transport} came; "
            f"depth_node says: {log.read_text()[-500:]}"
        )
    return NodeRow(setting, counted, cores, memory, _last_status(folder, "depth"))


def measure_transport(
    transport: str, reliable: bool, size: tuple[int, int], load: Load, folder: Path
) -> Counted:
    """Let a camera's images arrive in a callback of another process, and nothing else.

    Args:
        transport: one of ``TRANSPORTS``.
        reliable: whether what is lost is asked for again.
        size: width and height of the images, in pixels.
        load: how many, how fast.
        folder: for what the processes write.

    Raises:
        DepthAnythingError: where one of the two cannot start.
    """
    environment = _environment(transport, folder)
    with _camera_and_listener(environment, folder, ("image",), size, load, reliable):
        pass
    return _counted(folder, load)


@contextmanager
def _camera_and_listener(
    environment: dict[str, str],
    folder: Path,
    topics: Sequence[str],
    size: tuple[int, int],
    load: Load,
    reliable: bool = False,
) -> Iterator[None]:
    """Begin when the first image comes, and at the end wait for the last."""

    def process(role: str, **parameters: object) -> NodeProcess:
        given = {"role": role, "output": str(folder / f"{role}.json"), **parameters}
        return NodeProcess("stopwatch_node", given, environment, folder / f"{role}.log")

    pictures = {"width": size[0], "height": size[1], "rate_hz": load.rate_hz, "count": load.count}
    listener = process("listener", topics=list(topics), reliable=reliable)
    with listener, process("camera", **pictures) as camera:
        listener.wait_for("listening to", START_TIMEOUT_S)
        camera.wait_for("publishing", START_TIMEOUT_S)
        yield
        camera.wait(2 * load.count / load.rate_hz + START_TIMEOUT_S)
        time.sleep(DRAIN_S)


def _found(folder: Path, role: str) -> dict[str, Any]:
    """Return what camera or listener wrote at its end."""
    found: dict[str, Any] = json.loads((folder / f"{role}.json").read_text())
    return found


def _counted(folder: Path, load: Load) -> Counted:
    published, received = _found(folder, "camera"), _found(folder, "listener")
    return count(published["published"], received["received"], load.warm_up_s, load.seconds)


def _last_status(folder: Path, name: str) -> dict[str, str]:
    """Return the last status of a name that was said while images were answered."""
    statuses = _found(folder, "listener")["statuses"]
    own = [values for _, values in statuses if name in values["name"]]
    busy = [values for values in own if float(values.get("rate (Hz)", 0)) > 0]
    return dict((busy or own or [{}])[-1])


def count(
    published_ns: Sequence[int],
    received: Mapping[str, Sequence[tuple[int, int]]],
    warm_up_s: float,
    seconds: float,
) -> Counted:
    """Count the pictures of the seconds after the warm-up, and how long their answers took.

    Args:
        published_ns: stamps of all pictures, in nanoseconds.
        received: stamps and times of arrival, by topic.
        warm_up_s: from the first picture, to leave out.
        seconds: after that, to count.
    """
    begin = published_ns[0] + round(1e9 * warm_up_s)
    end = begin + round(1e9 * seconds)
    chosen = {stamp for stamp in published_ns if begin <= stamp < end}
    latency = {
        topic: [(arrival - stamp) / 1e6 for stamp, arrival in rows if stamp in chosen]
        for topic, rows in received.items()
    }
    return Counted(len(chosen), seconds, latency)


def node_lines(rows: Sequence[NodeRow]) -> list[str]:
    """Return the table of nodes, and that of their stages."""
    table = markdown(NODE_HEADING, [row.cells() for row in rows])
    names = list(dict.fromkeys(name for row in rows for name in row.stages_ms))
    if not names:
        return table
    stages = []
    for row in rows:
        times = [f"{row.stages_ms[n]:.2f}" if n in row.stages_ms else "" for n in names]
        stages.append([str(row.setting), *times, f"{row.around_network_ms:.1f}"])
    heading = ("stages, p50 (ms)", *names, f"in the node but {NETWORK}")
    return [*table, "", *markdown(heading, stages)]


def transport_rows(
    size: tuple[int, int], found: Mapping[str, Sequence[Counted]]
) -> list[dict[str, Any]]:
    """Return the lines of the table of transports as mappings, over all rounds."""
    times = {
        name: [ms for counted in rounds for ms in counted.latency_ms["image"]]
        for name, rounds in found.items()
    }
    # Where all arrive: of best effort, those that take long are lost, and do not count.
    reference = times.get(f"{TRANSPORTS[0]}, {RELIABLE}")
    rows = []
    for name, rounds in found.items():
        own, ratio = times[name], None
        if reference and own:
            ratio = round(float(np.median(reference) / np.median(own)), 2)
        row = {"width": size[0], "height": size[1], "transport": name}
        row["published"] = sum(counted.published for counted in rounds)
        row["lost"] = sum(counted.missing("image") for counted in rounds)
        rows.append({**row, "latency_ms": _summary(own), "ratio": ratio})
    return rows


def transport_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the table of transports."""
    lines = []
    for row in rows:
        times, ratio = row["latency_ms"], row["ratio"]
        texts = [f"{times['p50']:.2f}", f"{times['p95']:.2f}"] if times else ["", ""]
        end = [f"{row['lost']} of {row['published']}", f"{ratio:.1f}" if ratio else ""]
        lines.append([f"{row['width']}x{row['height']}", row["transport"], *texts, *end])
    return [*markdown(TRANSPORT_HEADING, lines), ""] if lines else []


def run(options: argparse.Namespace) -> int:
    """Measure as the command line says; return the exit status."""
    sizes = [parse_size(text) for text in options.sizes.split(",")]
    input_sizes = whole_numbers(options.input_sizes, "--input-sizes")
    output_sizes, transports = options.output_sizes.split(","), options.transports.split(",")
    check_known("transport", transports, TRANSPORTS)
    check_least("--rounds", options.rounds)
    # Transports take turns the fastest.
    combined = list(itertools.product(sizes, input_sizes, output_sizes, transports))
    facts, rows, load = machine(), [], _load(options)
    with tempfile.TemporaryDirectory(prefix="benchmark_") as name:
        folder = Path(name)
        alone = transport_rows(sizes[-1], _transports(sizes[-1], transports, options, folder))
        for size, *more in combined * options.rounds:
            setting = NodeSetting(*size, *more)
            print(setting, flush=True)
            rows.append(measure_node(setting, load, folder))
    tables = [*transport_lines(alone), *node_lines(rows)]
    publish(facts, tables, [*alone, *(row.as_json() for row in rows)], options.output)
    return 0


def _transports(
    size: tuple[int, int], names: Sequence[str], options: argparse.Namespace, folder: Path
) -> dict[str, list[Counted]]:
    """Measure each transport alone, in turn, as depth_node listens and reliably."""
    load = Load({}, TRANSPORT_RATE_HZ, options.warm_up, options.seconds)
    found: dict[str, list[Counted]] = {}
    rounds = range(options.transport_rounds)
    for _, reliable, name in itertools.product(rounds, (False, True), names):
        way = f"{name}, {RELIABLE if reliable else 'best effort'}"
        print(f"transport {way}, {size[0]}x{size[1]}", flush=True)
        measured = measure_transport(name, reliable, size, load, folder)
        found.setdefault(way, []).append(measured)
    return found


def _load(options: argparse.Namespace) -> Load:
    names = ("model", "device", "engine", "precision")
    parameters = {name: getattr(options, name) for name in names if getattr(options, name)}
    return Load(parameters, options.rate, options.warm_up, options.seconds)


def _environment(transport: str, folder: Path) -> dict[str, str]:
    """Return the environment of processes that send by a transport."""
    plain = isolated_environment(folder)
    if transport != "profile":
        plain = {k: v for k, v in plain.items() if k not in (*PROFILE_VARIABLES, _BUILTIN)}
    return plain


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _percentiles(times: Sequence[float]) -> list[str]:
    return [f"{value:.1f}" for value in middle_and_tail(times)] if times else ["", ""]


def _summary(times: Sequence[float]) -> dict[str, float] | None:
    if not times:
        return None
    p50, p95 = middle_and_tail(times)
    return {"p50": round(p50, 2), "p95": round(p95, 2)}
