"""Window attention, V1 and V2, on one to three axes: backends, position bias, precision."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from geometries import Geometry

from swin_tutorial.attention import WindowAttention, WindowAttentionV2
from swin_tutorial.grid import WindowGrid
from swin_tutorial.position_bias import log_spaced_offsets, relative_position_index
from swin_tutorial.reference import attend_window_by_window, true_windows

# Those with a gradient on any device; tests/backends has the others.
BACKENDS = ("eager", "sdpa")
VERSIONS = (WindowAttention, WindowAttentionV2)
DIM, HEADS = 12, 3

# Each shifted, each with an axis that is padded, and each but the last with a ring.
GEOMETRIES = [
    Geometry((9,), (4,), (2,), ("mask",), (False,)),
    Geometry((12,), (4,), (3,), ("mask",), (True,)),
    Geometry((7, 6), (3, 2), (2, 1), ("mask", "mask"), (False, True)),
    Geometry((7, 5), (3, 2), (2, 1), ("attend", "mask"), (False, False)),
    Geometry((4, 5, 6), (2, 2, 3), (1, 1, 2), ("mask", "attend", "mask"), (True, False, False)),
    Geometry((3, 4, 2), (2, 3, 1), (1, 2, 0), ("mask",) * 3, (False,) * 3),
]
geometries = pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: f"{len(g.size)}d")


def make(kind=WindowAttention, window_size=(3, 2), backend="eager", **options):
    """A module in double precision, in which no parameter is 0 or 1; the same for each backend."""
    module = kind(DIM, window_size, HEADS, backend=backend, **options).double()
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return module


def random_map(*size, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, *size, DIM, dtype=torch.float64, generator=generator)


# What it computes.


@geometries
@pytest.mark.parametrize("backend", [*BACKENDS, "flex"])
@torch.no_grad()
def test_v1_is_attention_window_by_window_on_any_axes(geometry, backend):
    module, x = make(window_size=geometry.window_size, backend=backend), random_map(*geometry.size)
    expected = attend_window_by_window(x, module, *geometry[1:])
    torch.testing.assert_close(module.attend(x, geometry.grid), expected)


@geometries
@pytest.mark.parametrize("backend", [*BACKENDS, "flex"])
@torch.no_grad()
def test_v2_is_cosine_attention_window_by_window_on_any_axes(geometry, backend):
    # Trained with smaller windows than these.
    module = make(
        WindowAttentionV2,
        geometry.window_size,
        backend,
        pretrained_window_size=(3, 2, 2)[: len(geometry.size)],
    )
    module.logit_scale[0] = 9.0  # far beyond 100
    x = random_map(*geometry.size)
    expected = cosine_attention_window_by_window(x, module, geometry)
    # The table's offsets are in single precision.
    torch.testing.assert_close(module.attend(x, geometry.grid), expected, rtol=1e-4, atol=1e-5)


def cosine_attention_window_by_window(x, module, geometry):
    """Swin V2, equation 2 and section 3.3, with no roll, no mask and no table of offsets."""
    padded = torch.zeros(len(x), *geometry.grid.padded_size, DIM, dtype=x.dtype)
    real = (slice(None), *(slice(0, tokens) for tokens in geometry.size))
    padded[real] = x
    out = torch.zeros_like(padded)
    bias = torch.cat([module.q_bias, torch.zeros(DIM), module.v_bias])
    for window in true_windows(*geometry):
        index = (slice(None), *torch.meshgrid(*map(torch.tensor, window), indexing="ij"))
        lengths = [len(positions) for positions in window]
        tokens = padded[index].flatten(1, -2)
        q, k, v = (
            part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in F.linear(tokens, module.qkv.weight, bias).chunk(3, dim=-1)
        )
        cosine = F.cosine_similarity(q[:, :, :, None], k[:, :, None], dim=-1)
        scores = cosine * module.logit_scale.exp().clamp(max=100) + offset_bias(module, lengths)
        attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        out[index] = module.proj(attended).unflatten(1, lengths)
    return out[real]


def offset_bias(module, lengths):
    """Ask V2's network about the offset of each pair of tokens: heads x tokens x tokens."""
    places = torch.tensor(list(itertools.product(*map(range, lengths))), dtype=torch.float64)
    offset = places[:, None] - places[None, :]
    offset = 8 * offset / (torch.tensor(module.pretrained_window_size) - 1).clamp(min=1)
    offset = offset.sign() * torch.log2(1 + offset.abs()) / math.log2(8)
    return 16 * torch.sigmoid(module.cpb_mlp(offset)).permute(2, 0, 1)


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("kind", VERSIONS)
@pytest.mark.parametrize("shift", [(0, 0), (1, 1), (2, 0)])
def test_backends_give_the_same_output_and_gradients(shift, kind, qkv_bias):
    grid = WindowGrid((7, 5), (3, 2), shift)
    results = []
    for backend in BACKENDS:
        module = make(kind, backend=backend, qkv_bias=qkv_bias)
        x = random_map(7, 5).requires_grad_()
        out = module.attend(x, grid)
        out.square().sum().backward()
        gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
        results.append((out, x.grad, gradients))
    for eager, sdpa in zip(*results, strict=True):
        torch.testing.assert_close(sdpa, eager, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", VERSIONS)
def test_attend_is_partition_attention_and_merge(kind):
    module, grid, x = make(kind), WindowGrid((7, 5), (3, 2), 1), random_map(7, 5)
    expected = grid.merge(module(grid.partition(x), grid.mask()))
    assert torch.equal(module.attend(x, grid), expected)
    unmasked = grid.merge(module(grid.partition(x)))
    assert torch.equal(module.attend(x, grid, use_mask=False), unmasked)
    assert not torch.allclose(unmasked, expected, atol=1e-3)


@pytest.mark.parametrize("kind", VERSIONS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_attention_weights_are_those_that_the_output_is_made_with(backend, kind):
    module, grid = make(kind, backend=backend), WindowGrid((7, 5), (3, 2), 1)
    windows, mask = grid.partition(random_map(7, 5)), grid.mask()
    weights = module.attention_weights(windows, mask)
    assert weights.shape == (2, grid.num_windows, HEADS, 6, 6)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    allowed = mask[None, :, None].expand_as(weights)
    assert (weights[~allowed] == 0).all()
    assert (weights[allowed] > 0).all()
    value = module.project_qkv(windows)[..., 2 * DIM :].unflatten(-1, (HEADS, -1)).transpose(2, 3)
    out = (weights @ value).transpose(2, 3).flatten(3)
    torch.testing.assert_close(module(windows, mask), module.proj(out))


# The position bias.


@pytest.mark.parametrize("window_size", [(5,), (1,), (2, 3), (4, 1), (2, 3, 4), (3, 1, 2)])
def test_relative_position_index_counts_offsets_row_by_row(window_size):
    index = relative_position_index(window_size)
    rows = list(itertools.product(*(range(1 - size, size) for size in window_size)))
    tokens = list(itertools.product(*map(range, window_size)))
    expected = [
        [rows.index(tuple(y - j for y, j in zip(query, key, strict=True))) for key in tokens]
        for query in tokens
    ]
    assert index.tolist() == expected
    assert index.max() + 1 == len(rows)


def test_a_window_given_as_one_number_is_square():
    assert torch.equal(relative_position_index(3), relative_position_index((3, 3)))
    assert WindowAttention(DIM, 3, HEADS).window_size == (3, 3)


def test_relative_position_bias_depends_on_the_offset_alone():
    module = make(window_size=(2, 3))
    bias = module.relative_position_bias()
    assert bias.shape == (3, 6, 6)
    # Query one row below its key, in the same column: (1, 0) wherever in the window.
    assert torch.equal(bias[:, 3, 0], bias[:, 5, 2])
    assert torch.equal(bias[:, 3, 0], module.relative_position_bias_table[2 * 5 + 2])
    assert not torch.equal(bias[:, 3, 0], bias[:, 0, 3])


def test_v2_offsets_are_log_spaced_and_relative_to_the_pretrained_window():
    offsets = log_spaced_offsets(3, 3)
    assert offsets.shape == (25, 2)
    assert offsets[12].tolist() == [0.0, 0.0]
    assert offsets[0].tolist() == pytest.approx([-math.log2(9) / 3] * 2)
    assert offsets[1].tolist() == pytest.approx([-math.log2(9) / 3, -math.log2(5) / 3])
    wider = log_spaced_offsets((5, 3), 3)
    assert torch.equal(wider.view(9, 5, 2)[2:7], offsets.view(5, 5, 2))
    assert log_spaced_offsets((2,), (8,)).flatten().tolist() == pytest.approx(
        [-math.log2(1 + 8 / 7) / 3, 0, math.log2(1 + 8 / 7) / 3]
    )
    video = log_spaced_offsets((2, 1, 3), (2, 1, 3)).view(3, 1, 5, 3)
    assert video[2, 0, 4].tolist() == pytest.approx([math.log2(9) / 3, 0, math.log2(9) / 3])
    assert video[0, 0, 3].tolist() == pytest.approx([-math.log2(9) / 3, 0, math.log2(5) / 3])


def test_v2_scores_are_cosines_times_at_most_one_hundred():
    attention = WindowAttentionV2(8, 4, 2)
    q, k = torch.randn(2, 1, 1, 2, 16, 4) * 1000
    attention.logit_scale.data.fill_(50.0)
    q, k, scale = attention.scaled(q, k)
    scores = scale * q @ k.transpose(-1, -2)
    assert scores.abs().max() <= 100 + 1e-3
    assert scores.abs().max() > 50


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_v2_vectors_of_zeros_have_a_cosine_of_0_and_no_gradient(dtype):
    attention = WindowAttentionV2(8, 4, 2).to(dtype)
    q, k = torch.randn(2, 1, 1, 2, 16, 4).to(dtype)
    q[..., 3, :], k[..., 5, :] = 0, 0
    q.requires_grad_(), k.requires_grad_()
    unit_q, unit_k, scale = attention.scaled(q, k)
    scores = scale * unit_q @ unit_k.transpose(-1, -2)
    assert (scores[..., 3, :] == 0).all()
    assert (scores[..., 5] == 0).all()
    to_q, to_k = torch.autograd.grad((scores.float() ** 2 + scores.float()).sum(), (q, k))
    for gradient, zeros in ((to_q, 3), (to_k, 5)):
        assert gradient.isfinite().all()
        at_zeros = gradient[..., zeros, :]
        assert (at_zeros == 0).all()
        assert (gradient.count_nonzero() > 0.9 * (gradient.numel() - at_zeros.numel())).all()


# Precision.


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", VERSIONS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 60.0])
def test_half_precision_gives_no_nan(backend, kind, dtype, size):
    """Large scores, masked windows, windows of padding alone: everything stays finite."""
    grid = WindowGrid((8, 9), 7, 3)
    torch.manual_seed(0)
    module = kind(32, 7, 2, backend=backend).to(dtype)
    x = (torch.randn(2, 8, 9, 32) * size).to(dtype).requires_grad_()
    out = module.attend(x, grid)
    out.float().square().mean().backward()
    assert out.dtype == dtype
    assert out.isfinite().all()
    assert x.grad.isfinite().all()
    if size == 1.0 and kind is WindowAttention:
        expected = module.double().attend(x.detach().double(), grid)
        error = (out.double() - expected).norm() / expected.norm()
        assert error < {torch.float16: 5e-3, torch.bfloat16: 2e-2}[dtype]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", VERSIONS)
def test_autocast_keeps_to_half_precision(backend, kind):
    grid = WindowGrid((8, 9), 7, 3)
    torch.manual_seed(0)
    module = kind(32, 7, 2, backend=backend)
    x = torch.randn(1, 8, 9, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = module.attend(x, grid)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), module.attend(x, grid), rtol=0.05, atol=0.05)


# Dropout.


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_acts_while_training_only(backend):
    module = WindowAttention(32, 4, 2, attn_drop=0.5, proj_drop=0.25, backend=backend)
    windows = torch.randn(4, 8, 16, 32)
    module.eval()
    assert torch.equal(module(windows), module(windows))
    module.train()
    torch.manual_seed(0)
    out = module(windows)
    assert math.isclose((out == 0).float().mean(), 0.25, abs_tol=0.03)
    module.proj_drop.p = 0.0
    assert not torch.equal(module(windows), module(windows))


def test_backends_drop_alike_on_average():
    torch.manual_seed(0)
    means = []
    for backend in BACKENDS:
        module = WindowAttention(8, 2, 2, attn_drop=0.5, backend=backend)
        torch.manual_seed(1)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter)
        windows = torch.randn(1, 1, 4, 8)
        with torch.no_grad():
            means.append(module.train()(windows.expand(1, 20000, 4, 8)).mean(1))
            means.append(module.eval()(windows)[:, 0])
    for mean in means[1:]:
        torch.testing.assert_close(mean, means[0], rtol=0.05, atol=0.1)


