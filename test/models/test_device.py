import pytest
import torch
from refusals import refused

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models.device import (
    choose_device,
    choose_precision,
    to_device,
    to_host,
)

CPU = torch.device("cpu")
needs_no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


def test_cpu_is_taken_by_name():
    assert choose_device("cpu") == CPU


@needs_no_cuda
@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an MPS device")
def test_auto_without_an_accelerator_is_the_cpu():
    assert choose_device("auto") == CPU


@needs_no_cuda
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none(name):
    with pytest.raises(ModelError, match=f"device {name} is not available: 0 CUDA dev.*use cpu"):
        choose_device(name)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is an MPS device")
def test_mps_where_there_is_none():
    with pytest.raises(ModelError, match="device mps is not available here"):
        choose_device("mps")


@pytest.mark.parametrize("name", ["", "gpu", "cpu:1", "cuda:x", "cuda:-1", "CUDA"])
def test_unknown_devices(name):
    with refused(ModelError, "device", f"no device {name!r}; use auto, cpu, cuda"):
        choose_device(name)


def test_auto_precision_on_the_cpu_is_what_it_computes_in_hardware():
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    if not flags:
        pytest.skip("this torch does not say what the CPU can do")
    native = flags.get("avx512_bf16") or flags.get("amx_tile")

    assert choose_precision("auto", CPU) == ("bf16" if native else "fp32")


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_a_named_precision_is_kept(name):
    assert choose_precision(name, CPU) == name


def test_unknown_precision():
    with pytest.raises(ModelError, match="no precision 'int8'; use auto, fp32, bf16, fp16"):
        choose_precision("int8", CPU)


def test_fp16_on_the_cpu_is_refused():
    with refused(ModelError, "precision", "fp16 is slower than fp32 on the CPU"):
        choose_precision("fp16", CPU)


def test_on_the_cpu_nothing_is_copied():
    values = torch.arange(6.0).view(2, 3)

    assert to_device(values, CPU).data_ptr() == values.data_ptr() == to_host(values).data_ptr()


@pytest.mark.cuda
def test_transfers_of_cuda_go_through_pinned_memory():
    values = torch.arange(6, dtype=torch.uint8).view(2, 3)
    there = to_device(values, torch.device("cuda"))
    back = to_host(there)

    assert there.device.type == "cuda" and back.is_pinned()
    assert torch.equal(back, values)
