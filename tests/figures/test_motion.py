"""Animations: they play, they are light, and what moves ends where the package says."""

import io
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from unittest import mock

import matplotlib

matplotlib.use("agg")

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image

from swin_tutorial import figures
from swin_tutorial.data.photographs import photograph_tokens
from swin_tutorial.figures import style
from swin_tutorial.figures.motion import animation, mask_rows, packing, reach, roll, two_axes
from swin_tutorial.grid import WindowGrid
from swin_tutorial.reference import true_windows
from swin_tutorial.windows import cyclic_shift, window_partition

GRID = WindowGrid((8, 12), 4, 2)
MAKERS = {
    "roll": lambda: figures.animate_roll(photograph_tokens("chelsea", 8, 12)),
    "packing": figures.animate_packing,
    "mask_rows": figures.animate_mask_rows,
    "and": figures.animate_and,
    "reach": figures.animate_reach,
}
GROUNDS = ("#ffffff", "#111111")
every_animation = pytest.mark.parametrize("name", MAKERS)


@dataclass
class Making:
    """An animation, the frames that it was made of, and the sizes of its texts in CSS pixels."""

    animation: figures.Animation
    painted: list
    text_sizes: list


@cache
def made(name):
    """Make an animation once for all tests, and watch how it is made."""
    painted, sizes = [], []
    write, palette = Axes.text, animation.in_one_palette

    def watched_write(*arguments, **options):
        sizes.append(options["fontsize"] / animation.POINTS)
        return write(*arguments, **options)

    def watched_palette(pictures, **options):
        painted.extend(np.asarray(one) for one in pictures)
        return palette(pictures, **options)

    with (
        mock.patch.object(Axes, "text", watched_write),
        mock.patch.object(animation, "in_one_palette", watched_palette),
    ):
        return Making(MAKERS[name](), painted, sizes)


@cache
def frames(name):
    """Return every frame of an animation as a page shows it, and its milliseconds."""
    return decoded(made(name).animation.png)


def decoded(png):
    with Image.open(io.BytesIO(png)) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            found.append((np.asarray(image.convert("RGBA")), image.info["duration"]))
    return found


def color(frame, x, y):
    """Return the color of a frame at a point in CSS pixels, None where the page shows through."""
    *color, opacity = frame[animation.pixels(y), animation.pixels(x)].tolist()
    return tuple(color) if opacity == 255 else None


def on_ground(frame, ground):
    """Return how a frame looks on a page of one color, as RGB."""
    opacity = frame[..., 3:] / 255
    return frame[..., :3] * opacity + np.array(rgb(ground)) * (1 - opacity)


def rgb(name):
    return tuple(round(255 * one) for one in to_rgb(name))


def cell_colors(frame, corner, side, rows, columns, at=0.2):
    """Return the colors of a map's cells, at a share of their side, where no number stands."""
    x, y = corner
    return [
        [color(frame, x + (column + at) * side, y + (row + at) * side) for column in range(columns)]
        for row in range(rows)
    ]


def region_colors(ids):
    return [[rgb(figures.region_color(region)) for region in row] for row in ids.tolist()]


def mask_colors(mask):
    colors = rgb(figures.FORBIDDEN), rgb(figures.ALLOWED)
    return [[colors[allowed] for allowed in row] for row in mask.tolist()]


# --- all of them ---


@every_animation
def test_it_plays_in_a_loop_at_a_pace_to_follow(name):
    with Image.open(io.BytesIO(made(name).animation.png)) as image:
        assert image.format == "PNG"
        assert image.is_animated
        assert 8 <= image.n_frames <= 40
        assert image.info["loop"] == 0
    milliseconds = [duration for _, duration in frames(name)]
    assert milliseconds[0] >= 2000
    assert milliseconds[-1] >= 2000
    assert min(milliseconds) >= 80
    assert sum(milliseconds) <= 21_000


