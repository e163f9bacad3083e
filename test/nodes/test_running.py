"""What a main does, in a process of its own."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from rclpy.node import Node
from depth_anything_ros.nodes.running import run_node

def start(_):
    threading.Thread(target=threading.Event().wait, args=(%s,), name="what is made").start()

sys.exit(run_node(lambda: Node("brief"), start=start, until=lambda _: True))
"""
COUNT_FAULTS = """
import resource, sys, threading
import numpy as np
from depth_anything_ros.nodes.running import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def work():
    for i in range(23):
        if i == 3:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        arrays = [np.ones(1_000_000) for _ in range(4)]
        del arrays
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def start(seconds):
    command = [sys.executable, "-c", PROGRAM % seconds]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_the_end_waits_for_a_thread_and_says_so():
    process = start(1)
    said = process.communicate(timeout=300)[1]
    assert (process.returncode, said) == (0, "waiting for what is made; another Ctrl-C ends it\n")


def test_another_signal_ends_the_waiting():
    process = start(600)
    assert "another Ctrl-C ends it" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=300) == -signal.SIGINT
    process.stderr.close()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of Linux")
def test_a_worker_that_frees_its_arrays_gets_the_same_memory_again():
    def faults(how):
        command = [sys.executable, "-c", COUNT_FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 20 times 32 MB, in pages of 4 kB.
    if faults("default") < 10_000:
        pytest.skip("this C library keeps freed memory by itself")
    assert faults("keep") < 1_000
