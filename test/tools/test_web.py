"""The verb ``web``, up to where the page begins."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from depth_anything_ros.tools import web


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """What the verb sets for its process ends with the test."""
    for name in ("NO_PROXY", "no_proxy", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(name, "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "shown"))


def test_a_port_that_is_taken(command):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = command.refuses("web", "--port", port)
    assert f"cannot serve at 127.0.0.1:{port}: Address already in use; --port 0 takes" in said


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--port", "99999"), "--port must be 0 to 65535, got 99999"),
        (("--host", "no.such.host.invalid"), "cannot serve at no.such.host.invalid:7860"),
        (("--host", "192.0.2.1", "--port", "0"), "192.0.2.1:0: Cannot assign requested address"),
        (("--max-upload", "0"), "--max-upload and --max-megapixels must be above 0"),
        (("--max-megapixels", "nan"), "--max-upload and --max-megapixels must be above 0"),
    ],
)
def test_where_nothing_can_be_served(command, words, why):
    assert why in command.refuses("web", *words)


def test_a_free_port_is_one():
    port = web.free_port("127.0.0.1", 0)
    assert port and web.free_port("127.0.0.1", port) == port


def test_without_gradio_the_extra_is_named(command, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.delitem(sys.modules, "depth_anything_ros.tools.web_page", raising=False)
    said = command.refuses("web", "--port", "0")
    assert "the page needs what is not installed" in said and "(the extra [web])" in said


@pytest.mark.slow  # Gradio's import is
def test_an_address_is_no_upload(tmp_path):
    gradio = pytest.importorskip("gradio")
    from depth_anything_ros.tools.web_page import _as_uploaded

    picture = gradio.Image()
    _as_uploaded(picture)
    with pytest.raises(gradio.Error, match="no addresses"):
        asyncio.run(picture.async_move_resource_to_block_cache("https://example.invalid/a.png"))
    # What is no picture comes as it is: it is judged by its header, not by Gradio.
    (tmp_path / "a.png").write_text("hello")
    kept = asyncio.run(picture.async_move_resource_to_block_cache(tmp_path / "a.png"))
    file = gradio.FileData(path=kept)
    assert picture.preprocess(file) == kept and Path(kept).read_text() == "hello"
    assert picture.preprocess(None) is None
