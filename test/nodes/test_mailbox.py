import threading

from depth_anything_ros.nodes.mailbox import Mailbox


def test_the_newest_wins():
    box = Mailbox()
    assert not box.put(1)
    assert box.put(2)
    assert box.take() == 2
    assert not box.put(3)
    assert box.discard() and not box.discard()


def test_a_waiting_taker_gets_what_comes_and_leaves_when_it_closes():
    box, taken = Mailbox(), []

    def work():
        while (item := box.take()) is not None:
            taken.append(item)

    worker = threading.Thread(target=work)
    worker.start()
    for i in range(100):
        box.put(i)
    box.put("last")
    while "last" not in taken:
        pass
    box.close()
    worker.join(timeout=5)
    assert not worker.is_alive()
    numbers = [t for t in taken if t != "last"]
    assert numbers == sorted(numbers)
    assert box.take() is None
