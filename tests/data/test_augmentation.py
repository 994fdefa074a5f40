"""Draws lie where they may, and what is drawn is what happens; no image here is square."""

import dataclasses
import itertools
import re

import numpy as np
import pytest
import torch

from swin_tutorial.data.augmentation import (
    Augmentation,
    Draws,
    crop,
    crop_box,
    draw,
    draw_crops,
    erase,
    generator,
    mix,
    mix_targets,
    mixing_partners,
    normalize,
    rectangle_mask,
)
from swin_tutorial.data.randaugment import draw_operations

HEIGHT, WIDTH = 5, 8
EVERYTHING = Augmentation(
    crop_padding=2, flip_prob=0.4, random_erasing=0.3, mixup=0.8, cutmix=1.0, mix_prob=0.9
)


def draws_for(augmentation, batch_size=4000, height=HEIGHT, width=WIDTH, seed=0):
    return draw(augmentation, batch_size, height, width, generator("test", seed))


def draws_by_hand(batch_size, **given):
    """Return draws that change nothing but what is given."""
    nothing = {
        "top": torch.zeros(batch_size, dtype=torch.int64),
        "left": torch.zeros(batch_size, dtype=torch.int64),
        "flipped": torch.zeros(batch_size, dtype=torch.bool),
        "erased": torch.zeros(batch_size, 4, dtype=torch.int64),
        "pasted": torch.zeros(batch_size, 4, dtype=torch.int64),
        "lam": torch.ones(batch_size),
    }
    return Draws(**nothing | {name: torch.tensor(value) for name, value in given.items()})


def pixels_in(rectangle):
    """Return the places in a rectangle, one by one."""
    top, left, height, width = rectangle
    return set(itertools.product(range(top, top + height), range(left, left + width)))


# --- random numbers ---


def test_a_generator_depends_on_purpose_seed_and_each_number():
    streams = [("a", 0), ("a", 1), ("b", 0), ("a", 0, 0), ("a", 0, 0, 0), ("a", 0, 0, 1)]
    streams += [("a", 1, 0), ("a", 0, 1), ("a", 0, 1, 0)]
    first = [generator(*stream).integers(2**62) for stream in streams]
    assert len(set(first)) == len(streams)
    assert first == [generator(*stream).integers(2**62) for stream in streams]
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        generator("a", -1)


def test_an_ablation_leaves_all_other_draws_as_they_were():
    whole = draws_for(EVERYTHING)
    ablated = {
        "crop_padding": {"top", "left"},
        "flip_prob": {"flipped"},
        "random_erasing": {"erased"},
        "mixup": {"pasted", "lam"},
        "cutmix": {"pasted", "lam"},
    }
    for name, changed in ablated.items():
        values = {**vars(EVERYTHING), name: type(getattr(EVERYTHING, name))(0)}
        without = draws_for(Augmentation(**values))
        differing = {
            field
            for field in vars(whole)
            if not torch.equal(getattr(whole, field), getattr(without, field))
        }
        assert differing == changed, name


def test_mixup_draws_the_same_lam_whatever_the_alpha_of_cutmix():
    first, second = (draws_for(Augmentation(mixup=0.8, cutmix=alpha)) for alpha in (0.3, 1.0))
    blended = [(draws.pasted[:, 2] == 0) & (draws.lam < 1) for draws in (first, second)]
    both = blended[0] & blended[1]
    assert both.sum() > 1500
    assert torch.equal(first.lam[both], second.lam[both])


def test_nothing_is_drawn_by_default():
    draws, nothing = draws_for(Augmentation(), 7), draws_by_hand(7)
    for name, value in vars(nothing).items():
        assert torch.equal(getattr(draws, name), value), name


def test_recorded_runs_can_be_repeated():
    """These numbers were drawn by the code that trained the recorded runs: they must not change."""
    assert generator("order", 5, 1).permutation(10).tolist() == [0, 1, 4, 8, 7, 5, 9, 6, 2, 3]
    draws = draw(EVERYTHING, 4, 28, 20, generator("augmentation", 5, 1, 2))
    assert draws.top.tolist() == [2, 4, 0, 4]
    assert draws.left.tolist() == [1, 4, 1, 2]
    assert draws.flipped.tolist() == [True, False, True, False]
    erased = [[1, 4, 4, 4], [0, 0, 0, 0], [17, 5, 6, 14], [6, 1, 11, 5]]
    assert draws.erased.tolist() == erased
    pasted = [[0, 0, 0, 0], [3, 6, 9, 7], [3, 5, 20, 14], [0, 0, 0, 0]]
    assert draws.pasted.tolist() == pasted
    assert draws.lam.tolist() == pytest.approx([0.9626, 0.8875, 0.5, 1.0], abs=1e-4)
    crops = draw_crops(2, (0.08, 1.0), generator("crop", 5, 1, 2))
    expected = [[0.3584, 0.9046, 0.5193, 0.1111], [0.3558, 1.0753, 0.1164, 0.6883]]
    assert crops == pytest.approx(np.array(expected), abs=1e-4)


