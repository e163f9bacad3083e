"""Rerun's page, without what it says to its makers.

The page reports its use, asks GitHub for newer versions and loads a font, and no option forbids it.
Here it is handed on with a Content-Security-Policy, by which the browser lets it connect to this
machine alone.
"""

from __future__ import annotations

import shutil
import socket
import threading
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval'; "
    "connect-src 'self' data: blob: http://*:{port}"
)
_HANDED_ON = ("Content-Type", "Content-Length", "Content-Encoding", "ETag", "Cache-Control")
_TIMEOUT_S = 30.0


class RerunPage:
    """Hand on a page of this machine, until it is closed.

    Args:
        address: to listen at, and the port.
        inner: address and port where Rerun serves the page.
        data_port: that the page may connect to, at whatever name this machine has for it.

    Raises:
        OSError: where the port cannot be had.
    """

    def __init__(self, address: tuple[str, int], inner: tuple[str, int], data_port: int) -> None:
        class Handler(_Handler):
            upstream, port = inner, data_port

        kind = _Server6 if ip_address(address[0]).version == 6 else ThreadingHTTPServer
        self._server = kind(address, Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="rerun_page", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    upstream: tuple[str, int]
    port: int

    def do_GET(self) -> None:
        """Answer with what Rerun serves; with the page of this data where nothing is asked for."""
        if self.path == "/":
            host = (self.headers.get("Host") or "localhost").rsplit(":", 1)[0]
            self.send_response(302)
            self.send_header("Location", page_path(host, self.port))
            self.end_headers()
            return
        inner = HTTPConnection(*self.upstream, timeout=_TIMEOUT_S)
        try:
            inner.request("GET", self.path)
            answer = inner.getresponse()
            self.send_response(answer.status)
            for name in _HANDED_ON:
                if value := answer.getheader(name):
                    self.send_header(name, value)
            self.send_header("Content-Security-Policy", _POLICY.format(port=self.port))
            self.end_headers()
            shutil.copyfileobj(answer, self.wfile)
        except (OSError, HTTPException):  # a browser that was closed, or the viewer
            self.close_connection = True
        finally:
            inner.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a node's log is for what goes wrong."""


def page_path(host: str, data_port: int) -> str:
    """Return the path and query by which the page shows the data of a host."""
    return f"/?hide_welcome_screen=true&url=rerun%2Bhttp://{host}:{data_port}/proxy"
