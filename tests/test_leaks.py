"""What a token does not attend to must not move it: every geometry up to 12 x 12 tokens."""

import pytest
import torch
from attending import CHANNELS, attend, random_map
from geometries import all_square_windows

from swin_tutorial.reference import true_windows


@pytest.mark.parametrize("height", range(1, 13))
def test_nothing_leaks_between_regions(height):
    """Change each token in turn: exactly the tokens of its true window may notice.

    All geometries up to 12 x 12: every size, square window and shift, padding masked.  One copy of
    the map per changed token goes through attention as a batch.
    """
    for geometry in all_square_windows(height, 12):
        window_of = torch.empty(geometry.height, geometry.width, dtype=torch.long)
        for number, (rows, columns) in enumerate(true_windows(*geometry)):
            window_of[rows, columns] = number
        window_of = window_of.flatten()
        may_notice = window_of[:, None] == window_of[None, :]

        tokens = len(window_of)
        x = random_map(geometry)
        changed = x.repeat(tokens + 1, 1, 1, 1).view(tokens + 1, tokens, CHANNELS)
        changed[torch.arange(tokens), torch.arange(tokens)] += 1.0
        with torch.no_grad():
            out = attend(changed.view(-1, *x.shape[1:]), geometry, "mask").flatten(1, 2)
        # Not bitwise: the same row may be summed in another order elsewhere in a larger batch.
        noticed = (out[:-1] - out[-1:]).abs().amax(-1) > 1e-12
        assert torch.equal(noticed, may_notice), geometry


@pytest.mark.parametrize("height", range(1, 13))
def test_no_gradient_leaks_between_regions(height):
    """The gradient of one token's output: zero outside its true window, and only there."""
    for index, geometry in enumerate(all_square_windows(height, 12)):
        query = index % (geometry.height * geometry.width)
        y, column = divmod(query, geometry.width)
        rows, columns = next(
            (rows, columns)
            for rows, columns in true_windows(*geometry)
            if rows.start <= y < rows.stop and columns.start <= column < columns.stop
        )
        x = random_map(geometry).requires_grad_()
        attend(x, geometry, "mask")[0, y, column].square().sum().backward()
        felt = (x.grad != 0).any(-1)[0]
        expected = torch.zeros_like(felt)
        expected[rows, columns] = True
        assert torch.equal(felt, expected), geometry
