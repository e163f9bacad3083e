import logging
import subprocess
import sys
import threading
import time

import pytest

from depth_anything_ros.engines.by_size import BySize

SIZE = (56, 84)


def _wait_for(condition):
    limit = time.monotonic() + 10
    while not condition() and time.monotonic() < limit:
        time.sleep(0.005)
    assert condition()


def test_a_size_that_comes_again_is_made_while_the_caller_goes_on(caplog):
    go_on, made = threading.Event(), []

    def make(size):
        go_on.wait(10)
        made.append(size)
        return f"graph of {size}"

    graphs = BySize(make, "a model")
    with caplog.at_level(logging.INFO):
        assert graphs.get(SIZE) is None
        assert not caplog.records  # one picture is not worth it
        assert [graphs.get(SIZE) for _ in range(3)] == [None] * 3
    assert caplog.messages == ["making a model for 84x56; torch answers"]

    go_on.set()

    _wait_for(lambda: graphs.get(SIZE) == f"graph of {SIZE}")
    assert made == [SIZE]


def test_those_used_last_are_kept():
    made = []
    graphs = BySize(lambda size: made.append(size) or str(size), "a model")
    for width in range(4):
        graphs.ensure((0, width))
    graphs.get((0, 0))
    graphs.ensure((0, 4))
    graphs.ensure((0, 0))
    assert made == [(0, width) for width in range(5)]

    assert graphs.get((0, 1)) is None  # the one that was not used for longest

    graphs.ensure((0, 1))
    assert made[-1] == (0, 1)


def test_what_cannot_be_made_is_said_once_and_torch_goes_on(caplog):
    def make(size):
        raise RuntimeError("no driver")

    graphs = BySize(make, "a model")
    for _ in range(5):
        assert graphs.get(SIZE) is None
    _wait_for(lambda: caplog.messages)
    assert caplog.messages == ["torch goes on for 84x56: no driver"]
    with pytest.raises(RuntimeError, match="no driver"):
        graphs.ensure(SIZE)


def test_a_size_is_made_once_by_two_threads():
    made = []

    def make(size):
        time.sleep(0.05)
        made.append(size)
        return "graph"

    graphs = BySize(make, "a model")
    threads = [threading.Thread(target=graphs.ensure, args=(SIZE,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [SIZE] and graphs.get(SIZE) == "graph"


def test_the_end_of_the_process_waits_for_what_is_made_and_begins_nothing_more():
    program = """
import threading, time
from depth_anything_ros.engines.by_size import BySize

def make(size):
    time.sleep(0.5)
    print("made", size, flush=True)

def ask():
    for size in [(1, 2), (3, 4), (1, 2), (3, 4)]:
        graphs.get(size)

graphs = BySize(make, "a model")
asking = threading.Thread(target=ask, daemon=True)  # as a node's worker is
asking.start()
asking.join()
time.sleep(0.1)
print("end", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.splitlines() == ["end", "made (1, 2)"]
