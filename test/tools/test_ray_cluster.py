"""Work over a local Ray cluster, and what is left of it when a worker is killed."""

import os
import pickle
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from predicted import SMALL, command_line, tree, write_scene
from videos import write_video

from depth_anything_ros.core.errors import DepthAnythingError, SourceError
from depth_anything_ros.tools import ray_cluster
from depth_anything_ros.tools.ray_cluster import spread

pytest.importorskip("ray")


def doubled():
    """Make a worker; inside a function, as workers cannot import a module of tests."""

    def make():
        def work(item):
            name, count = item
            if name == "broken":
                raise SourceError("this one is broken")
            return os.getpid(), name, 2 * count

        return work

    return make


def workers_of(process):
    """The processes of a cluster that a process has started which do its work."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue

    def is_below(pid):
        while pid in parents and pid != process.pid:
            pid = parents[pid]
        return pid == process.pid

    def is_worker(pid):
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::MapWorker")
        except OSError:
            return False

    return [pid for pid in parents if is_below(pid) and is_worker(pid)]


def test_an_address_where_nobody_is_fails_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        for one in (address, f"ray://{address}"):
            with pytest.raises(DepthAnythingError, match=f"no Ray cluster at {one}: "):
                list(spread([("a", 1)], doubled(), one))


def test_what_each_worker_has_of_a_cluster():
    assert ray_cluster._share({"GPU": 4.0, "CPU": 64.0}, 0) == (4, {"num_gpus": 1.0})
    assert ray_cluster._share({"GPU": 2.0, "CPU": 8.0}, 4) == (4, {"num_gpus": 0.5})
    assert ray_cluster._share({"CPU": 64.0}, 0) == (16, {"num_cpus": 4})
    assert ray_cluster._share({"CPU": 2.0}, 0) == (1, {"num_cpus": 2})
    assert ray_cluster._share({"CPU": 2.0}, 2) == (2, {"num_cpus": 1})


@pytest.mark.slow
def test_items_and_results_are_as_they_were():
    items = [(f"item {index}", index) for index in range(12)]
    found = []
    with pytest.raises(SourceError, match=r"^this one is broken$"):
        for result in spread([*items, ("broken", 0)], doubled(), "local", 2):
            found.append(result)
    assert all(type(result) is tuple for result in found)
    assert os.getpid() not in {result[0] for result in found}
    assert {result[1:] for result in found} <= {(name, 2 * index) for name, index in items}
    assert len(found) == len(set(found)) > 0


def test_what_ends_every_worker_is_a_result():
    def never():
        raise SourceError("no model")

    worker = ray_cluster._Worker(never)
    (answer,) = worker({"item": [pickle.dumps(("a", 1))]})["result"]
    error = pickle.loads(answer)
    assert type(error) is SourceError and str(error) == "no model" and error.reason == "source"


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_does_nothing_twice(tmp_path, predict):
    count = 50
    for index in range(count):
        write_scene(tmp_path / "in" / f"{index:03d}.png", index, (320, 240))
    write_video(tmp_path / "in" / "clip.mp4")
    words = (tmp_path / "in", "--outputs", "depth_png,color,npy,ply", "--batch", 2, "--hfov", 60)
    out = tmp_path / "out"
    asked = command_line(*words, "--output", out, *SMALL, "--ray", "local", "--workers", 2)
    with subprocess.Popen(
        asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        while process.poll() is None and len(list(out.glob("*.json"))) < 10:
            time.sleep(0.01)
        workers = workers_of(process)
        assert len(workers) == 2, process.communicate(timeout=300)[0]
        os.kill(workers[0], signal.SIGKILL)
        assert len(list(out.glob("*.json"))) < count
        said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    assert f"{count + 1} written to {out}\n" in said
    assert predict(*words, output="one_machine")[0] == 0
    assert tree(out) == tree(tmp_path / "one_machine")