@every_animation
def test_it_is_light_and_fits_a_page(name):
    assert len(made(name).animation.png) < 400_000
    assert 500 <= made(name).animation.width <= 800
    assert frames(name)[0][0].shape[1] == round(made(name).animation.width * animation.SCALE)


@every_animation
def test_its_words_say_that_something_moves(name):
    assert made(name).animation.alt.startswith("Animation. ")
    assert len(made(name).animation.alt) > 150


@every_animation
def test_the_first_frame_is_the_still_and_all_frames_look_as_painted(name):
    with Image.open(io.BytesIO(made(name).animation.png)) as image:
        assert not image.default_image  # a page without motion shows the first frame
    assert len(frames(name)) == len(made(name).painted)
    for (shown, _), painted in zip(frames(name), made(name).painted, strict=True):
        for ground in GROUNDS:
            difference = np.abs(on_ground(shown, ground) - on_ground(painted, ground)).max(-1)
            assert (difference > 60).mean() < 0.001  # a letter's edges, a photograph: approximated
            assert difference.mean() < 3


@every_animation
def test_the_page_shows_through_around_every_frame(name):
    for frame, _ in frames(name):
        assert not frame[[0, 0, -1, -1], [0, -1, 0, -1], 3].any()


@every_animation
def test_what_stands_on_the_page_itself_is_gray(name):
    """The words at the foot of the first frame: on a dark page as on a light one."""
    foot = frames(name)[0][0][-animation.pixels(18) :]
    letters = foot[foot[..., 3] > 200][:, :3]
    assert len(letters) > 100
    assert np.abs(letters.astype(int) - rgb(figures.TEXT)).max() < 6


@every_animation
def test_text_has_at_least_twelve_pixels(name):
    assert len(made(name).text_sizes) > 20
    assert min(made(name).text_sizes) >= 12


def test_frames_come_back_as_they_were_painted():
    """Only what differs from the frame before is stored: black and nothing must come back, too."""
    colors = [[0, 0, 0, 255], [255, 255, 255, 255], [200, 10, 30, 255], [255, 255, 255, 0]]
    colors += [[0, 0, 0, 130], [255, 255, 255, 130]]
    numbers = torch.randint(6, (6, 9, 14), generator=torch.Generator().manual_seed(0))
    numbers[1] = numbers[0].clamp(max=2)  # only opaque colors are new: laid over
    numbers[3] = numbers[2]
    numbers[4] = numbers[3]
    numbers[4, :2] = 0
    numbers[5] = numbers[4]
    numbers[5, 3, 4:7] = torch.tensor([3, 4, 5])  # so few that only they would be laid over
    painted = torch.tensor(colors)[numbers].to(torch.uint8).numpy()
    pictures = [(Image.fromarray(one), 100 + number) for number, one in enumerate(painted)]
    found = decoded(animation.animate(pictures, "Animation.").png)
    assert [duration for _, duration in found] == [100, 101, 102, 103, 104, 105]
    for (shown, _), expected in zip(found, painted, strict=True):
        assert np.array_equal(shown[expected[..., 3] == 255], expected[expected[..., 3] == 255])
        assert np.abs(shown[..., 3].astype(int) - expected[..., 3]).max() < 4
        for ground in GROUNDS:
            assert np.allclose(on_ground(shown, ground), on_ground(expected, ground), atol=4)


def test_notebooks_get_the_image_its_words_and_its_width(monkeypatch):
    shown = []
    monkeypatch.setattr(style, "display", lambda *one, **more: shown.append((one, more)))
    figures.show_animation(figures.Animation(b"png", "A cat rolls.", 300))
    (bundle,), options = shown[0]
    assert bundle == {"image/png": b"png", "text/plain": "<Animation: A cat rolls.>"}
    assert options["metadata"]["image/png"] == {"alt": "A cat rolls.", "width": 300}
    assert figures.Animation(b"png", "A cat rolls.", 300)._repr_mimebundle_()[0] == bundle


