"""What is kept of an engine is read only as this user wrote it, and nothing depends on it."""

import json
import os
import shutil
from pathlib import Path

import pytest
from full_disk import files_of_at_most

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.engines.cache import CACHE_VARIABLE, LIMIT_VARIABLE, Cache, cache_folder

KEY = "a_model-84x56-0123456789abcdef"
OTHER = "a_model-84x56-fedcba9876543210"


class Engine:
    """Of texts: what is converted is a text, and a graph says where it was read from."""

    def __init__(self, folder, text="a network"):
        self.cache, self.text, self.converted = Cache("texts", folder), text, 0

    def open(self, key=KEY):
        return self.cache.opened(key, self._convert, self._write, self._read, self._without)

    def _convert(self):
        self.converted += 1
        return self.text

    def _write(self, text, folder):
        (folder / "deep").mkdir()
        (folder / "deep" / "graph.bin").write_text(text)

    def _read(self, folder):
        return "disk", (folder / "deep" / "graph.bin").read_text()

    def _without(self, text):
        return "memory", text


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    """A cache with one entry."""
    Engine(tmp_path / "cache").open()
    return tmp_path / "cache"


def test_an_entry_is_this_users_alone_and_is_read_again(tmp_path, caplog):
    folder = tmp_path / "new" / "cache"
    before = os.umask(0)
    try:
        assert Engine(folder).open() == ("disk", "a network")
    finally:
        os.umask(before)
    for path in (folder.parent, folder, *folder.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600)
    again = Engine(folder, "another network")
    assert (again.open(), again.converted) == (("disk", "a network"), 0)
    assert again.open(OTHER) == ("disk", "another network")
    assert names_in(folder) == [KEY, OTHER]
    assert not caplog.records


def flip(entry):
    path = entry / "deep" / "graph.bin"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)


def link(entry):
    path = entry / "deep" / "graph.bin"
    path.rename(entry.parent.parent / "elsewhere")
    path.symlink_to(entry.parent.parent / "elsewhere")


def move(entry):
    Engine(entry.parent, "another network").open(OTHER)
    shutil.rmtree(entry)
    (entry.parent / OTHER).rename(entry)


def seal(text):
    return lambda entry: (entry / "files.json").write_text(text)


