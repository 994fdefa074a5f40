"""The fused kernel: its index arithmetic, its output and all its gradients, its place in PyTorch.

Without a GPU Triton's interpreter runs the kernels (see conftest), with one they are compiled.  The
tests marked ``gpu`` are those that only a GPU can do, or that would take too long without.
"""

import itertools
import random
import subprocess
import sys
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from geometries import sample

from swin_tutorial import attention as attention_module
from swin_tutorial.attention import WindowAttention, WindowAttentionV2
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import region_ids
from swin_tutorial.model import SwinConfig, SwinTransformer
from swin_tutorial.reference import true_windows

triton = pytest.importorskip("triton")
fused = attention_module.fused
tl = triton.language
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}


@pytest.fixture(autouse=True)
def poison():
    """Fill all memory that is allocated and not written with NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.empty(3, device=DEVICE).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


# --- where a window's tokens stand ---


@triton.jit
def _write_places(
    places, geometry, windows, WINDOW: tl.constexpr, LANES: tl.constexpr, MASK_PADDING: tl.constexpr
):
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    lane = tl.arange(0, LANES)
    for window in range(0, windows):
        row, column, is_real, region = fused.token_places(
            window, lane, geometry, WINDOW, MASK_PADDING
        )
        divided = fused.is_divided(window, geometry, WINDOW, MASK_PADDING)
        to = places + (window * TOKENS + lane) * 5
        there = lane < TOKENS
        tl.store(to, row, mask=there)
        tl.store(to + 1, column, mask=there)
        tl.store(to + 2, is_real.to(tl.int32), mask=there)
        tl.store(to + 3, region, mask=there)
        tl.store(to + 4, tl.zeros_like(region) + divided.to(tl.int32), mask=there)


def kernel_places(grid):
    """Return (row, column, is real, region, is divided) of every token of every window."""
    places = torch.full((grid.num_windows, grid.tokens_per_window, 5), -1, dtype=torch.int32)
    places = places.to(DEVICE)
    geometry = (grid.height, grid.width, *grid.used_shift)
    lanes = triton.next_power_of_2(grid.tokens_per_window)
    masked = grid.padding == "mask"
    _write_places[(1,)](places, geometry, grid.num_windows, grid.window_size, lanes, masked)
    return places.cpu().unbind(-1)


GEOMETRIES = [*sample(24, seed=10), (56, 56, (7, 7), (3, 3)), (25, 34, (8, 16), (7, 0))]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_index_arithmetic_is_that_of_window_grid(geometry, padding):
    grid = WindowGrid(*geometry, padding)
    row, column, is_real, region, divided = kernel_places(grid)
    height, width = grid.height, grid.width

    # A map that holds each token's own number, from 1, so that padding is 0.
    numbers = torch.arange(1, height * width + 1).reshape(1, height, width, 1)
    expected = grid.partition(numbers)[0, :, :, 0]
    assert torch.equal(is_real == 1, expected > 0)
    assert torch.equal(torch.where(is_real == 1, row * width + column + 1, 0), expected.int())

    ids = region_ids(*geometry, padding)[None, :, :, None]
    unshifted = WindowGrid(*grid.padded_size, grid.window_size)
    expected = unshifted.partition(ids)[0, :, :, 0]
    assert torch.equal(region, expected)
    several = (expected != expected[:, :1]).any(dim=1)
    assert (divided[several] == 1).all()
    # What is masked without need is padding alone.
    needless = (divided[:, 0] == 1) & ~several
    assert (is_real[needless] == 0).all()
    assert padding == "mask" or not needless.any()


# --- output and gradients, against the steps written out in double precision ---


class Case(NamedTuple):
    height: int
    width: int
    window_size: tuple[int, int]
    shift_size: tuple[int, int]
    padding: str
    dtype: torch.dtype
    head_size: int
    version: int
    heads: int = 2
    batch: int = 1

    @property
    def grid(self):
        return WindowGrid(*self[:5])


def cases(count, seed):
    """Return distinct cases that go through windows, types, head sizes, versions and paddings."""
    rng = random.Random(seed)
    turns = itertools.product(
        (1, 2), ("mask", "attend"), (32, 16, 64), (torch.float32, torch.float16, torch.bfloat16)
    )
    found = {}
    for turn, windows in zip(itertools.cycle(turns), itertools.cycle(WINDOWS), strict=False):
        if len(found) == count:
            return list(found)
        shift = tuple(rng.choice((0, m // 2, rng.randrange(m))) for m in windows)
        size = tuple(rng.randint(m // 2 + 1, 2 * m + 1) for m in windows)
        version, padding, head_size, dtype = turn
        heads = 1 if windows[0] * windows[1] > 64 else rng.choice((1, 2, 3))
        case = Case(*size, windows, shift, padding, dtype, head_size, version, heads)
        found[case] = None


# Odd in number, so that in turn each meets every type, head size, version and padding.
WINDOWS = (
    (7, 7), (2, 3), (4, 4), (8, 8), (3, 5), (16, 16), (5, 2), (7, 7), (6, 7), (2, 2),
    (9, 9), (7, 7), (1, 6), (8, 8), (12, 12), (3, 3), (7, 4), (13, 5), (4, 2),
)  # fmt: skip
BATCHES = [
    Case(9, 12, (4, 3), (2, 1), "mask", torch.bfloat16, 32, 1, 3, 3),
    Case(8, 15, (7, 7), (3, 3), "mask", torch.float16, 32, 1, 3, 2),
    Case(8, 15, (7, 7), (3, 3), "attend", torch.float32, 32, 2, 3, 2),
    Case(11, 6, (4, 4), (2, 2), "attend", torch.bfloat16, 64, 2, 2, 2),
    Case(14, 21, (7, 7), (3, 3), "mask", torch.float32, 32, 1, 1, 1),
]


def make_inputs(case):
    """Return qkv, bias, the padding's value and logit_scale (None for V1), on the device."""
    random = torch.Generator().manual_seed(hash(case[:4]) % 2**31)

    def normal(*shape, dtype=torch.float32):
        x = torch.randn(shape, generator=random).to(dtype).to(DEVICE)
        return x.requires_grad_()

    tokens, channels = case.grid.tokens_per_window, case.heads * case.head_size
    qkv = normal(case.batch, case.height, case.width, 3 * channels, dtype=case.dtype)
    logit_scale = None
    if case.version == 2:
        # One scale lies above the largest that is allowed.
        logit_scale = torch.linspace(1.0, 4.7, case.heads, device=DEVICE).requires_grad_()
    pad_value = normal(3 * channels) if case.padding == "attend" else None
    return [qkv, normal(case.heads, tokens, tokens), pad_value, logit_scale]


