"""run_node in a process of its own, whose thread goes on after the node's end."""

import signal
import subprocess
import sys

PROGRAM = """
import sys, threading
from rclpy.node import Node
from depth_anything_ros.nodes.running import run_node

def start(_):
    threading.Thread(target=threading.Event().wait, args=(%s,), name="what is made").start()

sys.exit(run_node(lambda: Node("brief"), start=start, until=lambda _: True))
"""


def start(seconds):
    command = [sys.executable, "-c", PROGRAM % seconds]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_the_end_waits_for_a_thread_and_says_so():
    process = start(1)
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, said) == (0, "waiting for what is made; another Ctrl-C ends it\n")


def test_another_signal_ends_the_waiting():
    process = start(600)
    assert "another Ctrl-C ends it" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == -signal.SIGINT
    process.stderr.close()
