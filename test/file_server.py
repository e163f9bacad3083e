"""Files on 127.0.0.1, of a hub or a release page: goes on with a part, and may be cut off."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    def _answer(self, with_body):
        server, asked = self.server, self.headers.get("Range", "")
        server.requests.append(f"{self.command} {self.path} {asked}".strip())
        content = server.files.get(self.path.partition("?")[0])
        if content is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        start = re.fullmatch(r"bytes=(\d+)-", asked)
        first = int(start[1]) if start and self.headers.get("If-Range", tag) == tag else 0
        if first and first >= len(content):
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        for name, value in (
            ("Content-Length", str(len(content) - first)),
            ("ETag", tag),
            ("X-Linked-Etag", tag),
            ("X-Linked-Size", str(len(content))),
            ("X-Repo-Commit", COMMIT),
        ):
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content[first:][: server.cut_after])
            if server.cut_after is not None:
                self.close_connection = True

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def log_message(self, *_):
        """Keep quiet: the requests are recorded."""


@contextmanager
def serve_files(files):
    """Serve {"/path": bytes}; gives the server: url, files, requests, and cut_after (bytes)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.files, server.requests, server.cut_after = dict(files), [], None
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
