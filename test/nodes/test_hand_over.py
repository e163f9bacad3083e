import threading
import time

import pytest

from depth_anything_ros.nodes.hand_over import HandOver


def test_tasks_run_in_order_beside_the_giver_and_one_at_most_waits_to_end():
    hand, done, may_end = HandOver("publisher"), [], threading.Event()
    given = []

    def give():
        for i in range(3):
            hand.give(lambda i=i: (may_end.wait(10), done.append(i)))
            given.append(i)

    giver = threading.Thread(target=give)
    giver.start()
    time.sleep(0.1)
    assert (given, done) == ([0], [])  # the first runs, and nobody waits but the giver
    may_end.set()
    giver.join(10)
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
