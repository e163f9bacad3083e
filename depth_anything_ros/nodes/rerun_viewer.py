"""Where Rerun shows: a page on this machine, a window, or a file. Needs the extra ``view``."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import rerun as rr

from depth_anything_ros.core.errors import DepthAnythingError, ParameterError, SourceError, quoted
from depth_anything_ros.core.files import user_path
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.nodes.rerun_page import RerunPage
from depth_anything_ros.nodes.view_parameters import ViewerParameters, ViewParameters

APPLICATION = "depth_anything_ros"
_START_S, _END_S, _FLUSH_S = 30.0, 5.0, 5.0
_LOOK_S = 0.05


class Viewer:
    """A viewer, and the recording that it is given.

    Its process is one of this package's own and not Rerun's ``spawn`` or ``serve_web_viewer``,
    which open their ports to the whole network.

    Args:
        p: of the node.

    Attributes:
        recording: what is logged to it is shown.
        where: what to open, or what is written.

    Raises:
        ParameterError: where a port or the address cannot be had.
        SourceError: where the file is there already.
        DepthAnythingError: where the viewer does not start.
    """

    def __init__(self, p: ViewParameters) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._page: RerunPage | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="depth_anything_view_")
        self.recording = rr.RecordingStream(APPLICATION)
        try:
            is_file, is_web = p.show == "file", p.show == "web"
            self.where = (
                self._write(user_path(p.file)) if is_file else self._start(is_web, p.viewer)
            )
        except BaseException:  # Ctrl-C among them: the process would go on
            self.close()
            raise

    def _write(self, path: Path) -> str:
        if path.exists():
            raise SourceError(f"{path} exists already; remove it or name another file")
        if not path.parent.is_dir():
            raise SourceError(f"there is no folder {path.parent} to write {path.name} in")
        self.recording.save(path)
        return str(path)

    def _start(self, is_web: bool, p: ViewerParameters) -> str:
        ports = {"data_port": p.data_port, **({"web_port": p.web_port} if is_web else {})}
        for name, port in ports.items():
            _check_free(f"viewer.{name}", p.address, port)
        inner = _free_port(p.address) if is_web else 0
        self._process = _run(_arguments(p, inner), self._folder.name)
        host = _host(p.address)
        self._wait_for(lambda: all(_is_open(host, port) for port in (p.data_port, inner) if port))
        self.recording.connect_grpc(f"rerun+http://{_in_url(host)}:{p.data_port}/proxy")
        if not is_web:
            return "Rerun's window"
        self._page = RerunPage((p.address, p.web_port), (host, inner), p.data_port)
        shown = host if host == p.address else socket.gethostname()
        return f"http://{_in_url(shown)}:{p.web_port}"

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_S
        while not condition():
            if self.has_ended or time.monotonic() > deadline:
                raise DepthAnythingError(
                    "Rerun's viewer did not start; its own words are above. Without a screen use "
                    "show: web or file"
                )
            time.sleep(_LOOK_S)

    @property
    def has_ended(self) -> bool:
        """Whether its process is gone: somebody closed the window."""
        return self._process is not None and self._process.poll() is not None

    def flush(self) -> None:
        """Wait until all that was logged is out.

        Raises:
            DepthAnythingError: where the viewer does not take it.
        """
        try:
            self.recording.flush(timeout_sec=_FLUSH_S)
        except Exception as error:  # of Rerun's own kinds
            raise DepthAnythingError(
                f"the viewer does not take what is shown: {error}", reason="viewer"
            ) from error

    def close(self) -> None:
        """Hand over what is left, and end the viewer."""
        if self._page is not None:
            self._page.close()
        self.recording.disconnect()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


def _arguments(p: ViewerParameters, web_port: int) -> list[str]:
    """Return what Rerun's program is told: to serve a page at a port, or to open a window."""
    limit = f"{p.memory_mb}MB"
    given = ["--bind", p.address, "--port", str(p.data_port), "--server-memory-limit", limit]
    if not web_port:
        return [*given, "--memory-limit", limit]
    given += ["--serve-web", "--web-viewer-port", str(web_port)]
    if not ip_address(p.address).is_loopback:
        # This node's page may read, whatever the browser calls this machine.
        given += ["--cors-allow-origin", f"http://*:{p.web_port}"]
    return given


def _run(arguments: list[str], folder: str) -> subprocess.Popen[bytes]:
    """Start Rerun's program itself: a Python in between would not pass signals on.

    It reports its use to its makers unless its own configuration forbids that, which is therefore
    in a folder of this node's.
    """
    found = importlib.util.find_spec("rerun_cli")
    program = Path(found.origin).with_name("rerun") if found and found.origin else None
    if program is None or not program.is_file():
        raise DepthAnythingError(f"Rerun's viewer is not installed; run: {how_to_install('view')}")
    own = {"XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder}
    environment = {"RUST_LOG": "warn", **os.environ, **own}
    silenced = [str(program), "analytics", "disable"]
    subprocess.run(silenced, env=environment, capture_output=True, check=True, timeout=_START_S)
    # Ctrl-C is this node's: the viewer takes what is left first.
    return subprocess.Popen(
        [str(program), *arguments],
        stdin=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )


def _host(address: str) -> str:
    """Return the address by which this machine reaches what is bound to one."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _socket(address: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)


def _free_port(address: str) -> int:
    with _socket(address) as one:
        one.bind((address, 0))
        return int(one.getsockname()[1])


def _check_free(name: str, address: str, port: int) -> None:
    try:
        ip_address(address)
        with _socket(address) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((address, port))
    except ValueError as error:
        raise ParameterError(
            f"parameter viewer.address is {quoted(address)}; it must be an IP address"
        ) from error
    except OSError as error:
        raise ParameterError(
            f"parameter {name} is {port}, which cannot be had at {address} ({error.strerror}): "
            "does another viewer run? Give another port"
        ) from error


def _is_open(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True
