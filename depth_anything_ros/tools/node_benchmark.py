"""What ``depth_anything benchmark node`` measures: from camera messages to depth and clouds.

Camera, depth_node and listener are processes of their own. A picture's stamp is the time at which
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.tools.demo_nodes import (
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
    machine,
    machine_lines,
    markdown,
    middle_and_tail,
    write_json,
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
_TICKS_HZ = os.sysconf("SC_CLK_TCK")
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
    parameters = {**load.parameters, **own}
    with NodeProcess("depth_node", parameters, environment, folder / "depth_node.log") as node:
        node.wait_for("waiting for pictures", LOAD_TIMEOUT_S)
        run = _Run(environment, folder, OUTPUTS)
        with run.started(setting.width, setting.height, load):
            time.sleep(load.warm_up_s)
            before, began = _cpu_s(node.pid), time.monotonic()
            time.sleep(load.seconds)
            cores = (_cpu_s(node.pid) - before) / (time.monotonic() - began)
            memory = _resident_mb(node.pid)
    counted = run.counted(load)
    if not counted.latency_ms[OUTPUTS[0]]:
        raise ParameterError(
            f"no depth of {setting.width}x{setting.height} by {setting.transport} came; "
            f"depth_node says: {(folder / 'depth_node.log').read_text()[-500:]}"
        )
    return NodeRow(setting, counted, cores, memory, run.last_status("depth"))


def measure_transport(
    transport: str, reliable: bool, size: tuple[int, int], load: Load, folder: Path
) -> Counted:
    """Let a camera's pictures arrive in a callback of another process, and nothing else.

    Raises:
        DepthAnythingError: where one of the two cannot start.
    """
    run = _Run(_environment(transport, folder), folder, ("image",), reliable)
    with run.started(*size, load):
        pass
    return run.counted(load)


class _Run:
    """A camera and a listener: started, waited for, and what they wrote.

    Args:
        environment: of both.
        folder: for their output.
        topics: that are listened to.
        reliable: whether what is lost is asked for again.
    """

    def __init__(
        self,
        environment: dict[str, str],
        folder: Path,
        topics: Sequence[str],
        reliable: bool = False,
    ) -> None:
        self._environment, self._folder, self._topics = environment, folder, topics
        self._reliable = reliable
        self._files = {role: folder / f"{role}.json" for role in ("camera", "listener")}

    def _process(self, role: str, parameters: dict[str, object]) -> NodeProcess:
        given = {"role": role, "output": str(self._files[role]), **parameters}
        log = self._folder / f"{role}.log"
        return NodeProcess("stopwatch_node", given, self._environment, log)

    def started(self, width: int, height: int, load: Load) -> _Ends:
        """Return a context in which pictures come, and whose end waits for the last."""
        listening = {"topics": list(self._topics), "reliable": self._reliable}
        listener = self._process("listener", listening)
        pictures: dict[str, object] = {"width": width, "height": height}
        pictures |= {"rate_hz": load.rate_hz, "count": load.count}
        camera = self._process("camera", pictures)
        return _Ends(listener, camera, 2 * load.count / load.rate_hz + START_TIMEOUT_S)

    def counted(self, load: Load) -> Counted:
        """Count the pictures that were published in the seconds after the warm-up."""
        published = json.loads(self._files["camera"].read_text())["published"]
        received = json.loads(self._files["listener"].read_text())["received"]
        return count(published, received, load.warm_up_s, load.seconds)

    def last_status(self, name: str) -> dict[str, str]:
        """Return the last status of a name that was said while pictures were answered."""
        statuses = json.loads(self._files["listener"].read_text())["statuses"]
        own = [values for _, values in statuses if name in values["name"]]
        busy = [values for values in own if float(values.get("rate (Hz)", 0)) > 0]
        return dict((busy or own or [{}])[-1])


class _Ends:
    """Both ends of a run; entering waits for the first picture, leaving for the last."""

    def __init__(self, listener: NodeProcess, camera: NodeProcess, timeout_s: float) -> None:
        self._listener, self._camera, self._timeout_s = listener, camera, timeout_s

    def __enter__(self) -> None:
        try:
            self._listener.wait_for("listening to", START_TIMEOUT_S)
            self._camera.wait_for("publishing", START_TIMEOUT_S)
        except BaseException as error:
            self.__exit__(type(error))
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._listener, self._camera:
            if kind is None:
                self._camera.wait(self._timeout_s)
                time.sleep(DRAIN_S)


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


def settings(
    sizes: Sequence[tuple[int, int]],
    input_sizes: Sequence[int],
    output_sizes: Sequence[str],
    transports: Sequence[str],
) -> list[NodeSetting]:
    """Return every combination; transports take turns the fastest."""
    combined = itertools.product(sizes, input_sizes, output_sizes, transports)
    return [NodeSetting(*size, seen, output, way) for size, seen, output, way in combined]


def node_lines(rows: Sequence[NodeRow]) -> list[str]:
    """Return the table of nodes, and that of their stages."""
    names = list(dict.fromkeys(name for row in rows for name in row.stages_ms))
    heading = ("stages, p50 (ms)", *names, f"in the node but {NETWORK}")
    stages = []
    for row in rows:
        times = [f"{row.stages_ms[n]:.2f}" if n in row.stages_ms else "" for n in names]
        stages.append([str(row.setting), *times, f"{row.around_network_ms:.1f}"])
    table = markdown(NODE_HEADING, [row.cells() for row in rows])
    return [*table, "", *markdown(heading, stages)] if names else table


def transport_lines(size: tuple[int, int], found: Mapping[str, Sequence[Counted]]) -> list[str]:
    """Return the table of transports, over all rounds."""
    return markdown(
        TRANSPORT_HEADING,
        [
            [f"{size[0]}x{size[1]}", row["transport"], *_cells(row)]
            for row in transport_rows(size, found)
        ],
    )


def _cells(row: Mapping[str, Any]) -> list[str]:
    times, ratio = row["latency_ms"], row["ratio"]
    texts = [f"{times['p50']:.2f}", f"{times['p95']:.2f}"] if times else ["", ""]
    return [*texts, f"{row['lost']} of {row['published']}", f"{ratio:.1f}" if ratio else ""]


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
    return [
        {
            "width": size[0],
            "height": size[1],
            "transport": name,
            "published": sum(counted.published for counted in rounds),
            "lost": sum(counted.missing("image") for counted in rounds),
            "latency_ms": _summary(times[name]),
            "ratio": round(float(np.median(reference) / np.median(times[name])), 2)
            if reference and times[name]
            else None,
        }
        for name, rounds in found.items()
    ]


def run(options: argparse.Namespace) -> int:
    """Measure as the command line says; return the exit status."""
    sizes = [parse_size(text) for text in options.sizes.split(",")]
    input_sizes = whole_numbers(options.input_sizes, "--input-sizes")
    output_sizes, transports = options.output_sizes.split(","), options.transports.split(",")
    check_known("transport", transports, TRANSPORTS)
    check_least("--rounds", options.rounds)
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        place = Path(folder)
        found = _transports(sizes[-1], transports, options, place)
        rows = []
        for _, setting in itertools.product(
            range(options.rounds), settings(sizes, input_sizes, output_sizes, transports)
        ):
            _say(str(setting))
            rows.append(measure_node(setting, _load(options), place))
    said = (
        [*transport_lines(sizes[-1], found), "", *node_lines(rows)] if found else node_lines(rows)
    )
    print("\n".join([*machine_lines(facts), *said]))
    if options.output is not None:
        write_json(
            options.output,
            facts,
            [*transport_rows(sizes[-1], found), *(row.as_json() for row in rows)],
        )
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
        _say(f"transport {way}, {size[0]}x{size[1]}")
        measured = measure_transport(name, reliable, size, load, folder)
        found.setdefault(way, []).append(measured)
    return found


def _load(options: argparse.Namespace) -> Load:
    given = {name: getattr(options, name) for name in ("engine", "precision")}
    chosen = {name: value for name, value in given.items() if value}
    parameters = {"model": options.model, "device": options.device, **chosen}
    return Load(parameters, options.rate, options.warm_up, options.seconds)


def _say(line: str) -> None:
    print(line, flush=True)


def _environment(transport: str, folder: Path) -> dict[str, str]:
    """Return the environment of processes that send by a transport."""
    plain = isolated_environment(folder)
    if transport != "profile":
        plain = {k: v for k, v in plain.items() if k not in (*PROFILE_VARIABLES, _BUILTIN)}
    return plain


def _cpu_s(pid: int) -> float:
    """Return user and system time of a process so far; see proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_HZ


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
