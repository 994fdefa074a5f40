"""What is drawn lies where it may, and what is drawn is what happens; no map is square."""

import itertools

import numpy as np
import pytest
import torch

from swin_tutorial.augmentation import (
    Augmentation,
    Draws,
    crop_box,
    cropped,
    draw,
    draw_crops,
    erased,
    generator,
    inside,
    mixed,
    mixed_targets,
    normalised,
    partners,
)

HEIGHT, WIDTH = 5, 8
EVERYTHING = Augmentation(crop_padding=2, flip=0.4, erasing=0.3, mixup=0.8, cutmix=1.0, mixed=0.9)


def drawn(augmentation, batch=4000, height=HEIGHT, width=WIDTH, seed=0):
    return draw(augmentation, batch, height, width, generator("test", seed))


def draws_of(batch, **given):
    """Return draws that change nothing but what is given."""
    nothing = {
        "top": torch.zeros(batch, dtype=torch.int64),
        "left": torch.zeros(batch, dtype=torch.int64),
        "flipped": torch.zeros(batch, dtype=torch.bool),
        "erased": torch.zeros(batch, 4, dtype=torch.int64),
        "pasted": torch.zeros(batch, 4, dtype=torch.int64),
        "kept": torch.ones(batch),
    }
    return Draws(**nothing | {name: torch.tensor(one) for name, one in given.items()})


def pixels_in(rectangle):
    """Return the places in a rectangle, one by one."""
    top, left, height, width = rectangle
    return set(itertools.product(range(top, top + height), range(left, left + width)))


# --- random numbers ---


def test_a_generator_depends_on_purpose_seed_and_each_number():
    streams = [("a", 0), ("a", 1), ("b", 0), ("a", 0, 0), ("a", 0, 0, 0), ("a", 0, 0, 1)]
    streams += [("a", 1, 0), ("a", 0, 1), ("a", 0, 1, 0)]
    first = [generator(*one).integers(2**62) for one in streams]
    assert len(set(first)) == len(streams)
    assert first == [generator(*one).integers(2**62) for one in streams]


def test_an_ablation_leaves_all_other_draws_as_they_were():
    whole = drawn(EVERYTHING)
    ablated = {
        "crop_padding": {"top", "left"},
        "flip": {"flipped"},
        "erasing": {"erased"},
        "mixup": {"pasted", "kept"},
        "cutmix": {"pasted", "kept"},
    }
    for name, changed in ablated.items():
        values = {**vars(EVERYTHING), name: type(getattr(EVERYTHING, name))(0)}
        without = drawn(Augmentation(**values))
        differing = {
            one
            for one in vars(whole)
            if not torch.equal(getattr(whole, one), getattr(without, one))
        }
        assert differing == changed, name


def test_mixup_takes_the_same_shares_whatever_the_alpha_of_cutmix():
    shares = [drawn(Augmentation(mixup=0.8, cutmix=alpha)) for alpha in (0.3, 1.0)]
    blended = [(one.pasted[:, 2] == 0) & (one.kept < 1) for one in shares]
    both = blended[0] & blended[1]
    assert both.sum() > 1500
    assert torch.equal(shares[0].kept[both], shares[1].kept[both])


def test_nothing_is_drawn_by_default():
    draws, nothing = drawn(Augmentation(), 7), draws_of(7)
    for name, value in vars(nothing).items():
        assert torch.equal(getattr(draws, name), value), name


# --- crop and flip ---


def test_a_crop_is_the_slice_by_hand():
    images = torch.arange(3 * 2 * 9 * 12).view(3, 2, 9, 12).byte()
    assert images[0].unique().numel() == 216
    draws = draws_of(4, top=[0, 1, 4, 3], left=[2, 4, 0, 1], flipped=[False, True, False, True])
    which = torch.tensor([2, 0, 0, 1])
    out = cropped(images, which, draws, HEIGHT, WIDTH)
    assert out.shape == (4, 2, HEIGHT, WIDTH)
    assert torch.equal(out[0], images[2, :, 0:5, 2:10])
    assert torch.equal(out[1], images[0, :, 1:6, 4:12].flip(-1))
    assert torch.equal(out[2], images[0, :, 4:9, 0:8])
    assert torch.equal(out[3], images[1, :, 3:8, 1:9].flip(-1))


