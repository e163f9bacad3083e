import subprocess
import sys

import pytest

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


@pytest.mark.skipif(sys.platform != "linux", reason="counts the page faults of Linux")
def test_a_worker_that_frees_its_arrays_gets_the_same_memory_again():
    def faults(how):
        command = [sys.executable, "-c", COUNT_FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 20 times 32 MB, in pages of 4 kB.
    if faults("default") < 10_000:
        pytest.skip("this C library keeps freed memory by itself")
    assert faults("keep") < 1_000
