"""``depth_anything web``: a page in the browser, served by this machine to this machine."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

from depth_anything_ros.core.errors import DepthAnythingError, ParameterError
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.tools.options import check_least
from depth_anything_ros.tools.progress import say

_LAST_PORT = 65535
_LOCAL = ("127.0.0.1", "localhost", "::1")


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM; return the exit status."""
    check_least("--max-frames", options.max_frames)
    if not (options.max_upload > 0 and options.max_megapixels > 0):  # NaN is neither
        raise ParameterError("--max-upload and --max-megapixels must be above 0")
    port = free_port(options.host, options.port)
    with TemporaryDirectory(prefix="depth_anything_web_") as folder:
        signal.signal(signal.SIGTERM, _end)  # so that the folder goes, too
        _serve(options, port, Path(folder))
    return 0


def free_port(host: str, port: int) -> int:
    """Return the port, or any free one in the place of 0.

    Raises:
        ParameterError: where nothing can be served there.
    """
    if not 0 <= port <= _LAST_PORT:  # the C library takes the rest of a division
        raise ParameterError(f"--port must be 0 to {_LAST_PORT}, got {port}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
            return int(tried.getsockname()[1])
    except OSError as error:
        raise ParameterError(
            f"cannot serve at {host}:{port}: {error.strerror}; --port 0 takes any free port"
        ) from error


def _serve(options: argparse.Namespace, port: int, folder: Path) -> None:
    # All are read when Gradio is imported or begins; it looks whether its own page is there.
    os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=str(folder / "shown"))
    os.environ.update(NO_PROXY="*", no_proxy="*")
    try:
        from depth_anything_ros.tools import web_page  # needs an extra
    except ImportError as error:
        raise DepthAnythingError(
            f"the page needs what is not installed ({error}); run: {how_to_install('web')}"
        ) from error
    from depth_anything_ros.tools.web_session import Limits, ModelChoice

    limits = Limits(options.max_upload, options.max_megapixels, options.max_frames)
    models = ModelChoice(options.model, options.weights, options.device)
    models.pipeline(options.model).warm_up()
    page = web_page.Page(models, limits, folder)
    host = f"[{options.host}]" if ":" in options.host else options.host
    page.serve(host, port)
    say(f"the page is at http://{host}:{port} ; Ctrl-C ends it")
    if options.host not in _LOCAL:
        say("everybody who reaches this machine can use it: there is no password")
    try:
        threading.Event().wait()
    finally:
        page.close()


def _end(_number: int, _frame: object) -> NoReturn:
    sys.exit(0)
