"""Who depends on whom, in 10,000 geometries: exactly the tokens of one true window on each other.

The expected answer rolls nothing and masks nothing (``reference.true_windows``).
"""

from math import prod

import pytest
import torch
from attending import attend, attention, random_map
from geometries import sample

from swin_tutorial.reference import attend_window_by_window, true_windows

SAMPLE = sample(10_000, seed=7)
pytestmark = pytest.mark.usefixtures("unchecked")  # shapes are checked elsewhere; here they cost


def true_window_of_each_token(geometry):
    numbers = torch.empty(geometry.size, dtype=torch.long)
    for number, window in enumerate(true_windows(*geometry)):
        real = [
            torch.tensor([y for y in positions if y < size], dtype=torch.long)
            for positions, size in zip(window, geometry.size, strict=True)
        ]
        numbers[torch.meshgrid(*real, indexing="ij")] = number
    return numbers.flatten()


def output_and_gradient_of_every_token(geometry):
    """Return the output, and the gradient of each token's output to each token of the map.

    One backward pass does: the batch holds a copy of the map for each token, and of copy i only
    token i's output counts.
    """
    tokens = prod(geometry.size)
    x = random_map(geometry).expand(tokens, *geometry.size, -1).clone().requires_grad_()
    out = attend(x, geometry).reshape(tokens, tokens, -1)
    out.diagonal().sum().backward()
    return out[0], x.grad.reshape(tokens, tokens, -1)


@pytest.mark.parametrize("part", range(4))
def test_every_true_window_attends_on_its_own(part):
    """The output is that of attention with no roll and no mask, and no gradient leaves a window."""
    for geometry in SAMPLE[part::4]:
        window = true_window_of_each_token(geometry)
        out, gradient = output_and_gradient_of_every_token(geometry)
        felt = (gradient != 0).any(-1)
        assert torch.equal(felt, window[:, None] == window[None, :]), geometry
        with torch.no_grad():
            module = attention(geometry.window_size)
            slow = attend_window_by_window(random_map(geometry), module, *geometry[1:])
        torch.testing.assert_close(out, slow.flatten(0, -2), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_gradients_equal_those_of_attention_window_by_window(backend):
    for geometry in SAMPLE[:1000]:
        fast_x, slow_x = (random_map(geometry, batch=2).requires_grad_() for _ in range(2))
        fast = attend(fast_x, geometry, backend)
        slow = attend_window_by_window(slow_x, attention(geometry.window_size), *geometry[1:])
        weight = torch.randn_like(fast)
        (fast * weight).sum().backward()
        (slow * weight).sum().backward()
        torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(fast_x.grad, slow_x.grad, rtol=1e-9, atol=1e-9)


def test_changing_a_token_moves_nothing_outside_its_true_window():
    """What the gradient cannot see, a mask of -100 instead of -inf, say: here scores are pushed."""
    for geometry in SAMPLE[:500]:
        x = random_map(geometry)
        window = true_window_of_each_token(geometry)
        changed = x.clone().flatten(1, -2)
        changed[:, 0] *= 1e4
        with torch.no_grad():
            before, after = (attend(y, geometry) for y in (x, changed.view_as(x)))
        moved = (before != after).any(-1).flatten()
        assert not (moved & (window != window[0])).any(), geometry
