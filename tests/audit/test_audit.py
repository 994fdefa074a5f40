"""What an audit asks, beyond the museum: numbers of axes, forms of blocks, and what it reports."""

import json
import math

import numpy as np
import pytest
import torch
from strangers import DIM, Official
from torch import nn

from swin_tutorial.audit import (
    MUSEUM,
    assert_mask_is_right,
    audit,
    audit_builder,
    audit_stage,
)
from swin_tutorial.audit.dependence import (
    dependence,
    random_map,
    subject,
    true_dependence,
    window_numbers,
)
from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.grid import WindowGrid
from swin_tutorial.model import SwinTransformerBlock

pytestmark = pytest.mark.usefixtures("unchecked")  # three times as fast

SMALL = [(8, 6), (4, 7), (3, 9)]


def our_block(heads=2, **options):
    torch.manual_seed(0)
    options = {"window_size": 4, "shift_size": 1, "padding": "attend", **options}
    return SwinTransformerBlock(DIM, heads, **options)


def specimen(name, window=(4, 4), shift=(1, 1), **options):
    kind = MUSEUM[name].specimen if name else Specimen
    return kind(window, shift, **options)


# --- who depends on whom ---


@pytest.mark.parametrize(
    "name", ["", "no mask", "no windows", "shift not undone", "look-ahead mask"]
)
def test_groups_find_what_single_tokens_find(name):
    grid = WindowGrid((6, 9), 4, 1, "attend")
    x = random_map(grid.size, 4, torch.float64)
    block = subject(specimen(name), x)
    one_by_one = []
    for key in range(54):
        changed = x.clone()
        changed.view(54, 4)[key] = torch.randn(4, dtype=torch.float64)
        one_by_one.append((block(changed) != block(x)).any(-1).flatten())
    measured = dependence(block, x, window_numbers(grid))
    assert torch.equal(measured, torch.stack(one_by_one, 1))
    assert torch.equal(measured, true_dependence((grid,))) == (name == "")


def test_a_right_block_is_asked_few_times():
    images = []

    def block(x):
        images.append(len(x))
        return specimen("", (7, 7), (3, 3))(x)

    grid = WindowGrid((28, 28), 7, 3, "attend")
    x = random_map(grid.size, 4, torch.float64)
    dependence(subject(block, x), x, window_numbers(grid))
    assert sum(images) < 100  # not 784


def test_some_keys_are_enough_to_find_a_leak():
    options = {"window_size": 4, "shift_size": 1, "dim": 4, "sizes": [(20, 24)], "keys": 60}
    assert audit(specimen(""), **options).is_right
    report = audit(specimen("no mask"), **options)
    assert report.findings[0].behavior.depends.shape == (480, 60)
    assert report.mistake.name == "no mask"
    with pytest.raises(ValueError, match="keys"):
        audit(specimen(""), **{**options, "keys": 0})


# --- other axes, several blocks, a new block for each map ---


@pytest.mark.parametrize("name", ["no mask", "rolled the wrong way", "rolled before padded"])
@pytest.mark.parametrize(("window", "shift"), [((4,), (1,)), ((3, 2, 4), (1, 1, 2))])
def test_mistakes_are_named_on_one_and_three_axes(name, window, shift):
    geometry = {"window_size": window, "shift_size": shift, "dim": 4}
    sizes = None if len(window) == 1 else [(6, 5, 4), (3, 2, 9), (6, 2, 8)]
    assert audit(specimen("", window, shift), sizes=sizes, **geometry).is_right
    report = audit(specimen(name, window, shift), sizes=sizes, **geometry)
    assert report.mistake.name == name


def test_on_a_ring_a_mask_is_a_mistake_and_none_is_right():
    geometry = {"window_size": 4, "shift_size": 1, "dim": 4, "periodic": True}
    rings = (True, True)
    for name in ("", "no mask"):
        assert audit(specimen(name, periodic=rings), **geometry).is_right
    report = audit(specimen("", periodic=(False, False)), **geometry)
    assert report.mistake.name == "ring cut open"


