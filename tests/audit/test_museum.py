"""Each mistake of the museum is refused, and named; right code in other geometries is not."""

import pytest

from swin_tutorial.audit import MUSEUM, audit
from swin_tutorial.audit.specimen import Specimen

pytestmark = pytest.mark.usefixtures("unchecked")  # three times as fast

# Nothing is wrong with these unless padding is masked, or the axis is a ring.
MASKED_PADDING = {"padding mask not rolled", "real tokens see padding"}
LATE = {"seam one token too late"}  # with a shift of 1 there is no token left behind it
RINGS = {"ring cut open"}
VISIBLE = [name for name, mistake in MUSEUM.items() if not mistake.is_hidden]


def geometry_for(name, axes=2):
    return {
        "window_size": (4,) * axes,
        "shift_size": (2 if name in LATE else 1,) * axes,
        "padding": "mask" if name in MASKED_PADDING else "attend",
        "periodic": (name in RINGS,) * axes,
    }


def specimen(kind, geometry):
    return kind(
        geometry["window_size"], geometry["shift_size"], geometry["periodic"], geometry["padding"]
    )


def test_there_are_enough_and_their_texts_are_whole():
    assert len(MUSEUM) >= 45
    assert sum(bool(mistake.seen) for mistake in MUSEUM.values()) >= 9
    assert len({mistake.specimen for mistake in MUSEUM.values()}) == len(MUSEUM)
    for mistake in MUSEUM.values():
        assert issubclass(mistake.specimen, Specimen)
        assert mistake.steps or mistake.specimen.__mro__[1] is not Specimen, mistake.name
        assert mistake.sentence[0].isupper()
        assert mistake.sentence.endswith(".")
        assert set(mistake.same_as) <= set(MUSEUM)


def test_the_specimen_itself_is_right():
    for name in ("no mask", *MASKED_PADDING, *RINGS):
        geometry = geometry_for(name)
        assert audit(specimen(Specimen, geometry), dim=4, **geometry).is_right


@pytest.mark.parametrize("name", VISIBLE)
def test_a_planted_mistake_is_named(name):
    geometry = geometry_for(name)
    report = audit(specimen(MUSEUM[name].specimen, geometry), dim=4, **geometry)
    assert not report.is_right
    assert report.mistake is not None, str(report)
    assert report.mistake.name in MUSEUM[name].names


def test_no_audit_can_tell_these_from_right_code():
    geometry = geometry_for("")
    hidden = [mistake for mistake in MUSEUM.values() if mistake.is_hidden]
    assert {mistake.name for mistake in hidden} == {
        "bias transposed",
        "mask added twice",
        "row and column offsets share entries",
        "scale forgotten",
        "scale squared",
    }
    for mistake in hidden:
        assert audit(specimen(mistake.specimen, geometry), dim=4, **geometry).is_right


# With one axis there is nothing to swap, to forget or to add, ...
NEEDS_TWO_AXES = {
    "shift dropped on all axes",
    "one-window test on the first axis only",
    "window shrunk on all axes",
    "window and shift of the first axis for all",
    "H = W = √L guessed",
    "padding of the axes swapped",
    "shifted on one axis only",
    "shifts of the axes swapped in the roll",
    "cut without moving axes",
    "height and width swapped in the cut",
    "height and width swapped in window_reverse",
    "height and width swapped in cut and join",
    "windows joined without moving axes",
    "windows joined column first",
    "only the first axis masked",
    "only the last axis masked",
    "slices on the wrong axes",
    "labels of the axes added",
    "shifts of the axes swapped in the mask",
    "column-first tokens in the mask",
    "column-first windows in the mask",
    "labels read as w by h",
    "only the last window masked",
    "bias index sliced for a smaller window",
    "mask cached by the number of windows",  # and sizes with as many windows are masked alike
}
# ... and some mistakes come to the same.
SAME_ON_ONE_AXIS = {
    "rolled along batch or channels": "roll forgotten",
    "neighboring labels let through": "no mask",
    "softmax forgotten": "softmax over queries",
}


def test_mistakes_are_named_on_one_axis():
    for name in VISIBLE:
        geometry = geometry_for(name, axes=1)
        report = audit(specimen(MUSEUM[name].specimen, geometry), dim=4, **geometry)
        assert report.is_right == (name in NEEDS_TWO_AXES), name
        if not report.is_right:
            assert report.mistake is not None, name
            assert report.mistake.name in (*MUSEUM[name].names, SAME_ON_ONE_AXIS.get(name)), name