@pytest.mark.parametrize("geometry", [((7, 12), 4, 2), ((8, 12), 4, 0), ((4, 12), 4, 2)])
def test_maps_without_two_shifted_axes_are_refused(geometry):
    for make in (figures.animate_packing, figures.animate_mask_rows, figures.animate_reach):
        with pytest.raises(ValueError, match="has padding, or an axis without a shift"):
            make(*geometry)


# --- the roll ---


def test_the_roll_ends_where_the_cyclic_shift_does():
    stage = roll._RollStage(GRID)
    first, last = frames("roll")[0][0], frames("roll")[-1][0]
    corner = stage.lefts[1], stage.top
    home = cell_colors(first, corner, stage.side, 8, 12, at=0.5)
    assert cell_colors(last, corner, stage.side, 8, 12, at=0.5) == region_colors(GRID.region_ids())
    assert home != region_colors(GRID.region_ids())
    # The photograph, token by token, without the pixels at its tokens' edges: lines lie there.
    before, after = (photograph_as_tokens(frame, stage) for frame in (first, last))
    assert torch.equal(after, cyclic_shift(before, 2))
    assert not torch.equal(after, before)


def photograph_as_tokens(frame, stage):
    side = animation.pixels(stage.side)
    top, left = animation.pixels(stage.top), animation.pixels(stage.lefts[0])
    crop = torch.tensor(frame[top : top + 8 * side, left : left + 12 * side, :3].astype(np.int64))
    tokens = crop.view(8, side, 12, side, 3)[:, 8:-8, :, 8:-8]
    return tokens.permute(0, 2, 1, 3, 4).reshape(1, 8, 12, -1)


def test_what_leaves_at_the_top_comes_in_at_the_bottom():
    tile = np.arange(6 * 3 * 4, dtype=np.uint8).reshape(6, 3, 4)
    plane = roll.moving_plane(tile, axis=0, moved=1, distance=2)
    in_frame = plane[1:7]
    assert np.array_equal(in_frame[..., :3], np.roll(tile, -1, 0)[..., :3])
    assert (in_frame[..., 3] == 255).all()
    assert (plane[[0, 7], :, 3] < 100).all()  # outside of the map's frame: pale
    assert np.array_equal(plane[7, :, :3], tile[1, :, :3])


def test_a_token_is_outlined_where_it_starts_and_where_the_roll_takes_it():
    tokens = photograph_tokens("chelsea", 8, 12)
    outlined = decoded(figures.animate_roll(tokens, token=(0, 9)).png)
    side = roll._RollStage(GRID).side
    for number, (y, x) in ((0, (0, 9)), (-1, (6, 7))):
        differs = (outlined[number][0] != frames("roll")[number][0]).any(-1)
        for left in roll._RollStage(GRID).lefts:
            top = roll._RollStage(GRID).top
            inside = [
                differs[animation.pixels(top + (row + 0.25) * side), animation.pixels(at)]
                for row, column in ((y, x), (y, x + 1), (y + 1, x))
                for at in [left + column * side + 6]
            ]
            assert inside == [True, False, False]


def test_columns_move_as_rows_do():
    tile = np.arange(3 * 6 * 4, dtype=np.uint8).reshape(3, 6, 4)
    by_columns = roll.moving_plane(tile, axis=1, moved=2, distance=3)
    by_rows = roll.moving_plane(tile.transpose(1, 0, 2), axis=0, moved=2, distance=3)
    assert np.array_equal(by_columns, by_rows.transpose(1, 0, 2))


def test_a_portrait_is_as_light_as_a_landscape():
    portrait = figures.animate_roll(photograph_tokens("chelsea", 12, 8))
    assert len(portrait.png) < 400_000
    assert portrait.width < 800


# --- short windows and their partners ---


