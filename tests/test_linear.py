"""The fast linear layer is PyTorch's linear layer: output, gradients, activation, flop count."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from swin_tutorial import linear as module
from swin_tutorial.linear import linear


def arguments(dtype=torch.float32, bias=True):
    torch.manual_seed(0)
    x = torch.randn(3, 5, 7, dtype=dtype, requires_grad=True)
    weight = torch.randn(11, 7, dtype=dtype, requires_grad=True)
    return x, weight, torch.randn(11, dtype=dtype, requires_grad=True) if bias else None


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gelu", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_output_and_gradients_are_those_of_pytorch(bias, gelu, dtype):
    ours, theirs = arguments(dtype, bias), arguments(dtype, bias)
    out = linear(*ours, gelu=gelu)
    expected = F.linear(*theirs)
    expected = F.gelu(expected) if gelu else expected
    torch.testing.assert_close(out, expected)
    weight = torch.randn_like(expected)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    for one, other in zip(ours, theirs, strict=True):
        if one is not None:
            torch.testing.assert_close(one.grad, other.grad)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_only_what_needs_a_gradient_gets_one(frozen):
    inputs = list(arguments())
    inputs[frozen] = inputs[frozen].detach()
    linear(*inputs).sum().backward()
    assert [one.grad is None for one in inputs] == [i == frozen for i in range(3)]


@pytest.mark.parametrize("gelu", [True, False])
def test_inference_gives_the_same(gelu):
    inputs = arguments()
    with torch.no_grad():
        torch.testing.assert_close(linear(*inputs, gelu=gelu), linear(*inputs, gelu=gelu).detach())
    expected = linear(*inputs, gelu=gelu)
    with torch.inference_mode():
        torch.testing.assert_close(linear(*inputs, gelu=gelu), expected.detach())


def test_every_second_gradient_exists_too():
    x, weight, bias = arguments()
    (first,) = torch.autograd.grad(linear(x, weight, bias).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), weight)
    (first,) = torch.autograd.grad(F.linear(x, weight, bias).square().sum(), x, create_graph=True)
    torch.testing.assert_close(second, torch.autograd.grad(first.sum(), weight)[0])


def test_flops_are_counted():
    inputs = arguments()
    with FlopCounterMode(display=False) as counter:
        linear(*inputs)
    assert counter.get_total_flops() == 2 * 15 * 7 * 11


def test_the_fast_path_is_the_one_taken(monkeypatch):
    """On a CPU with oneDNN: without this the tests above could pass on PyTorch's own linear."""
    if not module._HAS_ONEDNN:
        pytest.skip("this PyTorch has no oneDNN")
    monkeypatch.setattr(module.F, "linear", None)
    linear(*arguments())
    with torch.autocast("cpu", dtype=torch.bfloat16), pytest.raises(TypeError):
        linear(*arguments())
