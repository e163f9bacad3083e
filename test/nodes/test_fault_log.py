from depth_anything_ros.nodes.fault_log import FaultLog


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def made():
    said, clock = [], Clock()
    return FaultLog(said.append, clock), said, clock


def test_a_fault_is_said_once_and_again_when_it_changes():
    log, said, _ = made()
    for text in ("encoding 'a'", "encoding 'a'", "encoding 'b'", "encoding 'b'", "encoding 'a'"):
        log.say("encoding", text)
        log.say("camera_size", "another aspect")
    assert said == ["encoding 'a'", "another aspect", "encoding 'b'", "encoding 'a'"]


def test_faults_that_take_turns_do_not_fill_the_log():
    log, said, clock = made()
    for i in range(3000):  # 100 s at 30 Hz
        clock.now = i / 30
        log.say("encoding", f"encoding '{i % 2}'")
    assert 8 <= len(said) <= 8 + 10
    log.say("step", "step is 3")  # said later where it is still so
    clock.now += 10
    log.say("step", "step is 3")
    assert said[-1] == "step is 3"


def test_what_is_measured_is_no_change():
    log, said, _ = made()
    for stamp in (1.25, 2.5, -1e-7):
        log.say("no_transform", f"requested time {stamp:.6f} is not at 640x480")
    log.say("no_transform", "requested time 1.250000 is not at 320x240")
    assert len(said) == 2


def test_a_key_tells_faults_apart_whose_lines_differ():
    log, said, _ = made()
    log.say("inference", "trace 1", "ValueError")
    log.say("inference", "trace 2", "ValueError")
    assert said == ["trace 1"]
    log.clear()
    log.say("inference", "trace 3", "ValueError")
    assert said == ["trace 1", "trace 3"]