def test_pieces_are_the_true_windows_and_end_in_the_window_that_holds_them():
    grid = WindowGrid((10, 6), (5, 3), (2, 1))
    ids = window_partition(grid.region_ids()[None, ..., None], grid.window_size)[0, ..., 0]
    expected = [
        ((rows[0], columns[0]), (len(rows), len(columns)))
        for rows, columns in true_windows(grid.size, grid.window_size, grid.shift_size)
    ]
    found = packing.pieces(grid)
    assert [(piece.home, piece.size) for piece in found] == expected
    assert all((ids[piece.window] == piece.region).any() for piece in found)


def test_packed_pieces_stand_as_on_the_rolled_map():
    stage = packing._PackingStage(GRID)
    last = frames("packing")[-1][0]
    wh, ww = GRID.window_size
    ids = window_partition(GRID.region_ids()[None, ..., None], 4)[0, ..., 0].view(-1, wh, ww)
    for window in range(GRID.num_windows):
        row, column = divmod(window, 3)
        x = stage.right + column * (ww * stage.side + stage.gap)
        y = stage.top + row * (wh * stage.side + stage.gap)
        assert cell_colors(last, (x, y), stage.side, wh, ww, at=0.5) == region_colors(ids[window])


def test_only_what_has_arrived_counts_as_packed(monkeypatch):
    counts = []

    def watched_write(axes, x, y, text, *more, **options):
        if "packed" in text and "tokens" in text:
            counts.append(int(text.splitlines()[1].split()[0]))

    monkeypatch.setattr(packing, "write", watched_write)
    figures.animate_packing()
    runs = [(count, len([*frames])) for count, frames in groupby(counts)]
    assert runs == [(96, 1), (0, 6), (32, 7), (48, 7), (80, 7), (96, 2)]  # not while they travel


def test_every_piece_travels_once():
    together = [piece for _, pieces in packing._partners(GRID) for piece in pieces]
    assert sorted(piece.region for piece in together) == list(range(12))
    assert [len(pieces) for _, pieces in packing._partners(GRID)] == [2, 2, 4, 4]


# --- masks ---


def test_the_rows_make_the_mask_one_after_another():
    stage = mask_rows._RowStage(GRID)
    mask = GRID.mask()[-1]
    assert not mask.all()
    finished = []
    for frame, _ in frames("mask_rows"):
        shown = cell_colors(frame, stage.corner, stage.cell, 16, 16)
        done = sum(None not in row for row in shown)
        assert shown[:done] == mask_colors(mask[:done])
        finished.append(done)
    assert finished[0] == finished[-1] == 16
    assert finished[1] == 0
    assert finished[1:] == sorted(finished[1:])
    assert set(finished) == set(range(17))


def test_a_querys_picture_is_its_row_of_the_mask():
    stage = mask_rows._RowStage(GRID)
    sheet = np.asarray(stage.frame("", 7, 0))
    shown = cell_colors(sheet, stage.picture, stage.cell, 4, 4)
    assert shown == mask_colors(GRID.mask()[-1, 7].view(4, 4))
    sheet = np.asarray(stage.frame("", 7, 0, 1.0))  # unrolled
    shown = cell_colors(sheet, stage._cell(7, 0), stage.cell, 1, 16)
    assert shown == mask_colors(GRID.mask()[-1, 7:8])


@pytest.mark.parametrize("grid", [GRID, WindowGrid((10, 6), (5, 3), (2, 1))])
def test_the_and_of_both_axes_is_the_mask_of_the_window(grid):
    rows, columns = two_axes.repeated_masks(grid)
    assert torch.equal(rows & columns, grid.mask()[-1])
    assert not torch.equal(rows, columns)


def test_the_last_frame_shows_the_and():
    stage = two_axes._AndStage(GRID)
    last = frames("and")[-1][0]
    rows, columns = two_axes.repeated_masks(GRID)
    shown = (rows, stage.large[0]), (columns, stage.large[1]), (GRID.mask()[-1], stage.result)
    for mask, corner in shown:
        assert cell_colors(last, corner, stage.cell, 16, 16) == mask_colors(mask)


