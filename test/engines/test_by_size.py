import logging
import random
import subprocess
import sys
import threading
import time

import pytest

from depth_anything_ros.engines.by_size import BySize, Places

SIZE = (56, 84)


def _wait_for(condition):
    limit = time.monotonic() + 300
    while not condition() and time.monotonic() < limit:
        time.sleep(0.005)
    assert condition()


def test_a_size_that_comes_again_is_made_while_the_caller_goes_on(caplog):
    go_on, made = threading.Event(), []

    def make(size):
        go_on.wait(300)
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


def makings(askings):
    """Ask as a stream does, where making takes no time; return what was made."""
    places, made = Places(), []
    for key in askings:
        if places.get(key) is None and places.is_due(key):
            places.put(key, str(key))
            made.append(key)
    return made


@pytest.mark.parametrize("count", [5, 40, 400])
@pytest.mark.parametrize("order", ["random", "round"])
def test_pictures_of_ever_other_sizes_are_not_compiled_for_for_ever(count, order):
    choose = random.Random(0)
    keys = [choose.randrange(count) if order == "random" else i % count for i in range(20_000)]
    made = makings(keys)
    assert len(made) <= 4 + 10  # pauses of 32 askings, 64, ... 16384
    assert len(made) >= 4 or count == 400


def test_a_stream_that_changes_its_size_gets_a_place():
    old = [index % 4 for index in range(1000)]
    assert makings(old) == [0, 1, 2, 3]
    assert makings(old + [4] * 256) == [0, 1, 2, 3, 4]
    assert makings(old + [4] * 256 + [5] * 512)[4:] == [4, 5]


def test_one_thread_makes_and_what_fails_is_not_tried_for_ever(caplog):
    go_on, threads, tried = threading.Event(), [], []

    def make(size):
        threads.append(sum("being made" in one.name for one in threading.enumerate()))
        tried.append(size)
        go_on.wait(300)
        raise RuntimeError("no memory\nand a long trace")

    graphs = BySize(make, "a model")
    for size in [(1, width) for width in range(40)] * 3:
        graphs.get(size)
    assert len(tried) == 1
    go_on.set()
    for index in range(2000):
        graphs.get((1, index % 40))
        _wait_for(lambda: graphs._wanted is None)
    assert set(threads) == {1}
    assert len(tried) <= 8  # after 32 askings, 64, ... 1024
    assert len(caplog.messages) == len(tried) and "trace" not in caplog.text


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