def steps_written_out(qkv, bias, grid, pad_value, logit_scale):
    """Window attention with the map padded, rolled, cut and glued: what ``eager`` does.

    ``logit_scale`` is given for each score on its own.
    """
    if pad_value is not None:
        (height, width), b = grid.padded_size, len(qkv)
        padded = pad_value.expand(b, height, width, -1).clone()
        padded[:, : grid.height, : grid.width] = qkv
        whole = WindowGrid(height, width, grid.window_size, grid.shift_size)
        out = steps_written_out(padded, bias, whole, None, logit_scale)
        return out[:, : grid.height, : grid.width]
    q, k, v = rearrange(
        grid.partition(qkv),
        "b n t (three heads d) -> three b n heads t d",
        three=3,
        heads=len(bias),
    )
    if logit_scale is None:
        scores = q @ k.mT / q.shape[-1] ** 0.5
    else:
        scale = logit_scale.exp().clamp(max=100.0)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).mT * scale
    mask = grid.mask(qkv.device)
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None], float("-inf"))
    out = (scores + bias).softmax(dim=-1) @ v
    return grid.merge(rearrange(out, "b n heads t d -> b n t (heads d)"))


def output_and_gradients(function, inputs, to_out):
    qkv, bias, pad_value, logit_scale, grid = inputs
    out = function(qkv, bias, grid, pad_value, logit_scale)
    wanted = [one for one in inputs[:4] if one is not None]
    return [out.detach(), *torch.autograd.grad(out, wanted, to_out.to(out.dtype))]


