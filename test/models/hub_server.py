"""A hub on 127.0.0.1: what huggingface_hub asks of huggingface.co for one file, and no more."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(BaseHTTPRequestHandler):
    def _answer(self, with_body):
        self.server.requests.append(f"{self.command} {self.path}")
        content = self.server.files.get(self.path.partition("?")[0])
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
            content = b""
        sha256 = hashlib.sha256(content).hexdigest()
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{sha256}"')
        self.send_header("X-Linked-Etag", f'"{sha256}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def log_message(self, *_):
        """Keep quiet: the requests are recorded."""


@contextmanager
def serve(files):
    """Serve {"org/name:file": bytes}; gives the server, with its url and its list of requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.files = {
        f"/{name.replace(':', '/resolve/main/')}": content for name, content in files.items()
    }
    server.requests = []
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def store(cache, repo, name, content, blob=None):
    """Put a file into a cache of the hub, laid out as huggingface_hub does."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    blob = folder / "blobs" / (blob or hashlib.sha256(content).hexdigest())
    for path, data in ((folder / "refs" / "main", COMMIT.encode()), (blob, content)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    link = folder / "snapshots" / COMMIT / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(blob)
    return link