# --- crop and flip ---


def test_a_crop_is_the_slice_by_hand():
    images = torch.arange(3 * 2 * 9 * 12).view(3, 2, 9, 12).byte()
    assert images[0].unique().numel() == 216
    draws = draws_by_hand(
        4, top=[0, 1, 4, 3], left=[2, 4, 0, 1], flipped=[False, True, False, True]
    )
    which = torch.tensor([2, 0, 0, 1])
    out = crop(images, which, draws, HEIGHT, WIDTH)
    assert out.shape == (4, 2, HEIGHT, WIDTH)
    assert torch.equal(out[0], images[2, :, 0:5, 2:10])
    assert torch.equal(out[1], images[0, :, 1:6, 4:12].flip(-1))
    assert torch.equal(out[2], images[0, :, 4:9, 0:8])
    assert torch.equal(out[3], images[1, :, 3:8, 1:9].flip(-1))


def test_crops_take_every_place_equally_often_and_flips_their_share():
    draws = draws_for(EVERYTHING, 20_000)
    for offsets in (draws.top, draws.left):
        counts = torch.bincount(offsets)
        assert len(counts) == 2 * EVERYTHING.crop_padding + 1
        assert (counts / 4000 - 1).abs().max() < 0.08
    together = torch.bincount(draws.top * 5 + draws.left, minlength=25)
    assert (together / 800 - 1).abs().max() < 0.2  # independently of each other
    assert abs(draws.flipped.float().mean() - 0.4) < 0.015


def test_a_crop_of_a_file_lies_inside_and_has_the_area_drawn():
    crops = draw_crops(3000, (0.3, 0.9), generator("test", 1))
    for area, ratio, *place in crops.tolist():
        left, top, right, bottom = crop_box([area, ratio, *place], 40, 130)
        assert 0 <= left < right <= 130
        assert 0 <= top < bottom <= 40
        if bottom - top < 40:
            assert (right - left) * (bottom - top) == pytest.approx(area * 40 * 130)
            assert (right - left) / (bottom - top) == pytest.approx(ratio)
        else:
            assert (right - left) * 40 <= area * 40 * 130 + 1e-9
    assert crops[:, 0].min() == pytest.approx(0.3, abs=0.005)
    assert crops[:, 0].max() == pytest.approx(0.9, abs=0.005)
    assert crops[:, 1].min() == pytest.approx(3 / 4, abs=0.005)
    assert crops[:, 1].max() == pytest.approx(4 / 3, abs=0.005)
    boxes = np.array([crop_box(row, 40, 130) for row in crops.tolist()])
    assert boxes[:, 0].min() < 1
    assert boxes[:, 2].max() > 129


# --- erasing ---


def test_the_mask_of_a_rectangle_is_each_pixel_of_the_rectangle():
    rectangles = [[1, 2, 3, 4], [0, 0, 5, 8], [4, 7, 1, 1], [2, 3, 0, 5], [0, 5, 2, 3]]
    masks = rectangle_mask(torch.tensor(rectangles), HEIGHT, WIDTH)
    assert masks.shape == (5, 1, HEIGHT, WIDTH)
    for mask, rectangle in zip(masks, rectangles, strict=True):
        assert {tuple(place) for place in mask[0].nonzero().tolist()} == pixels_in(rectangle)


def test_erasing_sets_only_the_rectangle_to_the_mean():
    images = torch.arange(1.0, 1 + 2 * 3 * HEIGHT * WIDTH).view(2, 3, HEIGHT, WIDTH)
    out = erase(images, torch.tensor([[1, 5, 3, 2], [0, 0, 0, 0]]))
    assert (out[0, :, 1:4, 5:7] == 0).all()
    assert (out == 0).sum() == 3 * 3 * 2
    assert torch.equal(out[out != 0], images[out != 0])