WRONG = {
    "bit": flip,
    "cut": lambda entry: (entry / "deep" / "graph.bin").write_text(""),
    "missing": lambda entry: (entry / "deep" / "graph.bin").unlink(),
    "more": lambda entry: (entry / "more.blob").write_text("x"),
    "of_another_network": move,
    "link": link,
    "linked_entry": lambda entry: entry.symlink_to(entry.rename(entry.parent.parent / "moved")),
    "file_open_to_all": lambda entry: (entry / "deep" / "graph.bin").chmod(0o666),
    "folder_open_to_group": lambda entry: (entry / "deep").chmod(0o770),
    "entry_open_to_all": lambda entry: entry.chmod(0o777),
    "no_seal": lambda entry: (entry / "files.json").unlink(),
    "seal_cut": seal('{"key":'),
    "seal_of_another_form": seal("[1]"),
    "seal_nested": seal("[" * 100_000),
    "seal_without_text": lambda entry: (entry / "files.json").write_bytes(b"\xff\xfe"),
    "seal_a_pipe": lambda entry: (
        (entry / "files.json").unlink(),
        os.mkfifo(entry / "files.json"),
    ),
    "a_file": lambda entry: (shutil.rmtree(entry), entry.write_text("x")),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_not_as_it_was_written_is_made_anew(folder, wrong, caplog):
    wrong(folder / KEY)
    engine = Engine(folder)
    assert (engine.open(), engine.converted) == (("disk", "a network"), 1)
    assert caplog.text.count("and is made anew") == 1 and str(folder / KEY) in caplog.text
    assert (engine.open(), engine.converted) == (("disk", "a network"), 1)
    assert names_in(folder) == [KEY]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
@pytest.mark.parametrize("part", ["", "files.json", "deep", "deep/graph.bin"])
def test_an_entry_of_another_user_is_made_anew(folder, part, caplog):
    folder.chmod(0o777)  # so it came there
    os.chown(folder / KEY / part, 12345, 12345)
    engine = Engine(folder)
    assert (engine.open(), engine.converted) == (("disk", "a network"), 1)
    assert "belongs to another user (uid 12345)" in caplog.text
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_user_is_not_used(folder, caplog, monkeypatch):
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    engine = Engine(folder, "my own")
    assert [engine.open(), engine.open()] == [("memory", "my own")] * 2
    (message,) = caplog.messages
    assert f"{folder} belongs to another user (uid {owner})" in message
    assert "nothing is kept" in message and CACHE_VARIABLE in message


def test_where_nothing_can_be_kept_engines_do_without_and_say_so_once(tmp_path, caplog):
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        caplog.clear()
        engine = Engine(place)
        assert [engine.open(), engine.open(OTHER)] == [("memory", "a network")] * 2
        (message,) = caplog.messages
        assert str(place) in message and "nothing is kept" in message
    full = Engine(tmp_path / "full", "x" * 10_000)
    with files_of_at_most(5_000):
        assert full.open() == ("memory", "x" * 10_000)
    assert names_in(tmp_path / "full") == [] and "File too large" in caplog.text
    assert full.open()[0] == "disk"


def test_a_fault_that_is_not_the_disks_is_raised(tmp_path):
    def refuse(*_):
        raise ModelError("this CPU cannot")

    cache = Cache("texts", tmp_path)
    for read, without in ((refuse, str), (lambda _: 1 / 0, refuse)):
        with pytest.raises(ModelError, match="this CPU cannot"):
            cache.opened(KEY, lambda: "text", lambda *_: None, read, without)
    assert names_in(tmp_path) == []


def test_another_process_that_is_faster_is_no_fault(tmp_path, caplog):
    slow, fast = Engine(tmp_path), Engine(tmp_path)
    write = slow._write
    slow._write = lambda text, folder: (write(text, folder), fast.open())
    assert slow.open() == ("disk", "a network") and fast.converted == 1
    assert names_in(tmp_path) == [KEY] and not caplog.records


def test_a_cache_holds_so_much_and_what_was_used_last(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    engine = Engine(tmp_path, "x" * 400_000)
    keys = [f"a_model-84x56-{index:016x}" for index in range(4)]
    (tmp_path / "notes").mkdir()  # of the user
    (tmp_path / "notes" / "large").write_text("x" * 2_000_000)
    for part, age in ((".part_left", 7200), (".part_now", 0)):
        (tmp_path / part).mkdir()
        at = (tmp_path / part).stat().st_mtime - age
        os.utime(tmp_path / part, (at, at))
    for index, key in enumerate(keys[:2]):
        engine.open(key)
        os.utime(tmp_path / key / "files.json", (index, index))
    engine.open(keys[0])  # so it is the newer one
    engine.open(keys[2])
    assert names_in(tmp_path) == [".part_now", keys[0], keys[2], "notes"]
    engine.text = "x" * 3_000_000
    assert engine.open(keys[3]) == ("disk", engine.text)
    assert f"takes 2 MB, and {LIMIT_VARIABLE} allows 1" in caplog.text
    assert names_in(tmp_path) == [".part_now", keys[0], keys[2], "notes"]


def test_what_a_library_adds_later_belongs_to_the_entry(folder):
    engine = Engine(folder)
    engine._read = lambda place: (place / "more.blob").write_text("x")
    engine.open()
    assert (Engine(folder).open(), engine.converted) == (("disk", "a network"), 0)
    assert "more.blob" in json.loads((folder / KEY / "files.json").read_text())["files"]


def test_the_folder_is_the_variables_then_xdgs_then_the_homes(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv(CACHE_VARIABLE, "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("onnx") == Path.home() / "mine" / "onnx"
    monkeypatch.delenv(CACHE_VARIABLE)
    assert cache_folder("onnx") == tmp_path / "depth_anything_ros" / "onnx"
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert cache_folder("onnx") == Path.home() / ".cache/depth_anything_ros/onnx"
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)  # whom /etc/passwd does not know
    with pytest.raises(OSError, match="home"):
        cache_folder("onnx")
    assert Engine(None).open() == ("memory", "a network")
    assert "home directory" in caplog.text and "nothing is kept" in caplog.text