@pytest.mark.parametrize("name", ["no mask", "shift not undone", "rolled the wrong way"])
def test_a_stage_of_two_blocks(name):
    def stage(first, second):
        return lambda x: (y := x + first(x)) + second(y)

    plain = specimen("", shift=(0, 0))
    options = {"window_size": 4, "shift_sizes": [0, 1], "dim": 4, "sizes": [(8, 12), (9, 7)]}
    assert audit_stage(stage(plain, specimen("")), **options).is_right
    assert not audit_stage(stage(plain, plain), **options).is_right
    report = audit_stage(stage(plain, specimen(name)), **options)
    assert report.mistake.name == name


def test_a_builder_gets_each_geometry():
    seen = []

    def build(size, window_size, shift_size):
        seen.append((size, window_size, shift_size))
        return specimen("shift fixed at build size", window_size, shift_size)

    assert audit_builder(build, dim=4).is_right  # a new block is built for each size
    assert ((8, 12), (4, 4), (1, 1)) in seen
    assert any(window == (5, 5) for _, window, _ in seen)


# --- forms of blocks ---


def test_a_block_of_arrays():
    def arrays(block):
        def call(x):
            if not isinstance(x, np.ndarray):
                raise TypeError("arrays only")
            return block(torch.from_numpy(x).double()).numpy()

        return call

    options = {"window_size": 4, "shift_size": 1, "dim": 4, "sizes": SMALL}
    report = audit(arrays(specimen("")), **options)
    assert report.is_right
    assert report.softness is None
    assert audit(arrays(specimen("no mask")), **options).mistake.name == "no mask"


def test_a_block_in_single_precision_only():
    def single(block):
        def call(x):
            if x.dtype != torch.float32:
                raise TypeError("single precision only")
            return block(x).float()

        return call

    options = {"window_size": 4, "shift_size": 1, "dim": 4, "sizes": SMALL}
    assert audit(single(specimen("")), **options).is_right
    assert audit(single(specimen("no mask")), **options).mistake.name == "no mask"


def test_a_module_is_left_as_it_is():
    block = our_block().train()
    before = {name: value.clone() for name, value in block.state_dict().items()}
    assert audit(block, window_size=4, shift_size=1, dim=DIM, sizes=SMALL).is_right
    assert block.training
    assert all(torch.equal(value, before[name]) for name, value in block.state_dict().items())


# --- what a block raises, and remembers ---


def test_errors_of_the_block_are_findings():
    def fails_on_odd_heights(x):
        if x.shape[1] % 2:
            raise RuntimeError("no odd heights")
        return specimen("")(x)

    report = audit(fails_on_odd_heights, window_size=4, shift_size=1, dim=4, sizes=SMALL)
    assert [bool(finding.faults) for finding in report.findings] == [False, False, True]
    assert report.findings[2].faults == ["raised RuntimeError: no odd heights"]
    assert report.mistake is None


def test_a_block_that_always_raises_is_not_diagnosed():
    report = audit(lambda x: x[0], window_size=4, shift_size=1, dim=4, sizes=SMALL)
    assert "shape" in report.findings[0].faults[0]
    assert report.mistake is None
    assert report.nearest is None


def test_wrong_arguments_raise():
    with pytest.raises(ValueError, match="shift_size"):
        audit(specimen(""), window_size=4, shift_size=4, dim=4)
    with pytest.raises(ValueError, match="at least one"):
        audit(specimen(""), window_size=4, shift_size=1, dim=4, sizes=[])


def test_what_a_call_leaves_behind_is_found():
    class Counts(Specimen):
        calls = 0

        def __call__(self, x):
            self.calls += 1
            return super().__call__(x) + (self.calls > 10)

    report = audit(Counts((4, 4), (1, 1)), window_size=4, shift_size=1, dim=4, sizes=[(8, 6)])
    assert not report.is_right
    assert "another result" in report.watched.state


# --- what the matrix does not show ---


def test_the_bias_of_several_heads_is_read():
    for heads in (1, 2, 4):
        block = Official(heads=heads)
        report = audit(block, window_size=4, shift_size=1, dim=DIM, sizes=[(8, 12)])
        assert report.findings[0].behavior.is_bias_an_offset is True
        block.index = block.index.flatten().roll(1).view(block.index.shape)
        report = audit(block, window_size=4, shift_size=1, dim=DIM, sizes=[(8, 12)])
        assert "position bias" in report.findings[0].faults[0]