def assert_right(case):
    inputs, grid = make_inputs(case), case.grid
    channels, tokens = case.heads * case.head_size, grid.tokens_per_window
    exact = [None if one is None else one.detach().double() for one in inputs]
    if case.version == 2:
        shape = (case.batch, grid.num_windows, case.heads, tokens, tokens)
        exact[3] = exact[3][:, None, None].expand(shape).clone()
    exact = [None if one is None else one.requires_grad_() for one in exact]
    shape = (case.batch, case.height, case.width, channels)
    to_out = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(case.dtype)
    to_out = to_out.to(DEVICE)
    found = output_and_gradients(fused.window_attention, [*inputs, grid], to_out)
    expected = output_and_gradients(steps_written_out, [*exact, grid], to_out)
    if case.padding == "attend":
        # A padded query has no part in the output.
        assert (found[3][:channels] == 0).all()
        if case.version == 2:  # a padded key of V2 is zero by construction and has no gradient
            found[3], expected[3] = found[3][2 * channels :], expected[3][2 * channels :]
    names = ["out", "qkv", "bias", "pad_value", "logit_scale"]
    names = [name for name, one in zip(names, [0, *inputs], strict=True) if one is not None]
    for name, one, right in zip(names, found, expected, strict=True):
        size = right.norm()
        if name == "logit_scale":
            # A sum over all scores, of terms of both signs that may happen to cancel: its rounding
            # is measured against what such a sum comes to as a rule.
            right = right.sum((0, 1, 3, 4))
        assert one.shape == right.shape, name
        error = (one.double() - right).norm() / size.clamp(min=1e-6)
        assert error <= TOLERANCE[case.dtype], (name, error)
    assert found[0].dtype == found[1].dtype == case.dtype


@pytest.mark.parametrize("case", cases(72, seed=0) + BATCHES, ids=lambda case: str(tuple(case)))
def test_output_and_every_gradient(case):
    assert_right(case)


def test_the_sample_covers_what_it_should():
    found = cases(72, seed=0)
    for version, padding, head_size, dtype in itertools.product(
        (1, 2), ("mask", "attend"), fused.HEAD_SIZES, fused.DTYPES
    ):
        assert any(
            (one.version, one.padding, one.head_size, one.dtype)
            == (version, padding, head_size, dtype)
            for one in found
        )
    grids = [one.grid for one in found]
    assert {(2, 2), (16, 16)} <= {grid.window_size for grid in grids}
    assert sum(grid.height != grid.width for grid in grids) > 40
    assert sum(grid.padded_size != (grid.height, grid.width) for grid in grids) > 40
    assert sum(all(grid.used_shift) for grid in grids) > 10
    assert sum(grid.num_windows == 1 for grid in grids) > 3


def random_qkv(grid, channels=16, batch=1, dtype=torch.float32):
    shape = (batch, grid.height, grid.width, 3 * channels)
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=dtype).to(DEVICE)


def test_nothing_leaks_between_regions():
    """Change one token of each copy of a map: exactly the tokens of its true window notice."""
    grid = WindowGrid(5, 7, (3, 4), (1, 2))
    windows = true_windows(5, 7, (3, 4), (1, 2))
    tokens = [(rows.start, columns.stop - 1) for rows, columns in windows]
    qkv = random_qkv(grid).repeat(len(tokens) + 1, 1, 1, 1)
    for copy, (row, column) in enumerate(tokens):
        qkv[copy, row, column] += 1.0
    bias = torch.randn(1, 12, 12, device=DEVICE)
    out = fused.window_attention(qkv, bias, grid)
    for copy, (rows, columns) in enumerate(windows):
        expected = torch.zeros(5, 7, dtype=torch.bool)
        expected[rows, columns] = True
        assert torch.equal((out[copy] != out[-1]).any(-1).cpu(), expected)


