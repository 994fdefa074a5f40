"""The fused kernel's output and all its gradients, and that nothing leaks.

Without a GPU Triton's interpreter runs the kernels (see tests/conftest.py), with one they are
compiled.  The interpreter takes some 50 ms for each window and head, so that maps here have few
windows.  The tests marked ``gpu`` are those that only a GPU can do, or that would take too long
without.
"""

import itertools

import pytest
import torch

from swin_tutorial.grid import WindowGrid
from swin_tutorial.reference import true_windows

pytest.importorskip("triton")
from fused_cases import (
    CASES,
    DEVICE,
    PRODUCT,
    SPECIAL,
    Case,
    assert_right,
    make_inputs,
    output_and_gradients,
    random_qkv,
)

from swin_tutorial.backends import fused
from swin_tutorial.backends.fused import ops


@pytest.mark.parametrize("case", CASES + SPECIAL, ids=str)
def test_output_and_every_gradient(case):
    assert_right(case)


def test_the_sample_covers_what_it_should():
    for pair in itertools.combinations(("version", "padding", "dtype", "head_dim"), 2):
        values = [[getattr(case, name, case.grid.padding) for name in pair] for case in CASES]
        sizes = {"version": 2, "padding": 2, "dtype": 3, "head_dim": 3}
        assert len(set(map(tuple, values))) == sizes[pair[0]] * sizes[pair[1]], pair
    grids = [case.grid for case in CASES]
    assert sum(grid.size[0] != grid.size[1] for grid in grids) > 17
    assert sum(grid.padded_size != grid.size for grid in grids) > 17
    assert sum(all(grid.effective_shift) for grid in grids) > 8
    assert sum(any(grid.effective_shift) for grid in grids) > 18
    assert sum(grid.num_windows == 4 for grid in grids) > 10
    assert sum(case.heads > 1 for case in CASES) > 4
    # Of each type and padding there are windows in which some, but not all, may attend.
    for dtype, padding in itertools.product(fused.DTYPES, ("mask", "attend")):
        masks = [
            case.grid.mask()
            for case in CASES
            if (case.dtype, case.grid.padding[0]) == (dtype, padding)
        ]
        assert sum(not mask.all() for mask in masks) > 2


@pytest.fixture(scope="module")
def leaks():
    """A map, its true windows, and one token of each."""
    geometry = (4, 5), (3, 4), (1, 2)
    windows = true_windows(*geometry)
    return WindowGrid(*geometry), windows, [(rows[0], columns[-1]) for rows, columns in windows]


def tokens_of(window, grid):
    """Return where a true window's tokens are, as a map of booleans."""
    rows, columns = window
    inside = torch.zeros(grid.size, dtype=torch.bool)
    inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return inside


def test_nothing_leaks_between_regions(leaks):
    """Change one token of each copy of a map: exactly the tokens of its true window notice."""
    grid, windows, tokens = leaks
    qkv = random_qkv(grid).repeat(len(tokens) + 1, 1, 1, 1)
    for copy, (row, column) in enumerate(tokens):
        qkv[copy, row, column] += 1.0
    out = fused.attend(qkv, torch.randn(1, 12, 12, device=DEVICE), grid)
    for copy, window in enumerate(windows):
        assert torch.equal((out[copy] != out[-1]).any(-1).cpu(), tokens_of(window, grid))


def test_no_gradient_leaks_between_regions(leaks):
    """Pull at one token of each copy of a map: exactly the tokens of its true window are moved."""
    grid, windows, tokens = leaks
    qkv = random_qkv(grid).repeat(len(tokens), 1, 1, 1).requires_grad_()
    out = fused.attend(qkv, torch.zeros(1, 12, 12, device=DEVICE), grid)
    sum(
        out[copy, row, column].square().sum() for copy, (row, column) in enumerate(tokens)
    ).backward()
    for copy, window in enumerate(windows):
        assert torch.equal((qkv.grad[copy] != 0).any(-1).cpu(), tokens_of(window, grid))


def test_the_same_bits_every_time_and_for_any_number_of_programs(monkeypatch):
    case = Case(WindowGrid((5, 7), (4, 3), (2, 1), "attend"), torch.float32, 16, 2, 1)
    *inputs, grid = *make_inputs(case), case.grid
    to_out = torch.randn(1, 5, 7, 16, device=DEVICE)
    once, again = (output_and_gradients(fused.attend, [*inputs, grid], to_out) for _ in range(2))
    assert all(map(torch.equal, once, again))
    # How many programs share the windows changes the order of the sums, and nothing else.
    monkeypatch.setattr(ops, "num_shares", lambda device, programs, windows: 2)
    shared = output_and_gradients(fused.attend, [*inputs, grid], to_out)
    assert torch.equal(shared[0], once[0])
    assert torch.equal(shared[1], once[1])
    torch.testing.assert_close(shared, once, rtol=1e-4, atol=1e-4)


