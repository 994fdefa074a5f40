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
        "window_size": (4, 3, 2)[-axes:] if axes == 3 else (4,) * axes,
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