def test_crops_take_every_place_equally_often_and_flips_their_share():
    draws = drawn(EVERYTHING, 20_000)
    for offsets in (draws.top, draws.left):
        counts = torch.bincount(offsets)
        assert len(counts) == 2 * EVERYTHING.crop_padding + 1
        assert (counts / 4000 - 1).abs().max() < 0.08
    together = torch.bincount(draws.top * 5 + draws.left, minlength=25)
    assert (together / 800 - 1).abs().max() < 0.2  # the two are drawn apart
    assert abs(draws.flipped.float().mean() - 0.4) < 0.015


def test_a_crop_of_a_file_lies_inside_and_has_the_area_drawn():
    crops = draw_crops(3000, 0.2, generator("test", 1))
    for (area, ratio, *_), crop in zip(crops, crops.tolist(), strict=True):
        left, top, right, bottom = crop_box(crop, 40, 130)
        assert 0 <= left < right <= 130
        assert 0 <= top < bottom <= 40
        if bottom - top < 40:
            assert (right - left) * (bottom - top) == pytest.approx(area * 40 * 130)
            assert (right - left) / (bottom - top) == pytest.approx(ratio)
        else:
            assert (right - left) * 40 <= area * 40 * 130 + 1e-9
    assert crops[:, 0].min() < 0.21
    assert crops[:, 0].max() > 0.99
    assert crops[:, 1].min() < 0.76
    assert crops[:, 1].max() > 1.32
    boxes = np.array([crop_box(one, 40, 130) for one in crops.tolist()])
    assert boxes[:, 0].min() < 1
    assert boxes[:, 2].max() > 129


# --- erasing ---


def test_inside_is_each_pixel_of_the_rectangle():
    rectangles = [[1, 2, 3, 4], [0, 0, 5, 8], [4, 7, 1, 1], [2, 3, 0, 5], [0, 5, 2, 3]]
    masks = inside(torch.tensor(rectangles), HEIGHT, WIDTH)
    assert masks.shape == (5, 1, HEIGHT, WIDTH)
    for mask, rectangle in zip(masks, rectangles, strict=True):
        assert {tuple(place) for place in mask[0].nonzero().tolist()} == pixels_in(rectangle)


def test_erasing_sets_the_rectangle_to_the_mean_and_nothing_else():
    images = torch.arange(1.0, 1 + 2 * 3 * HEIGHT * WIDTH).view(2, 3, HEIGHT, WIDTH)
    out = erased(images, torch.tensor([[1, 5, 3, 2], [0, 0, 0, 0]]))
    assert (out[0, :, 1:4, 5:7] == 0).all()
    assert (out == 0).sum() == 3 * 3 * 2
    assert torch.equal(out[out != 0], images[out != 0])


def test_erased_rectangles_lie_inside_and_reach_every_corner():
    height, width, batch = 9, 14, 20_000
    rectangles = drawn(EVERYTHING, batch, height, width).erased
    happens = rectangles[:, 2] > 0
    assert abs(happens.float().mean() - 0.3) < 0.015
    assert (rectangles[~happens] == 0).all()
    top, left, rows, columns = rectangles[happens].unbind(1)
    assert (torch.stack([top, left]) >= 0).all()
    assert (torch.stack([rows, columns]) >= 1).all()
    assert (top + rows <= height).all()
    assert (left + columns <= width).all()
    assert inside(rectangles[happens], height, width).sum(0).min() > 100
    # On average half of the largest and smallest area, less what is cut to fit the height.
    share = (rows * columns / (height * width)).float().mean()
    assert 0.14 < share < (0.02 + 1 / 3) / 2 + 0.01
    assert (rows > columns).sum() > 1000
    assert (columns > rows).sum() > 1000


# --- mixing ---


