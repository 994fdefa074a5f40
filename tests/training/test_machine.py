"""The machine: devices that are there, sums that repeat, a compiler that works, random state."""

import contextlib

import pytest
import torch
import torch.nn.functional as F

from swin_tutorial.training.errors import TrainingError
from swin_tutorial.training.machine import (
    check_compiler,
    deterministic,
    named_memory_errors,
    own_random_state,
    usable_device,
)
from swin_tutorial.training.processes import processes


@pytest.fixture
def two_gpus(monkeypatch):
    """PyTorch as on a machine with two GPUs."""
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: gpu)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)


@pytest.mark.parametrize("name", ["tpu", "meta", "cuda:2", "cuda:x", "cpu:1", "CPU", "xpu", "mps"])
@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_is_not_there_is_told_with_those_that_are(name):
    message = f"device '{name}' is not on this machine: choose among cpu, cuda, cuda:0, cuda:1"
    with pytest.raises(ValueError, match=message):
        usable_device(name)


@pytest.mark.parametrize("name", ["cpu", "cuda", "cuda:0", "cuda:1"])
@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_is_there_is_returned(name):
    assert usable_device(name) == torch.device(name)


def test_without_a_gpu_there_is_the_cpu_alone(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    with pytest.raises(
        ValueError, match=r"device 'cuda' is not on this machine: choose among cpu$"
    ):
        usable_device("cuda")


@pytest.mark.usefixtures("two_gpus")
def test_a_process_too_many_for_the_gpus_is_told(monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="device 'cuda:2' is not"), processes("cuda"):
        pass


@pytest.mark.parametrize("size", [2**45, 2**62, 2**80])
def test_a_size_that_no_memory_holds_is_named_as_full_memory(size):
    for allocate in (torch.empty, lambda size: F.pad(torch.zeros(1, 1, 1), (0, size, 0, 2))):
        with pytest.raises(TrainingError, match="the memory is full"), named_memory_errors():
            allocate(size)


def test_sums_do_not_depend_on_the_threads_timing():
    draws = torch.Generator().manual_seed(0)
    index = torch.randint(0, 225, (20_000,), generator=draws)
    weight = torch.randn(20_000, 4, generator=draws)
    table = torch.ones(225, 4, requires_grad=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with deterministic(torch.device("cpu")):
            assert torch.are_deterministic_algorithms_enabled()
            # Without it, nearly every one of these is another.
            sums = [torch.autograd.grad((table[index] * weight).sum(), table) for _ in range(10)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(found, sums[0][0]) for (found,) in sums)
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(torch.device("meta")):  # as on a GPU: left as it is
        assert not torch.are_deterministic_algorithms_enabled()


def test_a_compiler_that_does_not_work_is_told(monkeypatch):
    def fail(model):
        raise RuntimeError("backend='inductor' raised:\nNo working C++ compiler found\n\nSet TORCH")

    monkeypatch.setattr(torch, "compile", fail)
    reason = r"\(backend='inductor' raised: No working C\+\+ compiler found\)"
    message = rf"nothing can be compiled here {reason}: install a compiler, .* use --no-it"
    with pytest.raises(ValueError, match=message):
        check_compiler(torch.device("cpu"), "--no-it")


def test_random_state_is_put_back_whatever_happens():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with contextlib.suppress(KeyError), own_random_state():
        torch.manual_seed(7)
        raise KeyError
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.gpu
def test_random_state_of_a_gpu_is_put_back():
    torch.manual_seed(1)
    expected = torch.rand(3, device="cuda")
    torch.manual_seed(1)
    with own_random_state(torch.device("cuda")):
        torch.manual_seed(7)
    assert torch.equal(torch.rand(3, device="cuda"), expected)