def test_no_gradient_leaks_between_regions():
    grid = WindowGrid(5, 7, (3, 4), (1, 2))
    for rows, columns in true_windows(5, 7, (3, 4), (1, 2))[::4]:
        qkv = random_qkv(grid).requires_grad_()
        out = fused.window_attention(qkv, torch.zeros(1, 12, 12, device=DEVICE), grid)
        out[0, rows.stop - 1, columns.start].square().sum().backward()
        expected = torch.zeros(5, 7, dtype=torch.bool)
        expected[rows, columns] = True
        assert torch.equal((qkv.grad[0] != 0).any(-1).cpu(), expected)


def test_the_same_bits_every_time_and_for_any_number_of_programs(monkeypatch):
    case = Case(9, 12, (4, 3), (2, 1), "attend", torch.float32, 16, 2, 2, 2)
    *inputs, grid = *make_inputs(case), case.grid
    to_out = torch.randn(2, 9, 12, 32, device=DEVICE)
    once, again = (
        output_and_gradients(fused.window_attention, [*inputs, grid], to_out) for _ in range(2)
    )
    assert all(map(torch.equal, once, again))
    # How many programs share the windows changes the order of the sums, and nothing else.
    monkeypatch.setattr(fused, "_shares", lambda device, programs, windows: 5)
    shared = output_and_gradients(fused.window_attention, [*inputs, grid], to_out)
    assert torch.equal(shared[0], once[0])
    assert torch.equal(shared[1], once[1])
    torch.testing.assert_close(shared, once, rtol=1e-4, atol=1e-4)


def test_strides_of_the_inputs_do_not_matter():
    grid = WindowGrid(6, 4, (3, 3), 1)
    qkv, bias = random_qkv(grid, 32), torch.randn(2, 9, 9, device=DEVICE)
    expected = fused.window_attention(qkv, bias, grid)
    strided = qkv.transpose(1, 2).contiguous().transpose(1, 2)
    assert not strided.is_contiguous()
    heads_last = bias.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    assert torch.equal(fused.window_attention(strided, heads_last, grid), expected)


# --- in the module and in PyTorch ---


