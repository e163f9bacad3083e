import time

from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.nodes.health import (
    FaultLog,
    HealthMonitor,
    resident_memory_mb,
)


def test_counts_rates_and_latencies():
    monitor = HealthMonitor()
    assert monitor.look().input_age_s is None and not monitor.is_alive(60.0)
    for _ in range(4):
        since = monitor.received()
        time.sleep(0.01)
        monitor.answered(since)
    monitor.received()
    monitor.dropped("newer_frame")
    monitor.missed(2)
    health = monitor.look()
    assert (health.received, health.answered) == (7, 4)
    assert monitor.is_alive(60.0) and not monitor.is_alive(0.0)
    assert health.drops == health.new_drops == {"newer_frame": 1, "missed": 2}
    assert 10 <= health.latency_ms[0] <= health.latency_ms[1] < 1000
    assert 0 < health.rate_hz <= 100
    assert monitor.look().new_drops == {}
    values = health.values()
    assert values["dropped: newer_frame"] == "1" and values["frames in"] == "7"
    monitor.restart()
    again = monitor.look()
    assert again.input_age_s is None and again.latency_ms == (0.0, 0.0) and again.received == 7
    assert 10 < resident_memory_mb() < 100_000


def test_stages_of_a_picture_add_up_and_are_shown():
    monitor, times = HealthMonitor(), StageTimes()
    times.add("publish", 0.001)
    times.add("publish", 0.002)
    with times.of("cloud"):
        time.sleep(0.01)
    monitor.answered(monitor.received(), times)
    health = monitor.look()
    assert health.stages_ms["publish"] == (3.0, 3.0) and health.stages_ms["cloud"][0] >= 10
    shown = health.values()
    assert shown["stage publish p50 (ms)"] == shown["stage publish p95 (ms)"] == "3.00"
    monitor.restart()
    assert monitor.look().stages_ms == {}


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
