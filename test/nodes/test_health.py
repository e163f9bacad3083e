import time

from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.nodes.health import HealthMonitor, health_values, resident_memory_mb


def test_counts_rates_and_latencies():
    monitor = HealthMonitor()
    assert monitor.look().input_age_s is None and not monitor.is_alive(60.0)
    for _ in range(4):
        since = monitor.received()
        time.sleep(0.01)
        monitor.answered(since)
    monitor.received()
    monitor.dropped("newer_frame")
    health = monitor.look()
    assert (health.received, health.answered) == (5, 4)
    assert monitor.is_alive(60.0) and not monitor.is_alive(0.0)
    assert health.drops == health.new_drops == {"newer_frame": 1}
    assert 10 <= health.latency_ms[0] <= health.latency_ms[1] < 1000
    assert 0 < health.rate_hz <= 100
    assert monitor.look().new_drops == {}
    values = health_values(health)
    assert values["dropped: newer_frame"] == "1" and values["frames in"] == "5"
    monitor.restart()
    again = monitor.look()
    assert again.input_age_s is None and again.latency_ms == (0.0, 0.0) and again.received == 5
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
    shown = health_values(health)
    assert shown["stage publish p50 (ms)"] == shown["stage publish p95 (ms)"] == "3.00"
    monitor.restart()
    assert monitor.look().stages_ms == {}
