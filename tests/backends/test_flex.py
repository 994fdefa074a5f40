"""FlexAttention: the mask as a predicate gives what the mask as a tensor gives."""

import pytest
import torch
from geometries import sample

from swin_tutorial.attention import WindowAttention, WindowAttentionV2
from swin_tutorial.backends import eager, flex
from swin_tutorial.grid import WindowGrid

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLOSE = {"rtol": 1e-3, "atol": 1e-4}


def test_mask_mod_says_what_the_mask_holds():
    for geometry in sample(40, seed=12):
        grid = geometry.grid
        tokens, windows = grid.tokens_per_window, grid.num_windows
        # Two images: the windows are counted on.
        axes = (torch.arange(2 * windows), torch.arange(tokens), torch.arange(tokens))
        batch, query, key = torch.meshgrid(*axes, indexing="ij")
        allowed = grid.mask_mod()(batch, 0, query, key)
        assert torch.equal(allowed, grid.mask().repeat(2, 1, 1)), geometry


@pytest.mark.usefixtures("unchecked")  # PyTorch traces the predicate, and cannot trace a check
@pytest.mark.parametrize(
    "grid",
    [
        WindowGrid((5, 7), (3, 4), (1, 2)),
        WindowGrid((3, 4, 5), (2, 3, 2), 1, ("mask", "attend", "mask")),
        WindowGrid((13, 20), (12, 16), (5, 8)),  # more tokens than one of its blocks has
    ],
    ids=str,
)
def test_a_predicate_a_mask_and_no_mask_give_what_eager_gives(grid):
    generator = torch.Generator().manual_seed(0)
    shape = (2, grid.num_windows, 2, grid.tokens_per_window, 16)
    q, k, v = (torch.randn(shape, generator=generator).to(DEVICE) for _ in range(3))
    bias = torch.randn(2, shape[3], shape[3], generator=generator).to(DEVICE)
    mask = grid.mask(DEVICE)
    expected = eager.attend(q, k, v, bias, mask, 0.3)
    by_predicate = flex.attend(q, k, v, bias, grid.mask_mod(DEVICE), 0.3)
    torch.testing.assert_close(by_predicate, expected, **CLOSE)
    torch.testing.assert_close(flex.attend(q, k, v, bias, mask, 0.3), expected, **CLOSE)
    without = eager.attend(q, k, v, bias, None, 0.3)
    assert not torch.allclose(without, expected, **CLOSE)
    torch.testing.assert_close(flex.attend(q, k, v, bias, None, 0.3), without, **CLOSE)


def modules(kind, dim=32, window_size=(3, 4)):
    """Return a module with the backend "flex" and one with "eager", with the same weights."""
    made = []
    for backend in ("flex", "eager"):
        torch.manual_seed(0)
        module = kind(dim, window_size, 2, backend=backend)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        made.append(module.to(DEVICE))
    return made


@pytest.mark.parametrize("kind", [WindowAttention, WindowAttentionV2])
@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_a_module_gives_what_it_gives_with_eager(kind, padding):
    grid = WindowGrid((5, 7), (3, 4), (1, 2), padding)
    by_flex, by_eager = modules(kind)
    x = torch.randn(2, 5, 7, 32, generator=torch.Generator().manual_seed(3)).to(DEVICE)
    with torch.no_grad():
        torch.testing.assert_close(by_flex.attend(x, grid), by_eager.attend(x, grid), **CLOSE)


@pytest.mark.usefixtures("unchecked")
def test_what_it_cannot_do_is_named_with_its_remedy():
    q = torch.zeros(1, 4, 2, 12, 16)
    bias = torch.zeros(2, 12, 12)
    with pytest.raises(NotImplementedError, match="no backward pass on a CPU: use backend='sdpa'"):
        flex.attend(q.requires_grad_(), q, q, bias, None, 1.0)
    with pytest.raises(ValueError, match=r"no dropout, got 0\.1: use backend='sdpa'"):
        flex.attend(q.detach(), q, q, bias, None, 1.0, 0.1)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", [WindowAttention, WindowAttentionV2])
def test_gradients_on_a_gpu(kind):
    grid = WindowGrid((14, 21), 7, 3)
    results = []
    for module in modules(kind, 64, 7):
        x = torch.randn(2, 14, 21, 64, generator=torch.Generator().manual_seed(4)).to(DEVICE)
        x.requires_grad_()
        out = module.attend(x, grid)
        out.square().sum().backward()
        results.append([out, x.grad, *(parameter.grad for parameter in module.parameters())])
    for by_flex, by_eager in zip(*results, strict=True):
        assert (by_flex - by_eager).norm() < 5e-3 * by_eager.norm()


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_a_mask_that_is_not_boolean_is_refused(dtype):
    grid = WindowGrid((4, 4), 2, 1)
    module = WindowAttention(8, 2, 2, backend="flex").requires_grad_(requires_grad=False)
    with pytest.raises(TypeError, match=f"mask must be boolean .* got {dtype}"):
        module(grid.partition(torch.zeros(1, 4, 4, 8)), grid.mask().to(dtype))
