"""The threads of a node, with real ones."""

import threading
import time

import pytest
from ros_harness import wait_until

from depth_anything_ros.nodes.threads import HandOver, Mailbox, Worker


def test_the_newest_of_each_sender_wins():
    box = Mailbox()
    assert box.put("a", 1) is None
    assert box.put("a", 2) == 1
    assert box.take() == [2]
    assert box.put("a", 3) is None
    assert box.discard("a") == 3 and box.discard("a") is None


def test_what_is_newer_by_its_own_measure_is_not_replaced():
    box = Mailbox(newness=lambda item: item[0])
    assert box.put("a", (2, "first")) is None
    assert box.put("a", (1, "late")) == (1, "late")
    assert box.put("a", (2, "as new")) == (2, "first")
    assert box.put("b", (0, "another's")) is None
    assert box.take() == [(2, "as new"), (0, "another's")]
    assert box.put("a", (1, "late, and nothing waits")) is None


def test_all_that_wait_are_taken_the_longest_waiting_first():
    box = Mailbox()
    for sender, item in (("fast", 1), ("slow", 2), ("fast", 3), ("late", 4), ("fast", 5)):
        box.put(sender, item)
    assert box.take() == [5, 2, 4]
    box.put("slow", 6)
    box.put("fast", 7)
    assert box.discard("slow") == 6
    assert box.close() == [7] and box.close() == []


def test_a_waiting_taker_gets_what_comes_and_leaves_when_it_closes():
    box, taken = Mailbox(), []

    def work():
        while (items := box.take()) is not None:
            taken.extend(items)

    worker = threading.Thread(target=work)
    worker.start()
    for i in range(100):
        box.put("one", i)
    box.put("one", "last")
    wait_until(lambda: "last" in taken, what="the last")
    box.close()
    worker.join(timeout=60)
    assert not worker.is_alive()
    numbers = [t for t in taken if t != "last"]
    assert numbers == sorted(numbers)
    assert box.take() is None


def test_tasks_run_in_order_beside_the_giver_and_one_at_most_waits_to_end():
    hand, done, may_end = HandOver("publisher"), [], threading.Event()
    given = []

    def give():
        for i in range(3):
            hand.give(lambda i=i: (may_end.wait(60), done.append(i)))
            given.append(i)

    giver = threading.Thread(target=give)
    giver.start()
    wait_until(lambda: given, what="the first hand-over")
    time.sleep(0.1)
    assert (given, done) == ([0], [])  # the first runs, and nobody waits but the giver
    may_end.set()
    giver.join(60)
    hand.close()
    assert done == [0, 1, 2]
    with pytest.raises(RuntimeError, match="publisher has ended"):
        hand.give(lambda: None)


def test_closing_ends_what_is_on_its_way_and_the_thread():
    before = threading.active_count()
    hand, done = HandOver("publisher"), []
    hand.give(lambda: (time.sleep(0.05), done.append(1)))
    hand.close()
    assert done == [1] and threading.active_count() == before


def test_who_gives_to_a_thread_that_broke_is_told(monkeypatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # its trace is meant
    hand = HandOver("publisher")
    hand.give(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="has ended"):
        for _ in range(2):
            hand.give(lambda: time.sleep(0.1))
    hand.close()


@pytest.mark.parametrize("overlaps", [False, True])
def test_a_worker_answers_what_waits_and_gives_back_what_nobody_took(overlaps):
    taken, published, goes_on = [], [], threading.Event()

    def answer(items):
        goes_on.wait(60)
        taken.append(items)
        worker.deliver(lambda: published.append(threading.current_thread().name))

    worker = Worker("test", answer, lambda _: 0, overlaps)
    assert not worker.is_alive
    worker.start()
    worker.mailbox.put("a", 1)
    while worker.mailbox._items:
        time.sleep(0.001)
    worker.mailbox.put("a", 2), worker.mailbox.put("b", 3)
    threading.Timer(0.05, goes_on.set).start()
    assert worker.is_alive and worker.stop() == [2, 3] and not worker.is_alive
    assert taken == [[1]]
    assert published == ["test_publisher" if overlaps else "test_worker"]
