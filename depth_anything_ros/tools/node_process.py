"""The nodes of the demo, each in a process of its own, apart from all other ROS 2."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import depth_anything_ros
from depth_anything_ros.core.errors import DepthAnythingError

NAMESPACE = "/demo"
PROFILE = "fastdds_large_messages.xml"
# A node ends at once, or waits for a thread in a library until it is told again: run_node.
_ASKED_S = (20.0, 40.0)
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
# Those whose ports lie below the ephemeral ones of Linux; robots have small numbers.
_DOMAINS = range(100, 0, -1)


def claim_domain() -> tuple[int, socket.socket]:
    """Return a ROS domain that no other claim on this machine has, nor this process now.

    Returns:
        The domain, and a socket of an abstract name of Linux, whose end ends the claim.

    Raises:
        DepthAnythingError: where all are claimed.
    """
    for domain in _DOMAINS:
        if str(domain) == os.environ.get("ROS_DOMAIN_ID"):
            continue
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0depth_anything_ros.domain.{domain}")
        except OSError:
            claim.close()
        else:
            return domain, claim
    raise DepthAnythingError(
        f"all {len(_DOMAINS)} ROS domains are claimed by runs of this package on this machine; "
        "end some of them"
    )


@cache
def _domain_of_tools() -> tuple[int, socket.socket]:
    """Return a domain for the nodes that this process starts, claimed until its end."""
    return claim_domain()


def isolated_environment(log: Path) -> dict[str, str]:
    """Return an environment in which the demo meets no other ROS 2 of the network.

    Fast DDS gets shared memory that takes whole pictures: by default it loses fragments of them.
    """
    candidates = (
        Path(depth_anything_ros.__file__).parents[1] / "config",
        Path(sys.prefix) / "share" / "depth_anything_ros" / "config",
    )
    profiles = [str(p / PROFILE) for p in candidates if (p / PROFILE).is_file()]
    transport = {name: profiles[0] for name in PROFILE_VARIABLES if profiles}
    return {
        **transport,
        **os.environ,
        "ROS_DOMAIN_ID": str(_domain_of_tools()[0]),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(log.resolve()),
        "PYTHONUNBUFFERED": "1",
    }


def node_arguments(
    name: str,
    parameters: Mapping[str, object],
    namespace: str = "",
    remappings: Mapping[str, str] | None = None,
) -> list[str]:
    """Return what Python is told, to be a node of this package."""
    command = ["-m", f"depth_anything_ros.nodes.{name}", "--ros-args"]
    renamed = {"__ns": namespace} if namespace else {}
    for old, new in {**renamed, **(remappings or {})}.items():
        command += ["-r", f"{old}:={new}"]
    for key, value in parameters.items():
        plain = isinstance(value, (bool, int, float, list))
        doubled = str(value).replace("'", "''")  # within YAML's single quotes
        text = json.dumps(value) if plain else f"'{doubled}'"
        command += ["-p", f"{key}:={text}"]
    return command


class NodeProcess:
    """A node of this package in a process of its own, its output in a log file.

    Leaving the context stops it.

    Args:
        name: of its module.
        parameters: of the node.
        environment: of the process.
        log: file to write.
        namespace: within that of the demo.
        remappings: of topics.
    """

    def __init__(
        self,
        name: str,
        parameters: dict[str, object],
        environment: dict[str, str],
        log: Path,
        namespace: str = "",
        remappings: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._read_up_to = 0
        where = f"{NAMESPACE}{namespace and '/'}{namespace}"
        command = [sys.executable, *node_arguments(name, parameters, where, remappings)]
        with self.log.open("wb") as file:
            self._process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        status = self._end()
        # Its own answer to the signal is 0; without an answer yet, it had only just started.
        if kind is None and status not in (0, -signal.SIGTERM):
            raise self._failure(f"was stopped and ended with status {status}")

    def _end(self) -> int:
        """Ask it to end, and again where it waits for an engine being made; return its status."""
        for patience_s in _ASKED_S:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                return self._process.wait(timeout=patience_s)
        self._process.kill()
        return self._process.wait()

    def wait_for(self, text: str, timeout_s: float) -> None:
        """Wait until a text stands in the log, after what an earlier call has waited for.

        Raises:
            DepthAnythingError: where the process ends, fails to load its model, or never says it.
        """
        deadline = time.monotonic() + timeout_s
        while (found := self._read().find(text, self._read_up_to)) < 0:
            failed = "cannot load the model" in self._read() or self._process.poll() is not None
            if failed or time.monotonic() > deadline:
                raise self._failure(f"did not get to '{text}'")
            time.sleep(0.1)
        self._read_up_to = found + len(text)

    def rest_of_line(self) -> str:
        """Return what the log says after what was waited for, to the end of its line."""
        return self._read()[self._read_up_to :].partition("\n")[0]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> None:
        """Wait until the process ends by itself."""
        try:
            status = self._process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise self._failure(f"still runs after {timeout_s:.0f} s") from error
        if status:
            raise self._failure(f"ended with status {status}")

    def _read(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def _failure(self, what: str) -> DepthAnythingError:
        last = " / ".join(self._read().strip().splitlines()[-2:]) or "no output"
        return DepthAnythingError(f"{self.name} {what}; its last words: {last} (all in {self.log})")
