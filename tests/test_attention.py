"""Window attention: its two backends, its bias, its masks in every precision."""

import math

import pytest
import torch

from swin_tutorial.attention import WindowAttention, relative_position_index
from swin_tutorial.grid import WindowGrid

# Those that work on windows and on any device; test_fused.py has the others.
BACKENDS = ("eager", "sdpa")


def modules(window_size=(3, 2), channels=12, heads=3, **options):
    """One module per backend, all with the same, distinct weights."""
    torch.manual_seed(0)
    state = None
    made = {}
    for backend in BACKENDS:
        module = WindowAttention(channels, window_size, heads, backend=backend, **options).double()
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        state = state or module.state_dict()
        module.load_state_dict(state)
        made[backend] = module
    return made


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("shift", [(0, 0), (1, 1), (2, 0)])
def test_backends_give_the_same_output_and_gradients(shift, qkv_bias):
    grid = WindowGrid(7, 5, (3, 2), shift)
    x = torch.randn(2, 7, 5, 12, dtype=torch.float64)
    results = []
    for module in modules(qkv_bias=qkv_bias).values():
        one = x.clone().requires_grad_()
        out = grid.merge(module(grid.partition(one), grid.mask()))
        out.square().sum().backward()
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
        results.append((out, one.grad, gradients))
    for eager, sdpa in zip(*results, strict=True):
        torch.testing.assert_close(sdpa, eager, rtol=1e-9, atol=1e-9)


def test_relative_position_index_counts_offsets_row_by_row():
    index = relative_position_index((2, 3))
    assert index.shape == (6, 6)
    assert index.max() + 1 == 3 * 5
    for query in range(6):
        for key in range(6):
            dy, dx = query // 3 - key // 3, query % 3 - key % 3
            assert index[query, key] == (dy + 1) * 5 + dx + 2


def test_relative_position_bias_depends_on_the_offset_alone():
    module = modules()["eager"]
    bias = module.relative_position_bias()
    assert bias.shape == (3, 6, 6)
    # Query one row below its key, in the same column: (1, 0) wherever in the window.
    assert torch.equal(bias[:, 2, 0], bias[:, 5, 3])
    assert torch.equal(bias[:, 2, 0], module.relative_position_bias_table[3 * 3 + 1])
    assert not torch.equal(bias[:, 2, 0], bias[:, 0, 2])


def test_attention_weights_are_returned_masked_and_normalised():
    grid = WindowGrid(7, 5, (3, 2), 1)
    mask = grid.mask()
    windows = grid.partition(torch.randn(2, 7, 5, 12, dtype=torch.float64))
    for module in modules().values():
        out, weights = module(windows, mask, return_attention=True)
        torch.testing.assert_close(out, module(windows, mask))
        assert weights.shape == (2, grid.num_windows, 3, 6, 6)
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
        allowed = mask[None, :, None].expand_as(weights)
        assert (weights[~allowed] == 0).all()
        assert (weights[allowed] > 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 60.0])
def test_half_precision_gives_no_nan(backend, dtype, size):
    """Large scores, masked windows, windows of padding alone: everything stays finite."""
    grid = WindowGrid(8, 9, 7, 3)
    torch.manual_seed(0)
    module = WindowAttention(32, 7, 2, backend=backend).to(dtype)
    x = (torch.randn(2, 8, 9, 32) * size).to(dtype).requires_grad_()
    out = grid.merge(module(grid.partition(x), grid.mask()))
    out.float().square().mean().backward()
    assert out.dtype == dtype
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    if size == 1.0:
        exact = module.double()
        expected = grid.merge(exact(grid.partition(x.detach().double()), grid.mask()))
        error = (out.double() - expected).norm() / expected.norm()
        assert error < {torch.float16: 5e-3, torch.bfloat16: 2e-2}[dtype]


@pytest.mark.parametrize("backend", BACKENDS)
def test_autocast_keeps_to_half_precision(backend):
    grid = WindowGrid(8, 9, 7, 3)
    torch.manual_seed(0)
    module = WindowAttention(32, 7, 2, backend=backend)
    x = torch.randn(1, 8, 9, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module(grid.partition(x), grid.mask())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(
        out.float(), module(grid.partition(x), grid.mask()), rtol=0.05, atol=0.05
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_acts_while_training_only(backend):
    module = WindowAttention(
        32, 4, 2, attention_dropout=0.5, projection_dropout=0.25, backend=backend
    )
    windows = torch.randn(4, 8, 16, 32)
    module.eval()
    assert torch.equal(module(windows), module(windows))
    module.train()
    torch.manual_seed(0)
    out = module(windows)
    assert math.isclose((out == 0).float().mean(), 0.25, abs_tol=0.03)
    module.projection_dropout.p = 0.0
    assert not torch.equal(module(windows), module(windows))


def test_eager_and_fused_dropout_agree_on_average():
    torch.manual_seed(0)
    means = []
    for backend in BACKENDS:
        module = WindowAttention(8, 2, 2, attention_dropout=0.5, backend=backend)
        torch.manual_seed(1)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter)
        windows = torch.randn(1, 1, 4, 8)
        with torch.no_grad():
            means.append(module.train()(windows.expand(1, 20000, 4, 8)).mean(1))
            means.append(module.eval()(windows)[:, 0])
    for mean in means[1:]:
        torch.testing.assert_close(mean, means[0], rtol=0.05, atol=0.1)


def test_parameters_have_the_official_names():
    assert set(WindowAttention(8, 7, 2).state_dict()) == {
        "relative_position_bias_table",
        "qkv.weight",
        "qkv.bias",
        "proj.weight",
        "proj.bias",
    }


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: WindowAttention(10, 4, 3), ValueError, "channels=10 .* heads=3"),
        (lambda: WindowAttention(10, 0, 2), ValueError, "window_size must be at least 1"),
        (lambda: WindowAttention(10, 4, 0), ValueError, r"\(channels, heads\) must be at least 1"),
        (lambda: WindowAttention(10.0, 4, 2), TypeError, "10.0"),
        (lambda: WindowAttention(8, 4, 2, backend="fast"), ValueError, "one of .* got 'fast'"),
        (lambda: WindowAttention(8, 4, 2, attention_dropout=1.0), ValueError, "attention_dropout"),
        (lambda: WindowAttention(8, 4, 2, projection_dropout=-1), ValueError, "projection_dropout"),
        (
            lambda: WindowAttention(8, 4, 2)(torch.zeros(1, 4, 15, 8)),
            ValueError,
            r"\(b, n, 16, 8\)",
        ),
        (lambda: WindowAttention(8, 4, 2)(torch.zeros(4, 16, 8)), ValueError, r"got \(4, 16, 8\)"),
        (
            lambda: WindowAttention(8, 4, 2)(torch.zeros(1, 4, 16, 8), torch.ones(3, 16, 16) > 0),
            ValueError,
            r"mask of shape \(4, 16, 16\).*got \(3, 16, 16\): take it from the WindowGrid",
        ),
        (
            lambda: WindowAttention(8, 4, 2)(torch.zeros(1, 4, 16, 8), torch.zeros(4, 16, 16)),
            TypeError,
            "boolean",
        ),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