# Names and errors.


def test_parameters_have_the_official_names():
    assert set(WindowAttention(8, 7, 2).state_dict()) == {
        "relative_position_bias_table",
        "qkv.weight",
        "qkv.bias",
        "proj.weight",
        "proj.bias",
    }
    assert set(WindowAttentionV2(8, 7, 2).state_dict()) == {
        "logit_scale",
        "q_bias",
        "v_bias",
        "cpb_mlp.0.weight",
        "cpb_mlp.0.bias",
        "cpb_mlp.2.weight",
        "qkv.weight",
        "proj.weight",
        "proj.bias",
    }


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: WindowAttention(10, 4, 3), ValueError, "dim=10 .* num_heads=3"),
        (lambda: WindowAttention(10, 0, 2), ValueError, "window_size must be at least 1"),
        (lambda: WindowAttention(10, (2, 2, 2, 2), 2), ValueError, r"one to three axes.*2, 2\)"),
        (lambda: WindowAttention(10, 4, 0), ValueError, "num_heads must be at least 1, got 0"),
        (lambda: WindowAttention(10.0, 4, 2), TypeError, "10.0"),
        (lambda: WindowAttention(8, 4, 2, backend="fast"), ValueError, "one of .* got 'fast'"),
        (lambda: WindowAttention(8, 4, 2, attn_drop=1.0), ValueError, "attn_drop .* got 1.0"),
        (lambda: WindowAttention(8, 4, 2, proj_drop=-1), ValueError, "proj_drop .* got -1"),
        (
            lambda: WindowAttention(8, 4, 2, attn_drop=0.5, backend="flex"),
            ValueError,
            "'flex' has no dropout.*got attn_drop=0.5: use backend='sdpa'",
        ),
        (
            lambda: WindowAttention(8, 4, 2)(torch.zeros(1, 4, 15, 8)),
            ValueError,
            r"\(b, n, 16, 8\).*got \(1, 4, 15, 8\): cut the map with WindowGrid",
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
        (
            lambda: WindowAttention(8, 4, 2).attend(torch.zeros(1, 8, 9, 8), WindowGrid((8, 8), 4)),
            ValueError,
            r"maps of 8x8 tokens, got shape \(1, 8, 9, 8\)",
        ),
        (
            # As many tokens in a window, but the bias of another shape.
            lambda: WindowAttention(8, (2, 8), 2).attend(
                torch.zeros(1, 8, 8, 8), WindowGrid((8, 8), 4)
            ),
            ValueError,
            r"windows of \(4, 4\) and this module of \(2, 8\): make both with the same",
        ),
    ],
)
def test_bad_input_is_named_with_its_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()