def test_strides_of_the_inputs_do_not_matter():
    grid = WindowGrid((6, 4), (3, 3), 1)
    qkv, bias = random_qkv(grid, 32), torch.randn(2, 9, 9, device=DEVICE)
    expected = fused.attend(qkv, bias, grid)
    strided = qkv.transpose(1, 2).contiguous().transpose(1, 2)
    assert not strided.is_contiguous()
    heads_last = bias.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(fused.attend(strided, heads_last, grid), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
def test_v2_queries_and_keys_of_zeros_have_no_gradient(dtype):
    """As those of padded tokens: a slope of 1e12 would overflow in half precision."""
    case = Case(WindowGrid((5, 7), (4, 3), (2, 1), "attend"), dtype, 16, 2, 1)
    inputs = make_inputs(case)
    with torch.no_grad():
        inputs[0][:, 2, 3, :32] = 0
        inputs[2][16:32] = 0
    to_out = torch.randn(1, 5, 7, 16, device=DEVICE)
    out, to_qkv, _, to_pad, to_scale = output_and_gradients(
        fused.attend, [*inputs, case.grid], to_out
    )
    assert (to_qkv[:, 2, 3, :32] == 0).all()
    assert (to_pad[16:32] == 0).all()
    assert (to_qkv[:, 2, 4] != 0).all()
    assert all(one.isfinite().all() for one in (out, to_qkv, to_pad, to_scale))


def test_a_batch_without_images():
    grid = WindowGrid((5, 7), (4, 3), (2, 1), "attend")
    qkv, bias = random_qkv(grid, batch=0), torch.zeros(1, 12, 12, device=DEVICE)
    qkv.requires_grad_(), bias.requires_grad_()
    out = fused.attend(qkv, bias, grid)
    assert out.shape == (0, 5, 7, 16)
    to_qkv, to_bias = torch.autograd.grad(out.sum(), (qkv, bias))
    assert to_qkv.shape == qkv.shape
    assert (to_bias == 0).all()


def attend(grid, qkv=None, **options):
    tokens, qkv = grid.tokens_per_window, random_qkv(grid, **options) if qkv is None else qkv
    return fused.attend(qkv, torch.zeros(1, tokens, tokens, device=DEVICE), grid)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda grid: attend(grid, channels=24), r"\(16, 32, 64\) channels, not 24: use"),
        (
            lambda grid: attend(grid, dtype=torch.float64),
            "not torch.float64: use backend='sdpa'",
        ),
        (lambda grid: attend(WindowGrid((5, 7), (17, 2))), r"up to 16 tokens on each axis, not"),
        (
            lambda grid: attend(WindowGrid(7, 4), torch.zeros(1, 7, 48, device=DEVICE)),
            r"maps of two axes, and \(4,\) is a window of 1: use backend='sdpa'",
        ),
        (
            lambda grid: attend(WindowGrid((4, 5, 7), 3), torch.zeros(1, 4, 5, 7, 48)),
            r"maps of two axes, and \(3, 3, 3\) is a window of 3: use backend='sdpa'",
        ),
        (
            lambda grid: attend(WindowGrid((7, 5), (3, 4)), random_qkv(grid)),
            r"for maps of 7x5 tokens, got shape \(1, 5, 7, 48\): make a WindowGrid of the map's",
        ),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, words):
    with pytest.raises(ValueError, match=words):
        call(WindowGrid((5, 7), (3, 4), 1))


# --- on a GPU ---


@pytest.mark.gpu
@pytest.mark.parametrize("case", PRODUCT, ids=str)
def test_full_product_on_a_gpu(case):
    assert_right(case)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(64, 56, 56, 3), (64, 7, 7, 24)], ids=str)
@pytest.mark.parametrize("shift", [0, 3])
def test_full_size_on_a_gpu(shape, shift):
    batch, height, width, heads = shape
    grid = WindowGrid((height, width), 7, shift)
    assert_right(Case(grid, torch.bfloat16, 32, 1, heads, batch))


@pytest.mark.gpu
def test_memory_holds_no_windows_and_no_mask():
    grid, channels = WindowGrid((112, 112), 7, 3), 96
    qkv = random_qkv(grid, channels, 8, torch.bfloat16)
    bias = torch.randn(3, 49, 49, device=DEVICE)
    fused.attend(qkv, bias, grid)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = fused.attend(qkv, bias, grid)
    assert torch.cuda.max_memory_allocated() - before <= out.nbytes + 2**20