def test_erased_rectangles_lie_inside_and_reach_every_corner():
    height, width, batch = 9, 14, 20_000
    rectangles = draws_for(EVERYTHING, batch, height, width).erased
    happens = rectangles[:, 2] > 0
    assert abs(happens.float().mean() - 0.3) < 0.015
    assert (rectangles[~happens] == 0).all()
    top, left, rows, columns = rectangles[happens].unbind(1)
    assert (torch.stack([top, left]) >= 0).all()
    assert (torch.stack([rows, columns]) >= 1).all()
    assert (top + rows <= height).all()
    assert (left + columns <= width).all()
    assert rectangle_mask(rectangles[happens], height, width).sum(0).min() > 100
    # On average half of the largest and smallest area, less what is cut to fit the height.
    share = (rows * columns / (height * width)).float().mean()
    assert 0.14 < share < (0.02 + 1 / 3) / 2 + 0.01
    assert (rows > columns).sum() > 1000
    assert (columns > rows).sum() > 1000


# --- mixing ---


def test_a_blend_and_a_pasted_rectangle_are_those_by_hand():
    images = torch.arange(3 * 2 * HEIGHT * WIDTH).view(3, 2, HEIGHT, WIDTH).float()
    others = 1000 + images
    lam = [0.25, 1 - 6 / 40, 1.0]
    draws = draws_by_hand(3, lam=lam, pasted=[[0, 0, 0, 0], [1, 4, 2, 3], [0, 0, 0, 0]])
    out = mix(images, others, draws)
    assert torch.equal(out[0], images[0] * 0.25 + others[0] * 0.75)
    pasted = images[1].clone()
    pasted[:, 1:3, 4:7] = others[1, :, 1:3, 4:7]
    assert torch.equal(out[1], pasted)
    assert torch.equal(out[2], images[2])


@pytest.mark.parametrize(
    "augmentation", [EVERYTHING, Augmentation(mixup=0.3), Augmentation(cutmix=2.0)]
)
def test_targets_are_the_shares_of_the_pixels(augmentation):
    """One class is all zeros and the other all ones, so a mean is a share."""
    batch = 500
    draws = draws_for(augmentation, batch)
    images, others = torch.zeros(batch, 1, HEIGHT, WIDTH), torch.ones(batch, 1, HEIGHT, WIDTH)
    share_of_others = mix(images, others, draws).mean((1, 2, 3))
    labels, other_labels = torch.full((batch,), 2), torch.full((batch,), 0)
    targets = mix_targets(labels, other_labels, draws.lam, 3)
    assert torch.allclose(targets[:, 0], share_of_others, atol=1e-6, rtol=0)
    assert torch.allclose(targets.sum(1), torch.ones(batch), atol=1e-7, rtol=0)
    assert (targets[:, 1] == 0).all()
    assert (targets >= 0).all()
    pasted = draws.pasted[:, 2] > 0
    area = draws.pasted[pasted, 2] * draws.pasted[pasted, 3]
    assert torch.equal(draws.lam[pasted], ((HEIGHT * WIDTH - area) / (HEIGHT * WIDTH)).float())
    assert (draws.lam < 1).sum() > 300


def test_a_class_mixed_with_itself_stays_whole():
    labels = torch.tensor([1, 0])
    targets = mix_targets(labels, labels, torch.tensor([0.25, 1.0]), 2)
    assert targets.tolist() == [[0, 1], [1, 0]]


def test_pasted_rectangles_lie_inside_and_keep_the_proportions():
    height, width = 20, 50
    draws = draws_for(Augmentation(cutmix=1.0), 5000, height, width)
    top, left, rows, columns = draws.pasted.unbind(1)
    assert (torch.stack([top, left, rows, columns]) >= 0).all()
    assert (top + rows <= height).all()
    assert (left + columns <= width).all()
    assert (rows * width / height - columns).abs().max() <= (width / height + 1) / 2
    assert rectangle_mask(draws.pasted, height, width).sum(0).min() > 100
    assert abs(draws.lam.mean() - 0.5) < 0.02  # the mean of Beta(1, 1)


def test_each_image_takes_one_way_of_mixing_in_its_share():
    draws = draws_for(EVERYTHING, 20_000)
    pasted = draws.pasted[:, 2] > 0
    blended = (draws.lam < 1) & ~pasted
    # A pasted rectangle can be so small that it rounds to nothing.
    assert abs(blended.float().mean() - 0.45) < 0.015
    assert 0.41 < pasted.float().mean() < 0.46
    only = draws_for(Augmentation(mixup=0.8), 500)
    assert (only.pasted == 0).all()
    assert (only.lam < 1).all()
    assert (draws_for(Augmentation(cutmix=1.0), 500).pasted[:, 2] > 0).float().mean() > 0.95
    assert (draws_for(Augmentation(mixup=0.8, mix_prob=0.0), 500).lam == 1).all()


