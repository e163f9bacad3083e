"""The threads of a node, with real ones."""

import threading
import time

import pytest
from ros_harness import PATIENCE_S, wait_until

from depth_anything_ros.nodes.workers import Worker


def test_the_newest_of_each_sender_wins_and_the_longest_waiting_comes_first():
    worker = Worker("test")
    assert worker.put("a", 1) is None and worker.put("a", 2) == 1
    assert worker.discard("a") == 2 and worker.discard("a") is None
    for sender, item in (("fast", 1), ("slow", 2), ("fast", 3), ("late", 4), ("fast", 5)):
        worker.put(sender, item)
    assert worker.discard("late") == 4
    assert worker.stop() == [5, 2] and worker.stop() == []


def test_what_is_newer_by_its_own_measure_is_not_replaced():
    worker = Worker("test", newness=lambda item: item[0])
    assert worker.put("a", (2, "first")) is None
    assert worker.put("a", (1, "late")) == (1, "late")
    assert worker.put("a", (2, "as new")) == (2, "first")
    assert worker.put("b", (0, "another's")) is None
    assert worker.stop() == [(2, "as new"), (0, "another's")]
    assert worker.put("a", (1, "late, and nothing waits")) is None


def test_a_waiting_worker_gets_what_comes_and_leaves_when_it_is_stopped():
    worker, taken = Worker("test"), []
    worker.start(taken.extend)
    for i in range(100):
        worker.put("one", i)
    wait_until(lambda: 99 in taken, what="the last")
    assert worker.is_alive and worker.stop() == [] and not worker.is_alive
    assert taken == sorted(taken)


def test_a_worker_ends_where_it_is_not_to_go_on():
    worker, taken = Worker("test"), []
    worker.start(taken.extend, goes_on=lambda: False)
    worker.put("one", 1)
    wait_until(lambda: not worker.is_alive, what="the end")
    assert taken == []


@pytest.mark.parametrize("overlaps", [False, True])
def test_what_is_found_is_published_in_order_and_one_at_most_waits_to_be_out(overlaps):
    before, may_end, begun = threading.active_count(), threading.Event(), threading.Semaphore(0)
    published, worker = [], Worker("test")

    def publish(items):
        begun.release()
        may_end.wait(PATIENCE_S)
        published.append((items, threading.current_thread().name))

    worker.start(lambda items: worker.deliver(lambda: publish(items)), overlaps)
    for i in range(1, 2 + overlaps):
        worker.put("one", i)
        wait_until(lambda: not worker._items, what="the worker")
    worker.put("one", 3)
    assert begun.acquire(timeout=PATIENCE_S)
    assert not begun.acquire(timeout=0.05)  # the first, no other
    threading.Timer(0.05, may_end.set).start()
    left = worker.stop()
    name = "test_publisher_0" if overlaps else "test_worker"
    assert published == [([i], name) for i in range(1, 2 + overlaps)]
    assert left == [3] and threading.active_count() <= before + 1  # the timer


def test_a_worker_whose_publisher_broke_ends(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # its trace is meant
    worker = Worker("test")
    worker.start(lambda items: worker.deliver(lambda: 1 / 0), overlaps=True)
    for _ in range(2):
        worker.put("one", 1)
        time.sleep(0.05)
    wait_until(lambda: not worker.is_alive, what="the end")
    worker.stop()
