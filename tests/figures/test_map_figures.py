"""Maps of tokens: everything is drawn on the token that it is about."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.patches import Rectangle

from swin_tutorial import figures
from swin_tutorial.grid import WindowGrid


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def texts(axes):
    """Return the text on each token as {(row, column): text}."""
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}


def hatched(axes):
    """Return the tokens (row, column) that are hatched."""
    patches = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return {(int(p.get_y()), int(p.get_x())) for p in patches if p.get_hatch()}


def test_every_region_carries_its_number_and_padding_none(axes):
    ids = WindowGrid((3, 4), 2, 1).region_ids()
    is_padding = torch.zeros(4, 4, dtype=torch.bool)
    is_padding[2] = True  # row 3 of the padded map, which the roll moves up by one
    figures.draw_regions(axes, ids, is_padding=is_padding)
    padding = {(2, x) for x in range(4)}
    assert texts(axes) == {
        (y, x): str(int(ids[y, x])) for y in range(4) for x in range(4) if (y, x) not in padding
    }
    assert hatched(axes) == padding


def test_numbers_are_printed_where_they_are_asked_for(axes):
    ids = torch.tensor([[0, 1, 2], [13, 4, 5]])
    numbers = torch.tensor([[True, False, False], [True, False, True]])
    figures.draw_regions(axes, ids, numbers=numbers)
    assert texts(axes) == {(0, 0): "0", (1, 0): "13", (1, 2): "5"}
    assert len(axes.patches) == 6
    assert hatched(axes) == set()


def test_numbers_stand_on_their_tokens(axes):
    figures.draw_numbers(axes, torch.tensor([[7, 8, 9]]))
    assert texts(axes) == {(0, 0): "7", (0, 1): "8", (0, 2): "9"}


@pytest.mark.parametrize(
    ("size", "window_size", "shift_size", "rows", "columns"),
    [
        ((8, 12), (4, 6), (2, 3), (2, 6), (3, 9)),
        ((8, 12), 4, 0, (4,), (4, 8)),
        ((4, 9), 4, 3, (), (3, 7)),  # one window spans the height: nothing is shifted there
    ],
)
def test_windows_are_outlined_where_they_are(axes, size, window_size, shift_size, rows, columns):
    figures.draw_windows(axes, size, window_size, shift_size)
    lines = {tuple(map(tuple, line.get_xydata().tolist())) for line in axes.lines}
    height, width = size
    assert lines == {
        *(((0, y), (width, y)) for y in rows),
        *(((x, 0), (x, height)) for x in columns),
    }


def test_picture_lays_the_tokens_out_again(axes):
    image = torch.rand(4, 6, 3)
    tokens = torch.stack(
        [
            torch.stack([image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].flatten() for x in range(3)])
            for y in range(2)
        ]
    )[None]
    assert (figures.picture(tokens) == image.numpy()).all()
    figures.draw_picture(axes, tokens, "title")
    assert axes.images[0].get_extent() == [0, 3, 2, 0]
    assert axes.get_title() == "title"