def test_partners_are_neighbors_and_the_last_of_an_odd_batch_is_its_own():
    assert mixing_partners(6).tolist() == [1, 0, 3, 2, 5, 4]
    assert mixing_partners(5).tolist() == [1, 0, 3, 2, 4]
    assert mixing_partners(1).tolist() == [0]


# --- values ---


def test_each_channel_is_normalized_by_its_own_statistics():
    images = torch.tensor([0, 51, 255, 102], dtype=torch.uint8).view(1, 2, 1, 2)
    out = normalize(images, torch.tensor([0.2, 0.5]), torch.tensor([0.1, 0.25]))
    assert out.dtype == torch.float32
    assert torch.allclose(out.flatten(), torch.tensor([-2.0, 0.0, 2.0, -0.4]), atol=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "name", ["crop_padding", "flip_prob", "random_erasing", "mixup", "cutmix", "mix_prob"]
)
def test_a_value_out_of_range_is_named(name):
    with pytest.raises(ValueError, match=f"^{name} .*-1"):
        Augmentation(**{name: -1})
    is_probability = name in ("flip_prob", "random_erasing", "mix_prob")
    is_alpha = name in ("mixup", "cutmix")
    for bad in [1.5, float("nan")] * is_probability + [float("inf"), float("nan")] * is_alpha:
        with pytest.raises(ValueError, match=f"^{name} .*got {bad}"):
            Augmentation(**{name: bad})


@pytest.mark.parametrize("bad", [-0.1, 10.1, float("nan")])
def test_a_magnitude_out_of_range_is_named(bad):
    with pytest.raises(ValueError, match=f"^randaugment is a magnitude, 0 to 10, got {bad}$"):
        Augmentation(randaugment=bad)
    assert [Augmentation(randaugment=good).randaugment for good in (0.0, 10.0)] == [0.0, 10.0]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "scale",
    [
        (0.0, 1.0),
        (0.5, 0.2),
        (0.5, 1.5),
        (-0.1, 1.0),
        (float("nan"), 1.0),
        (0.5, float("nan")),
        (0.5,),
        (0.1, 0.5, 1.0),
        (True, True),
        ("0.1", "1"),
        0.5,
        [0.1, 1.0],
        "ab",
        (),
    ],
)
def test_an_impossible_crop_is_refused(scale):
    message = "crop_scale must be a tuple of the smallest and the largest area, above 0 and up to 1"
    with pytest.raises(ValueError, match=f"^{message}, got {re.escape(repr(scale))}$"):
        Augmentation(crop_scale=scale)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("bad", [True, "0.5", None, [1]])
def test_what_is_no_number_is_refused(bad):
    names = {field.name for field in dataclasses.fields(Augmentation)} - {"crop_scale"}
    whole = {"crop_padding", "mix_until"}
    for name in names - whole:
        with pytest.raises(ValueError, match=f"^{name} ") as got:
            Augmentation(**{name: bad})
        assert str(got.value).endswith(f"got {bad!r}")
    for name in whole:
        if (name, bad) != ("mix_until", None):  # None is never
            with pytest.raises(TypeError, match=f"{name} must be a whole number"):
                Augmentation(**{name: bad})
        with pytest.raises(TypeError, match=rf"{name} must be a whole number, got 1\.5"):
            Augmentation(**{name: 1.5})


def test_a_batch_of_no_images_stays_empty():
    """As the share of a process may be."""
    rng = generator("test", 0)
    draws, none = draw(EVERYTHING, 0, HEIGHT, WIDTH, rng), torch.zeros(0, dtype=torch.int64)
    assert draw_crops(0, (0.08, 1.0), rng).shape == (0, 4)
    assert draw_operations(0, 9.0, rng) == []
    padded = torch.zeros(3, 2, HEIGHT + 4, WIDTH + 4, dtype=torch.uint8)
    x = crop(padded, none, draws.select(none), HEIGHT, WIDTH)
    x = erase(normalize(x, torch.zeros(2), torch.ones(2)), draws.erased)
    assert mix(x, x, draws).shape == (0, 2, HEIGHT, WIDTH)
    assert mix_targets(none, none, draws.lam, 3).shape == (0, 3)
    assert mixing_partners(0).tolist() == []