def modules(version, backends, dtype=torch.float32, **options):
    """Return modules with the same, distinct weights, one for each backend."""
    made = []
    kind = WindowAttention if version == 1 else WindowAttentionV2
    for backend in backends:
        torch.manual_seed(0)
        module = kind(32, (3, 4), 2, backend=backend, **options)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        made.append(module.to(DEVICE, dtype))
    return made


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("padding", ["mask", "attend"])
@pytest.mark.parametrize("version", [1, 2])
def test_module_equals_the_eager_backend_in_output_and_all_gradients(version, padding, qkv_bias):
    grid = WindowGrid(5, 7, (3, 4), (1, 2), padding)
    found, expected = [], []
    module, exact = modules(version, ("fused", "eager"), qkv_bias=qkv_bias)
    exact = exact.double()
    x = torch.randn(2, 5, 7, 32, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    for one, results, dtype in ((module, found, torch.float32), (exact, expected, torch.float64)):
        given = x.to(dtype, copy=True).requires_grad_()
        out = one.attend(given, grid)
        out.square().sum().backward()
        results += [out, given.grad, *(parameter.grad for parameter in one.parameters())]
    names = ["out", "x", *dict(module.named_parameters())]
    for name, one, right in zip(names, found, expected, strict=True):
        error = (one.double() - right).norm() / right.norm()
        assert error < 2e-5, (name, error)


@pytest.mark.parametrize("version", [1, 2])
def test_autocast_runs_the_kernel_in_half_precision(version):
    grid = WindowGrid(5, 7, (3, 4), (1, 2), "attend")
    (module,) = modules(version, ("fused",))
    x = torch.randn(1, 5, 7, 32, device=DEVICE, requires_grad=True)
    exact = module.attend(x, grid)
    with torch.autocast(DEVICE, dtype=torch.bfloat16):
        out = module.attend(x, grid)
    assert out.dtype == torch.bfloat16
    assert (out - exact).norm() < 0.03 * exact.norm()
    out.float().square().sum().backward()
    assert all(one.grad.dtype == torch.float32 for one in module.parameters())
    assert all(one.grad.isfinite().all() for one in (x, *module.parameters()))


def test_registered_as_a_torch_operator():
    grid = WindowGrid(4, 5, (2, 3), 1, "attend")
    tensors = make_inputs(Case(*grid.__dict__.values(), torch.float32, 16, 2, 1))
    torch.library.opcheck(
        fused._window_attention,
        (*tensors, grid.window_size, grid.shift_size, grid.padding),
        test_utils=("test_schema", "test_faketensor", "test_autograd_registration"),
    )


ONE_GRAPH = """
import torch
from swin_tutorial.model import SwinConfig, SwinTransformer

device = "cuda" if torch.cuda.is_available() else "cpu"
fields = {"channels": 16, "depths": (2,), "heads": (1,), "window_size": 4, "num_classes": 5}
for version in (1, 2):
    torch.manual_seed(0)
    model = SwinTransformer(SwinConfig(version, backend="fused", **fields)).to(device).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.2)
    images = torch.randn(1, 3, 20, 24, device=device, requires_grad=True)
    results = []
    for run in (torch.compile(model, fullgraph=True, backend="aot_eager"), model):
        out = run(images)
        gradients = torch.autograd.grad(out.square().sum(), [images, *model.parameters()])
        results.append([out, *gradients])
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)
"""


def test_one_graph_through_a_whole_model():
    """In a process of its own: no tracer can follow conftest's checks."""
    done = subprocess.run([sys.executable, "-c", ONE_GRAPH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda grid: kernel(grid, channels=24), ValueError, r"\(16, 32, 64\) channels, not 24"),
        (
            lambda grid: kernel(grid, dtype=torch.float64),
            ValueError,
            "not torch.float64: use backend='sdpa'",
        ),
        (lambda grid: kernel(WindowGrid(5, 7, (17, 2))), ValueError, r"up to 16 tokens on each"),
        (
            lambda grid: fused.window_attention(
                random_qkv(grid), torch.zeros(1, 12, 12), WindowGrid(7, 5, (3, 4))
            ),
            ValueError,
            r"for maps of 7x5 tokens, got shape \(1, 5, 7, 48\)",
        ),
        (
            lambda grid: WindowAttention(32, 4, 2, attention_dropout=0.1, backend="fused"),
            ValueError,
            "no dropout of attention weights, got attention_dropout=0.1: use backend='sdpa'",
        ),
        (
            lambda grid: WindowAttention(32, (3, 4), 2, backend="fused")(
                torch.zeros(1, 4, 12, 32), None
            ),
            ValueError,
            r"call attend\(x, grid\)",
        ),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call(WindowGrid(5, 7, (3, 4), 1))


def kernel(grid, **options):
    tokens = grid.tokens_per_window
    return fused.window_attention(random_qkv(grid, **options), torch.zeros(1, tokens, tokens), grid)


def test_off_a_gpu_the_kernel_says_so_and_auto_does_without(monkeypatch):
    monkeypatch.setattr(fused, "_interpreted", lambda: False)
    grid = WindowGrid(5, 7, (3, 4), 1)
    x = torch.randn(2, 5, 7, 32)
    one, auto, sdpa = (module.cpu() for module in modules(1, ("fused", "auto", "sdpa")))
    with pytest.raises(ValueError, match=r"needs a GPU, and the map is on 'cpu'.*TRITON_INTERPRET"):
        one.attend(x, grid)
    assert torch.equal(auto.attend(x, grid), sdpa.attend(x, grid))


def test_without_triton_the_kernel_says_so_and_auto_does_without(monkeypatch):
    monkeypatch.setattr(attention_module, "fused", None)
    with pytest.raises(ImportError, match="needs Triton: pip install triton"):
        WindowAttention(32, (3, 4), 2, backend="fused")
    grid, x = WindowGrid(5, 7, (3, 4), 1), torch.randn(1, 5, 7, 32, device=DEVICE)
    auto, sdpa = modules(1, ("auto", "sdpa"))
    assert torch.equal(auto.attend(x, grid), sdpa.attend(x, grid))


# --- the compiler, which needs no GPU ---


def test_kernels_compile_for_a_hopper_gpu():
    """What the interpreter takes, the compiler may not; and all must fit into shared memory.

    In a process of its own, since this one's kernels may be the interpreter's.
    """
    pytest.importorskip("triton.backends.nvidia")
    script = f"{__file__.rsplit('/', 1)[0]}/hopper.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 5, done.stdout


# --- FlexAttention, the mask as a predicate ---


@pytest.mark.parametrize("geometry", GEOMETRIES[:8] + GEOMETRIES[-1:], ids=str)
@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_mask_mod_says_what_the_mask_holds(geometry, padding):
    grid = WindowGrid(*geometry, padding)
    tokens, windows = grid.tokens_per_window, grid.num_windows
    every = torch.meshgrid(*map(torch.arange, (2 * windows, tokens, tokens)), indexing="ij")
    allowed = grid.mask_mod()(every[0], 0, *every[1:])
    mask = torch.ones(windows, tokens, tokens, dtype=torch.bool)
    mask = mask if grid.mask() is None else grid.mask()
    assert torch.equal(allowed, mask.repeat(2, 1, 1))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_flex_gives_what_eager_gives(version, padding):
    grid = WindowGrid(5, 7, (3, 4), (1, 2), padding)
    flex, eager = modules(version, ("flex", "eager"))
    x = torch.randn(2, 5, 7, 32, device=DEVICE)
    with torch.no_grad():
        expected = eager.attend(x, grid)
        torch.testing.assert_close(flex.attend(x, grid), expected, rtol=1e-3, atol=1e-4)
        windows = grid.partition(x)
        by_mask = grid.merge(flex(windows, grid.mask(DEVICE)))
        torch.testing.assert_close(by_mask, expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(flex(windows), eager(windows), rtol=1e-3, atol=1e-4)


def test_flex_takes_windows_longer_than_its_blocks():
    grid = WindowGrid(13, 30, (12, 16), (5, 8))
    torch.manual_seed(0)
    flex = WindowAttention(32, (12, 16), 2, backend="flex").to(DEVICE)
    eager = WindowAttention(32, (12, 16), 2, backend="eager").to(DEVICE)
    eager.load_state_dict(flex.state_dict())
    x = torch.randn(1, 13, 30, 32, device=DEVICE)
    with torch.no_grad():
        expected = eager.attend(x, grid)
        torch.testing.assert_close(flex.attend(x, grid), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("unchecked")
def test_flex_says_what_it_cannot_do():
    grid = WindowGrid(5, 7, (3, 4), (1, 2))
    flex, sdpa = (one.cpu() for one in modules(1, ("flex", "sdpa")))
    x = torch.randn(2, 5, 7, 32)
    with pytest.raises(NotImplementedError, match="no backward pass on a CPU: use backend='sdpa'"):
        flex.attend(x, grid)
    with pytest.raises(ValueError, match="backend='sdpa' takes a mask of booleans"):
        sdpa(grid.partition(x), grid.mask_mod())
    with pytest.raises(ValueError, match="backend='flex' has no dropout"):
        WindowAttention(32, 4, 2, attention_dropout=0.1, backend="flex")


# --- on a GPU ---

PRODUCT = [
    Case(*geometry, padding, dtype, head_size, version, 2, 2)
    for geometry in [
        *sample(20, seed=11, largest_size=24, largest_window=16),
        *((56, 56, (7, 7), (3, 3)), (14, 28, (7, 7), (3, 3)), (33, 40, (16, 16), (8, 8))),
        *((23, 30, (12, 12), (6, 6)), (16, 24, (8, 8), (4, 4)), (5, 5, (2, 2), (1, 1))),
    ]
    for padding in ("mask", "attend")
    for dtype in fused.DTYPES
    for head_size in fused.HEAD_SIZES
    for version in (1, 2)
]


@pytest.mark.gpu
@pytest.mark.parametrize("case", PRODUCT, ids=lambda case: str(tuple(case)))
def test_full_product_on_a_gpu(case):
    assert_right(case)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(64, 56, 56, 3), (64, 7, 7, 24)], ids=str)
@pytest.mark.parametrize("shift", [0, 3])
def test_full_size_on_a_gpu(shape, shift):
    batch, height, width, heads = shape
    case = Case(height, width, (7, 7), (shift, shift), "mask", torch.bfloat16, 32, 1, heads, batch)
    assert_right(case)


@pytest.mark.gpu
def test_neither_batch_nor_map_size_compiles_again():
    bias = torch.randn(2, 12, 12, device=DEVICE)
    caches = [fused._forward_kernel.device_caches, fused._backward_kernel.device_caches]

    def run(height, width, batch, shift):
        grid = WindowGrid(height, width, (3, 4), shift)
        qkv = random_qkv(grid, 32, batch).requires_grad_()
        fused.window_attention(qkv, bias, grid).sum().backward()
        return [len(cache[torch.cuda.current_device()][0]) for cache in caches]

    first = run(5, 7, 1, (0, 0))
    for height, width, batch, shift in [
        (16, 32, 16, (1, 2)),
        (1, 1, 1, (0, 1)),
        (48, 5, 3, (2, 0)),
    ]:
        assert run(height, width, batch, shift) == first


@pytest.mark.gpu
def test_memory_holds_no_windows_and_no_mask():
    grid, channels = WindowGrid(112, 112, 7, 3), 96
    qkv = random_qkv(grid, channels, 8, torch.bfloat16)
    bias = torch.randn(3, 49, 49, device=DEVICE)
    fused.window_attention(qkv, bias, grid)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = fused.window_attention(qkv, bias, grid)
    assert torch.cuda.max_memory_allocated() - before <= out.nbytes + 2**20


@pytest.mark.gpu
def test_auto_takes_the_kernel_in_half_precision_only():
    (auto,) = modules(1, ("auto",))
    x = torch.zeros(1, 5, 7, 32, device=DEVICE)
    assert auto._is_fused(x.half())
    assert not auto._is_fused(x)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert auto._is_fused(x)
    auto.attention_dropout = 0.1
    assert not auto._is_fused(x.half())
    assert auto.eval()._is_fused(x.half())


@pytest.mark.gpu
@pytest.mark.parametrize("version", [1, 2])
def test_flex_gradients_on_a_gpu(version):
    grid = WindowGrid(14, 21, 7, 3)
    results = []
    for backend in ("flex", "eager"):
        torch.manual_seed(0)
        kind = WindowAttention if version == 1 else WindowAttentionV2
        module = kind(64, 7, 2, backend=backend).to(DEVICE)
        x = torch.randn(2, 14, 21, 64, generator=torch.Generator().manual_seed(4)).to(DEVICE)
        x.requires_grad_()
        out = module.attend(x, grid)
        out.square().sum().backward()
        results.append([out, x.grad, *(one.grad for one in module.parameters())])
    for flex, eager in zip(*results, strict=True):
        assert (flex - eager).norm() < 5e-3 * eager.norm()


@pytest.mark.gpu
def test_training_takes_the_same_course_as_with_eager():
    """100 steps on random images and labels, bfloat16 autocast."""
    losses = {}
    for backend in ("eager", "fused"):
        torch.manual_seed(0)
        config = SwinConfig(
            channels=32, depths=(2, 2), heads=(1, 2), window_size=7, num_classes=10,
            stochastic_depth=0.0, backend=backend,
        )  # fmt: skip
        model = SwinTransformer(config).to(DEVICE)
        images = torch.randn(32, 3, 60, 100, device=DEVICE)
        labels = torch.arange(32, device=DEVICE) % 10
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-4)
        losses[backend] = []
        for _ in range(100):
            with torch.autocast(DEVICE, dtype=torch.bfloat16):
                loss = F.cross_entropy(model(images).float(), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses[backend].append(loss.item())
    eager, one = (torch.tensor(losses[backend]) for backend in ("eager", "fused"))
    assert eager[-1] < 0.5 * eager[0]
    assert (one - eager).abs().max() < 0.05 * eager[0]
