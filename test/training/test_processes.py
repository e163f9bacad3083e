import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from depth_anything_ros.core.errors import ModelError, TrainingError
from depth_anything_ros.training.processes import Processes, join_processes


def test_a_single_process_needs_no_torchrun(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_processes("cpu") as alone:
        assert alone == Processes(0, 1, torch.device("cpu")) and alone.is_first
        assert alone.any_of(True) is True and alone.any_of(False) is False
        assert alone.mean_of([1.0, 2.0]) == [1.0, 2.0]
        assert not dist.is_initialized()


def _talk(rank, port, answers):
    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    with join_processes("cpu") as one:
        flags = [one.any_of(False), one.any_of(rank == 1), one.any_of(True)]
        means = one.mean_of([float(rank), 1 / 3])
        answers.put((rank, one.is_first, one.count, flags, means))
    assert not dist.is_initialized()


def test_two_processes_hear_of_each_other():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = mp.get_context("fork")  # torch is imported already
    answers = context.SimpleQueue()
    started = [context.Process(target=_talk, args=(rank, port, answers)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    found = sorted(answers.get() for _ in started)
    assert found == [
        (0, True, 2, [False, True, True], [0.5, 1 / 3]),
        (1, False, 2, [False, True, True], [0.5, 1 / 3]),
    ]


def test_a_device_that_is_not_there_or_cannot_be_shared(monkeypatch):
    with pytest.raises(ModelError, match="there is no device 'gpu'"), join_processes("gpu"):
        pass
    if torch.cuda.is_available():
        monkeypatch.setenv("WORLD_SIZE", "2")
        monkeypatch.setenv("RANK", "0")
        with (
            pytest.raises(TrainingError, match="cuda:0 is one device and torchrun started 2"),
            join_processes("cuda:0"),
        ):
            pass
