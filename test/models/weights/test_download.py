"""Servers that mean harm, or never answer: each ends in one clear line, and nothing is left."""

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from refusals import refusal

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.weights import download as download_module
from depth_anything_ros.models.weights.download import Patience
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.releases import Release
from depth_anything_ros.models.zoo import find_card

SMALL = find_card("depth_anything_v2_small")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SIZE = 10_240
CONTENT = bytes(SIZE)


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        try:
            self.server.answer(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whom it waited for has gone

    def log_message(self, *_):
        """Keep quiet."""


@contextmanager
def serving(answer):
    """Serve with a function of the request's handler; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads, server.block_on_close = True, False
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def headers(handler, status=200, size=SIZE, etag=f'"{"1" * 64}"', commit=COMMIT, **more):
    handler.send_response(status)
    facts = {"ETag": etag, "X-Repo-Commit": commit, **more}
    if size is not None:
        facts["Content-Length"] = str(size)
    for name, value in facts.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def body(handler, data=CONTENT):
    if handler.command == "GET":
        handler.wfile.write(data)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Empty caches of the hub and of torch.hub, and no patience."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(
        download_module, "PATIENCE", Patience(silence_s=8, window_s=8, slowest=1e5, most_bytes=2e6)
    )
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "torch")
    yield tmp_path
    torch.hub.set_dir(before)


_refusal = partial(refusal, CheckpointError)


def from_hub(url, monkeypatch, reason, name="net.pth"):
    monkeypatch.setattr(constants, "ENDPOINT", url)
    return _refusal(reason, resolve_weights, f"org/net:{name}", SMALL, download=True)


# Names


@pytest.mark.parametrize("outside", ["absolute", "relative", "etag"])
def test_an_answer_that_would_be_written_outside_of_the_cache(outside, cache, monkeypatch):
    target = cache / "outside" / "file"
    wrong = {
        "absolute": {"etag": f'"{target}"'},
        "relative": {"commit": "../../../../outside"},
        "etag": {"X_Linked_Etag": '"../../../outside"'},
    }[outside]

    def answer(handler):
        headers(handler, **wrong)
        body(handler)

    with serving(answer) as url:
        message = from_hub(url, monkeypatch, "unsafe")

    header = "X-Repo-Commit" if outside == "relative" else "ETag"
    assert f"cannot fetch net.pth of org/net from {url}: " in message and header in message
    assert not list(cache.rglob("outside*")) and not list(cache.parent.glob("outside*"))


def test_a_file_that_is_not_there_with_a_hostile_commit(cache, monkeypatch):
    def answer(handler):
        headers(handler, 404, 0, commit="../../../outside", X_Error_Code="EntryNotFound")

    with serving(answer) as url:
        assert "X-Repo-Commit" in from_hub(url, monkeypatch, "unsafe")
    assert not list(cache.rglob("outside*"))


@pytest.mark.parametrize("name", ["../a", "a/../../b", "a/..", "./a", "a//b", "a/"])
def test_a_name_that_leads_out_of_its_repo(name, cache):
    assert "is no name of a file on the hub" in _refusal(
        "not_found", resolve_weights, f"org/net:{name}", SMALL, download=True
    )


def test_a_cache_that_somebody_wrote_into(cache):
    refs = cache / "hub" / "models--org--net" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("../../../..")

    message = _refusal("not_found", resolve_weights, "org/net:net.pth", SMALL)

    assert f"the hub's cache {cache / 'hub'} is damaged there" in message


@pytest.mark.parametrize("weights", ["~nosuchuser/a.pth", "a" * 300, "a/" + "b" * 5000, "a\0b"])
def test_weights_that_no_file_can_be_called(weights, cache):
    assert "is no path" in _refusal("checkpoint", resolve_weights, weights, SMALL, download=True)


# Time


def never(handler):
    time.sleep(60)


def drip_headers(handler):
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 10_000:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.02)


def drip_body(handler):
    headers(handler)
    for byte in CONTENT if handler.command == "GET" else b"":
        handler.wfile.write(bytes([byte]))
        time.sleep(0.02)


def without_end(handler):
    headers(handler, size=None)
    while handler.command == "GET":
        handler.wfile.write(bytes(100_000))


@pytest.mark.parametrize("answer", [never, drip_headers])
def test_a_server_that_says_nothing(answer, cache, monkeypatch):
    monkeypatch.setattr(download_module, "PATIENCE", Patience(silence_s=1.0))
    begin = time.monotonic()
    with serving(answer) as url:
        assert "nothing came for 1 s" in from_hub(url, monkeypatch, "download")
        message = _refusal("download", Release(f"{url}/net.pt", "0" * 64).fetch)
    assert f"cannot fetch {url}/net.pt: nothing came for 1 s; try again" in message
    assert time.monotonic() - begin < 30


@pytest.fixture
def background():
    """Signals as a shell's background job has them, which its children inherit."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("background")
@pytest.mark.parametrize(
    ("answer", "window_s", "words"),
    [(drip_body, 1, "bytes came in 1 s"), (without_end, 8, "more than 0.002 GB")],
)
def test_a_server_that_drips_or_never_ends(answer, window_s, words, cache, monkeypatch):
    patience = replace(download_module.PATIENCE, window_s=window_s)
    monkeypatch.setattr(download_module, "PATIENCE", patience)
    seen = []
    with serving(answer) as url:
        assert words in from_hub(url, monkeypatch, "download")
        message = _refusal(
            "download", Release(f"{url}/net.pt").fetch, lambda *both: seen.append(both)
        )
    assert words in message
    assert seen and seen[0][0] == 0
    assert not list((cache / "hub").rglob("*.incomplete"))


def test_a_download_ends_with_the_process_that_waits_for_it(cache):
    script = Path(download_module.__file__).with_name("download_process.py")
    with serving(never) as url:
        task = json.dumps({"url": f"{url}/net.pt", "part": str(cache / "part")})
        process = subprocess.Popen([sys.executable, script, task, "mark"], stdin=subprocess.PIPE)
        process.stdin.close()
        assert process.wait(300) != 0


def test_a_server_that_is_not_there_is_not_waited_for(cache, monkeypatch):
    begin = time.monotonic()
    message = from_hub("http://127.0.0.1:9", monkeypatch, "download")
    assert "onnect" in message and "hf download org/net net.pth" in message
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize("said", ['{"path": "/etc/passwd"}', '{"error": "x"}', '{"total": "x"}'])
def test_what_a_server_has_the_library_print_is_no_word_of_the_download(said, cache, monkeypatch):
    def answer(handler):
        headers(handler, etag='"v1"', X_HF_Warning=f"a; {said}")
        body(handler)

    with serving(answer) as url:
        monkeypatch.setattr(constants, "ENDPOINT", url)
        path = resolve_weights("org/net:net.pth", SMALL, download=True)
    assert path.read_bytes() == CONTENT and path.is_relative_to(cache / "hub")


def test_a_part_that_is_not_the_one_asked_for(cache):
    def answer(handler):
        is_more = handler.headers["Range"] is not None
        facts = {"Content_Range": f"bytes 0-99/{SIZE}"} if is_more else {}
        headers(handler, 206 if is_more else 200, etag='"v1"', **facts)
        handler.wfile.write(CONTENT[:100])
        handler.close_connection = True

    with serving(answer) as url:
        _refusal("download", Release(f"{url}/net.pt").fetch)
        message = _refusal("download", Release(f"{url}/net.pt").fetch)
        assert "not the part from byte 100 on" in message
        assert "100 of 10240 bytes came" in _refusal("download", Release(f"{url}/net.pt").fetch)


@pytest.mark.parametrize(("length", "tag"), [("-5", '"a"'), ("x", '"a"'), (None, '"a\r\n b"')])
def test_headers_that_say_nothing(length, tag, cache):
    with serving(lambda handler: (headers(handler, size=length, etag=tag), body(handler))) as url:
        assert Release(f"{url}/net.pt").fetch().read_bytes() == CONTENT
