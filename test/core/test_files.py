import json
import os
from pathlib import Path

import pytest

from depth_anything_ros.core.errors import RecipeError, SourceError, one_line, quoted
from depth_anything_ros.core.files import (
    MOST_BYTES,
    atomically,
    folder_atomically,
    parse_yaml,
    read_document,
    user_path,
    write_atomically,
)

ESCAPE = chr(27)


def test_a_path_of_a_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a.yaml") == tmp_path / "a.yaml"
    assert user_path(Path("a.yaml")) == Path("a.yaml")
    (tmp_path / "file").touch()
    assert user_path(tmp_path / "file" / "below") == tmp_path / "file" / "below"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("~nosuchuser/a.yaml", "~nosuchuser/a.yaml is no path: Could not determine home"),
        ("a" * 300, "aaa… (300 characters) is no path: File name too long"),
        ("a/" * 4000, "is no path: File name too long"),
        ("a\0b", r"a\x00b is no path"),
    ],
)
def test_what_no_file_can_be_called(name, words):
    with pytest.raises(RecipeError) as caught:
        user_path(name, RecipeError)
    assert words in str(caught.value) and len(str(caught.value)) < 300


def test_a_ring_of_links(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(SourceError, match="levels of symbolic links"):
        user_path(tmp_path / "a")


HOSTILE = {
    "brackets": "[" * 10_000,
    "maps": "{a: " * 5_000,
    "python": "a: !!python/object/apply:os.system ['touch /tmp/x']",
    "tag": "a: !mine 3",
    "int": "a: !!int ''",
    "bool": "a: !!bool x",
    "timestamp": "a: !!timestamp x",
    "date": "a: 2001-99-99",
    "digits": "a: " + "9" * 5000,
    "base 60": "a: 1" + ":59" * 300_000,
    "hex": "? 0x" + "f" * 5000 + "\n: 1",
    "key": "{[1]: 2}",
    "bytes": "a: \x07",
    "tab": "a:\n\t- 1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_document_that_cannot_be_read_is_one_line(name, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(HOSTILE[name])
    with pytest.raises(RecipeError) as caught:
        read_document(path, "the recipe", RecipeError)
    message = str(caught.value)
    assert (
        message.startswith(f"cannot read the recipe {path}, which is not YAML: ")
        and "\n" not in message
    )
    assert message.isprintable() and len(message) < 500
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(HOSTILE[name])


def test_merge_keys_of_merge_keys_do_not_fill_the_memory():
    """9^12 entries, with a PyYAML that does not see that they are the same."""
    text = "a0: &a0 {k: 1}\n" + "".join(
        f"a{i + 1}: &a{i + 1}\n  <<: [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(12)
    )
    try:
        assert parse_yaml(text)["a12"] == {"k": 1}
    except ValueError as error:
        assert "more than 10000 keys" in str(error)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "9" * 5000, ""])
def test_a_json_that_cannot_be_read(text, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(
        SourceError, match=r"cannot read the calibration .*a\.json, which is not JSON: "
    ):
        read_document(path, "the calibration")


def test_what_is_too_large_or_no_file_is_not_read(tmp_path):
    (tmp_path / "large.yaml").write_bytes(b" " * (MOST_BYTES + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "xml.yml").write_text("<?xml version='1.0'?>\n<opencv_storage></opencv_storage>")
    for name, words in (
        ("large.yaml", "it has 1000001 bytes"),
        ("pipe.yaml", "it is no file"),
        (".", "it is no file"),
        ("absent.yaml", "No such file"),
        ("xml.yml", "it is XML; write it as .yml"),
    ):
        with pytest.raises(SourceError, match=words):
            read_document(tmp_path / name, "the calibration")


def test_yaml_of_opencv_is_plain_values():
    text = "%YAML:1.0\n---\nm: !!opencv-matrix\n   rows: 1\n   cols: 2\n   data: [ 1., 2. ]\n"
    assert parse_yaml(text) == {"m": {"rows": 1, "cols": 2, "data": [1.0, 2.0]}}
    assert parse_yaml("%YAML 1.1\n---\na: 1") == {"a": 1}


def test_what_others_wrote_is_shown_on_one_line():
    assert one_line(f"a\n\t b{ESCAPE}[31m") == r"a b\x1b[31m"
    assert one_line("x" * 501) == "x" * 500 + "… (501 characters)"
    assert one_line("x" * 500) == "x" * 500
    lists = ["x"]
    for _ in range(60):
        lists = [lists] * 9
    for value in (lists, json.loads("[" * 500 + "]" * 500), "y" * 10**6, {"a": "\n" * 10**6}):
        assert len(quoted(value)) <= 300 and "\n" not in quoted(value)
    assert quoted(16**5000) == "a number of 20001 bits" and quoted("a\n") == r"'a\n'"


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")
    with pytest.raises(ZeroDivisionError), atomically(path) as partial:
        partial.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "a", b"")
    with pytest.raises(SourceError, match=r"cannot write .*missing/a: No such file"):
        write_atomically(tmp_path / "missing" / "a", b"", SourceError)


def test_a_folder_appears_as_a_whole_and_the_first_one_stays(tmp_path):
    folder = tmp_path / "shard"
    with pytest.raises(ZeroDivisionError), folder_atomically(folder) as part:
        (part / "file").write_text("half")
        assert not folder.exists() and 1 / 0
    assert not list(tmp_path.iterdir())
    with folder_atomically(folder) as slow:
        (slow / "file").write_text("slow")
        with folder_atomically(folder) as fast:
            (fast / "file").write_text("fast")
    assert (folder / "file").read_text() == "fast"
    (tmp_path / "taken").touch()
    with pytest.raises(OSError), folder_atomically(tmp_path / "taken"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"shard", "taken"}