# --- reach ---


def reachable(size, window, shifts, token):
    """Say after how many blocks each token is reached, by true windows alone."""
    reached = {token: 0}
    for block, shift in enumerate(shifts, start=1):
        for rows, columns in true_windows(size, window, shift):
            tokens = [(y, x) for y in rows for x in columns]
            if any(reached.get(one, block) < block for one in tokens):
                for one in tokens:
                    reached.setdefault(one, block)
    return [[reached.get((y, x), reach.NEVER) for x in range(size[1])] for y in range(size[0])]


def test_a_token_is_reached_when_a_true_window_passes_it_on():
    grids = [WindowGrid((12, 8), (4, 2)), WindowGrid((12, 8), (4, 2), (1, 1))]
    found = reach.first_reached([*grids, *grids], (2, 5))
    assert found.tolist() == reachable((12, 8), (4, 2), [(0, 0), (1, 1)] * 2, (2, 5))
    assert set(found.flatten().tolist()) == {-1, 0, 1, 2, 3, 4}


def test_each_frame_fills_in_what_is_reached():
    plain, shifted = WindowGrid((12, 16), 4), WindowGrid((12, 16), 4, 2)
    in_turn = [plain, shifted, plain, shifted, plain]
    stage = reach._ReachStage(in_turn, [plain] * 5, (5, 6))
    for grids, left in zip((in_turn, [plain] * 5), stage.lefts, strict=True):
        reached = reach.first_reached(grids, (5, 6)).tolist()
        last = cell_colors(frames("reach")[-1][0], (left, stage.top), stage.side, 12, 16)
        for colors, blocks in zip(last, reached, strict=True):
            for one, block in zip(colors, blocks, strict=True):
                named = {reach.NEVER: reach._UNREACHED, 0: figures.QUERY}
                assert one == rgb(named.get(block) or reach._BLOCKS[block - 1])


def test_every_count_is_one_that_a_block_yields(monkeypatch):
    """All tokens of a window learn at once: 9 or 25 of them never know while the others do not."""
    counts = []

    def watched_write(axes, x, y, text, *more, **options):
        if "tokens know" in text:
            counts.append(int(text.split()[0]))

    monkeypatch.setattr(reach, "write", watched_write)
    figures.animate_reach()
    in_turn, alone = ([count for count, _ in groupby(counts[panel::2])] for panel in (0, 1))
    assert in_turn == [192, 1, 16, 64, 144, 168, 192]
    assert alone == [16, 1, 16]


def test_who_learns_in_a_block_appears_at_once():
    plain = WindowGrid((8, 12), 4)
    stage = reach._ReachStage([plain] * 2, [plain] * 2, (2, 5))
    assert stage.knows(0, 0).nonzero().tolist() == [[2, 5]]
    assert stage.knows(0, 1).sum() == 16
    before, halfway, after = (
        cell_colors(np.asarray(frame), (stage.lefts[0], stage.top), stage.side, 8, 12)
        for frame in (stage.frame("", 0), stage.frame("", 0, 0.5), stage.frame("", 1))
    )
    for row, column in stage.knows(0, 1).nonzero().tolist():
        colors = [one[row][column] for one in (before, halfway, after)]
        assert len(set(colors)) == (1 if (row, column) == (2, 5) else 3)
    assert halfway[0][4] == halfway[3][7]
    assert halfway[0][0] == before[0][0]


@pytest.mark.parametrize(("token", "blocks"), [((12, 0), 5), ((0, 0), 0), ((0, 0), 7)])
def test_a_token_off_the_map_or_too_many_blocks_are_refused(token, blocks):
    with pytest.raises(ValueError, match=r"no token|blocks must be between"):
        figures.animate_reach(token=token, blocks=blocks)