def test_a_blend_and_a_pasted_rectangle_are_those_by_hand():
    images = torch.arange(3 * 2 * HEIGHT * WIDTH).view(3, 2, HEIGHT, WIDTH).float()
    others = 1000 + images
    kept = [0.25, 1 - 6 / 40, 1.0]
    draws = draws_of(3, kept=kept, pasted=[[0, 0, 0, 0], [1, 4, 2, 3], [0, 0, 0, 0]])
    out = mixed(images, others, draws)
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
    draws = drawn(augmentation, batch)
    images, others = torch.zeros(batch, 1, HEIGHT, WIDTH), torch.ones(batch, 1, HEIGHT, WIDTH)
    share_of_others = mixed(images, others, draws).mean((1, 2, 3))
    labels, other_labels = torch.full((batch,), 2), torch.full((batch,), 0)
    targets = mixed_targets(labels, other_labels, draws.kept, 3)
    assert torch.allclose(targets[:, 0], share_of_others, atol=1e-6, rtol=0)
    assert torch.allclose(targets.sum(1), torch.ones(batch), atol=1e-7, rtol=0)
    assert (targets[:, 1] == 0).all()
    assert (targets >= 0).all()
    pasted = draws.pasted[:, 2] > 0
    area = draws.pasted[pasted, 2] * draws.pasted[pasted, 3]
    assert torch.equal(draws.kept[pasted], ((HEIGHT * WIDTH - area) / (HEIGHT * WIDTH)).float())
    assert (draws.kept < 1).sum() > 300


def test_a_class_mixed_with_itself_stays_whole():
    labels = torch.tensor([1, 0])
    targets = mixed_targets(labels, labels, torch.tensor([0.25, 1.0]), 2)
    assert targets.tolist() == [[0, 1], [1, 0]]


def test_pasted_rectangles_lie_inside_and_keep_the_proportions():
    height, width = 20, 50
    draws = drawn(Augmentation(cutmix=1.0), 5000, height, width)
    top, left, rows, columns = draws.pasted.unbind(1)
    assert (torch.stack([top, left, rows, columns]) >= 0).all()
    assert (top + rows <= height).all()
    assert (left + columns <= width).all()
    assert (rows * width / height - columns).abs().max() <= (width / height + 1) / 2
    assert inside(draws.pasted, height, width).sum(0).min() > 100
    assert abs(draws.kept.mean() - 0.5) < 0.02  # the mean of Beta(1, 1)


def test_each_image_takes_one_way_of_mixing_in_its_share():
    draws = drawn(EVERYTHING, 20_000)
    pasted = draws.pasted[:, 2] > 0
    blended = (draws.kept < 1) & ~pasted
    # A pasted rectangle can be so small that it rounds to nothing.
    assert abs(blended.float().mean() - 0.45) < 0.015
    assert 0.41 < pasted.float().mean() < 0.46
    only = drawn(Augmentation(mixup=0.8), 500)
    assert (only.pasted == 0).all()
    assert (only.kept < 1).all()
    assert (drawn(Augmentation(cutmix=1.0), 500).pasted[:, 2] > 0).float().mean() > 0.95
    assert (drawn(Augmentation(mixup=0.8, mixed=0.0), 500).kept == 1).all()


def test_the_neighbour_is_the_partner_and_the_odd_one_out_has_itself():
    assert partners(6).tolist() == [1, 0, 3, 2, 5, 4]
    assert partners(5).tolist() == [1, 0, 3, 2, 4]
    assert partners(1).tolist() == [0]


# --- values ---


def test_each_channel_is_normalised_by_its_own_statistics():
    images = torch.tensor([0, 51, 255, 102], dtype=torch.uint8).view(1, 2, 1, 2)
    out = normalised(images, torch.tensor([0.2, 0.5]), torch.tensor([0.1, 0.25]))
    assert out.dtype == torch.float32
    assert torch.allclose(out.flatten(), torch.tensor([-2.0, 0.0, 2.0, -0.4]), atol=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", ["crop_padding", "flip", "erasing", "mixup", "cutmix", "mixed"])
def test_a_value_out_of_range_is_named(name):
    with pytest.raises(ValueError, match=f"^{name} .*-1"):
        Augmentation(**{name: -1})
    for bad in (1.5, float("nan")) if name in ("flip", "erasing", "mixed") else (float("inf"),):
        with pytest.raises(ValueError, match=f"^{name} .*got {bad}"):
            Augmentation(**{name: bad})


@pytest.mark.parametrize("bad", [-0.1, 10.1, float("nan")])
def test_a_magnitude_out_of_range_is_named(bad):
    with pytest.raises(ValueError, match=f"^randaugment is a magnitude, 0 to 10, got {bad}$"):
        Augmentation(randaugment=bad)
    assert [Augmentation(randaugment=one).randaugment for one in (0.0, 10.0)] == [0.0, 10.0]
