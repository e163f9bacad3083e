import threading

from depth_anything_ros.nodes.mailbox import Mailbox


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
    while "last" not in taken:
        pass
    box.close()
    worker.join(timeout=5)
    assert not worker.is_alive()
    numbers = [t for t in taken if t != "last"]
    assert numbers == sorted(numbers)
    assert box.take() is None