@pytest.mark.parametrize(("weight", "leaks"), [(-math.inf, 0), (-100.0, 1)])
def test_large_scores_bring_back_what_a_finite_mask_hides(weight, leaks):
    class Finite(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.qkv = nn.Linear(DIM, 3 * DIM)

        def forward(self, x):
            right = Specimen((4, 4), (1, 1))
            right.attend = self.attend
            return x + right(x)

        def attend(self, windows, mask, window):
            q, k, v = self.qkv(windows).chunk(3, -1)
            hidden = torch.zeros(mask.shape, dtype=q.dtype).masked_fill(~mask, weight)
            return (q @ k.mT + hidden).softmax(-1) @ v

    report = audit(Finite(), window_size=4, shift_size=1, dim=DIM, sizes=[(8, 12)])
    assert report.is_right
    assert (report.watched.pushed_leaks > 0) == (leaks > 0)
    assert (report.softness > 0) == (leaks > 0)
    assert ("pairs leak" in str(report)) == (leaks > 0)


def test_a_weak_mask_is_a_fault_even_where_nothing_leaks():
    class Weak(Specimen):
        def additive(self, mask):
            return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -27.0)

    report = audit(Weak((4, 4), (1, 1)), window_size=4, shift_size=1, dim=4, sizes=[(8, 12)])
    assert not report.leaks
    assert "keeps" in report.findings[0].faults[0]


def test_padding_that_real_tokens_see_is_told_or_a_fault():
    sizes = [(8, 8), (7, 9)]
    options = {"window_size": 4, "shift_size": 1, "dim": 4, "sizes": sizes}
    report = audit(specimen(""), **options)
    assert report.is_right
    assert [finding.sees_padding for finding in report.findings] == [None, True]
    assert "see padding" in str(report)
    assert audit(specimen("", padding="mask"), **options).findings[1].sees_padding is False
    report = audit(specimen(""), padding="mask", **options)
    assert report.findings[1].faults == ["real tokens see padding"]


def test_a_complete_window_does_not_change_as_the_map_grows():
    class ScaledBySize(Specimen):
        def __call__(self, x):
            return super().__call__(x) / x.shape[1]

    options = {"window_size": 4, "shift_size": 1, "dim": 4, "sizes": [(9, 8)]}
    assert audit(specimen(""), **options).watched.growth == ""
    report = audit(ScaledBySize((4, 4), (1, 1)), **options)
    assert not report.is_right
    assert "grew to 10 × 8" in report.watched.growth or "grew to 10x8" in report.watched.growth
    assert report.mistake is None


# --- the report ---


def test_a_report_says_what_is_wrong_where():
    report = audit(specimen("no mask"), window_size=4, shift_size=1, dim=4, sizes=[(8, 8), (3, 7)])
    assert report.smallest.grid.size == (3, 7)
    assert report.leaks
    assert not report.losses
    assert MUSEUM["no mask"].sentence in str(report)
    query, key = report.leaks[0][1]
    assert len(query) == len(key) == 2


def test_two_mistakes_at_once_look_most_like_one():
    class Both(MUSEUM["no mask"].specimen):
        def strips(self, *axis):
            raise AssertionError("it needs no labels")

        def mask(self, size, full, window, shift):
            mask = torch.ones(math.prod(full) // 16, 16, 16, dtype=torch.bool)
            mask[0, 0, 1] = False
            return mask

    report = audit(Both((4, 4), (1, 1)), window_size=4, shift_size=1, dim=4)
    assert report.mistake is None
    assert report.nearest.name == "no mask"
    assert "looks most like" in str(report)


def test_a_report_is_json():
    report = audit(specimen("no mask"), window_size=4, shift_size=1, dim=4, sizes=SMALL)
    values = json.loads(json.dumps(report.as_dict()))
    assert values["is_right"] is False
    assert values["mistake"] == "no mask"
    assert [entry["size"] for entry in values["maps"]] == [list(size) for size in SMALL]
    assert values["maps"][0]["leaks"] == len(report.findings[0].leaks) > 0


def test_the_helper_for_test_suites():
    geometry = {"window_size": 4, "shift_size": 1, "dim": 4, "sizes": SMALL}
    assert_mask_is_right(specimen(""), **geometry)
    with pytest.raises(AssertionError, match="no mask"):
        assert_mask_is_right(specimen("no mask"), **geometry)
