"""``depth_anything benchmark``: what is there to be seen, not how fast it is."""

import json
import math
import mmap

import numpy as np
import pytest

from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.tools.model_benchmark import relative_difference
from depth_anything_ros.tools.node_benchmark import count
from depth_anything_ros.tools.timing import PeakMemory, in_turn, markdown


def test_ways_take_turns_and_tables_line_up():
    called = []
    times = in_turn({name: lambda name=name: called.append(name) for name in "ab"}, 2, warm_up=1)
    assert called == list("ababab") and {name: len(ms) for name, ms in times.items()} == {
        "a": 2,
        "b": 2,
    }
    assert markdown(("what", "ms"), [("1x2", "1.5"), ("three", "20.0")]) == [
        "| what  |   ms |",
        "| ----- | ---: |",
        "| 1x2   |  1.5 |",
        "| three | 20.0 |",
    ]


def test_peak_memory_is_that_of_the_block():
    # Fresh pages: numpy may be given memory that an earlier test freed, which counts as held.
    held = np.frombuffer(mmap.mmap(-1, 40_000_000), np.uint8)
    with PeakMemory() as memory:
        held[:] = 1
    assert math.isnan(memory.mb) or 35 < memory.mb < 100
    assert held.all()


def test_a_difference_is_a_share_of_the_range():
    exact = np.array([[1.0, 5.0], [np.inf, 3.0]], np.float32)
    assert relative_difference(exact, exact) == (0.0, 0.0)
    other = np.array([[1.4, 5.0], [np.inf, 3.0]], np.float32)
    assert relative_difference(other, exact) == pytest.approx((0.1, 0.025))
    assert relative_difference(np.where(exact > 4, 1, exact), exact)[0] == 1.0  # finite elsewhere


def test_engines_beside_each_other(tmp_path, command):
    output = tmp_path / "models.json"
    words = ["--models", "tiny,test_relative", "--sizes", "70", "--runs", "2"]
    words += ["--engines", "torch,tensorrt", "--precisions", "fp32", "--device", "cpu"]
    said = command.says("benchmark", "model", *words, "--output", output)
    content = json.loads(output.read_text())
    assert content["machine"]["cores"] >= 1 and "torch" in content["machine"]["versions"]
    rows = {(row["model"], row["way"]): row for row in content["rows"]}
    assert len(rows) == len(content["rows"]) == 2 * 2
    sizes = {(row["model"], row["height"], row["width"]) for row in rows.values()}
    assert sizes == {("tiny", 64, 96), ("test_relative", 70, 98)}
    ours = rows["tiny", "torch fp32"]
    assert ours["ratio"] == 1 and ours["runs"] == 2 and ours["gflop"] > 0
    assert ours["max_difference"] < 1e-5 and ours["median_ms"] <= ours["p95_ms"]
    assert rows["tiny", "tensorrt fp32"]["median_ms"] is None
    assert "tensorrt" in rows["tiny", "tensorrt fp32"]["note"]
    assert "of torch fp32's speed" in said
    assert "test_relative 70x98, torch fp32: test_relative" in said


@pytest.mark.slow
def test_the_fastest_engine_is_chosen_for_auto(command, monkeypatch, tmp_path):
    monkeypatch.setenv("DEPTH_ANYTHING_CACHE", str(tmp_path))
    words = ("--models", "test_relative", "--weights", "random", "--sizes", "56", "--device", "cpu")
    said = command.says("benchmark", "model", *words, "--choose").splitlines()
    assert "test_relative, input size 56" in said
    times = [line.split() for line in said if line.endswith(" ms")]
    assert ["torch", "fp32:"] in [words[:2] for words in times]
    assert [float(words[2]) for words in times] == sorted(float(words[2]) for words in times)
    assert said[-1] == f"  engine: auto takes {times[0][0]} from now on"
    chosen = load_estimator("test_relative", "random", "cpu", "auto", "auto", 56)
    assert chosen.engine.name == times[0][0]


def test_pictures_are_counted_after_the_warm_up():
    begin = 10**18
    published = [begin + i * 100_000_000 for i in range(60)]  # at 10 Hz
    delay = 20_000_000
    depth = [(stamp, stamp + delay) for stamp in published if stamp % 1_000_000_000]
    counted = count(published, {"depth/image_rect": depth}, 3.0, 2.0)
    assert counted.published == 20 and counted.missing("depth/image_rect") == 2
    assert set(counted.latency_ms["depth/image_rect"]) == {20.0}


@pytest.mark.slow
def test_the_node_between_a_camera_and_a_listener(tmp_path, command):
    output = tmp_path / "nodes.json"
    words = ["--sizes", "160x120", "--input-sizes", "56", "--transports", "profile"]
    words += ["--rate", "5", "--warm-up", "3", "--seconds", "3", "--transport-rounds", "1"]
    words += ["--device", "cpu", "--engine", "torch"]
    said = command.says("benchmark", "node", *words, "--output", output)
    transport, _, node = json.loads(output.read_text())["rows"]
    assert transport["transport"] == "profile, best effort"
    assert 0 < transport["published"] <= 61 and transport["latency_ms"]["p50"] > 0
    assert 0 < node["published"] <= 16 and node["transport"] == "profile"
    assert 0 < node["answered"]["depth/image_rect"] <= 16 and node["answered"]["points"] > 0
    assert node["cpu_cores"] > 0 and node["memory_mb"] > 50
    assert float(node["diagnostics"]["latency p50 (ms)"]) > 0
    stages = next(line for line in said.splitlines() if "stages, p50 (ms)" in line)
    assert {"transport", "wait", "decode", "net", "cloud", "publish", "in the node but net"} <= {
        cell.strip() for cell in stages.split("|")
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model", "--engines", "torche"), "no engine 'torche'"),
        (("model", "--sizes", "a"), "--sizes is 'a'"),
        (("model", "--runs", "0"), "--runs must be 1 or more"),
        (("node", "--transports", "tcp"), "no transport 'tcp'"),
        (("node", "--sizes", "640"), "'640' is no size"),
    ],
)
def test_what_cannot_be_measured_is_one_line(words, said, command):
    assert said in command.refuses("benchmark", *words)
