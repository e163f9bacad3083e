"""What says that there is no memory, in whatever class and words."""

import errno
import resource
import subprocess
import sys

import pytest

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.core.memory import is_short_of_memory


def caused(error, cause):
    try:
        raise error from cause
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        ImportError("libfoo.so: cannot allocate memory in static TLS block"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        caused(ModelError("engine openvino is not installed"), MemoryError()),
    ],
)
def test_short_of_memory(error):
    assert is_short_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("No module named 'openvino'"),
        OSError(errno.ENOENT, "No such file"),
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
        ModelError("out of memory on cuda:0 at input size 518"),  # of a device: not this machine
        caused(ModelError("no model"), KeyError("x")),
    ],
)
def test_not_short_of_memory(error):
    assert not is_short_of_memory(error)


def test_an_import_without_room_is_short_of_memory_whatever_it_says():
    program = (
        "import resource, pathlib\n"
        "from depth_anything_ros.core.memory import is_short_of_memory\n"
        "error = ImportError(\"cannot import name 'a' from 'torch._dynamo'\")\n"
        "assert not is_short_of_memory(error)\n"
        "pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])\n"
        "size = pages * resource.getpagesize() + 1_000_000\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
        "assert is_short_of_memory(error)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
