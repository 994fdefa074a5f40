"""Blocks that the museum does not know are refused, and most are called by the right name."""

import pytest
from strangers import DIM, RIGHT, STRANGERS

from swin_tutorial.audit import MUSEUM, audit

pytestmark = pytest.mark.usefixtures("unchecked")  # three times as fast


def report_on(block, shift=1):
    return audit(block, window_size=4, shift_size=shift, dim=DIM)


@pytest.mark.parametrize("build", RIGHT)
def test_what_strangers_began_with_is_right(build):
    assert report_on(build()).is_right


def test_strangers_are_refused_and_named():
    named, wrong = 0, []
    for build, name in STRANGERS:
        block = build()
        report = report_on(block, (1, 2) if name and "axes swapped in the roll" in name else 1)
        assert not report.is_right, name
        answer = report.mistake or report.nearest
        if answer and name and name in MUSEUM[answer.name].names:
            named += 1
        else:
            wrong.append((name, answer and answer.name, report.mistake is not None))
    print(f"{named} of {len(STRANGERS)} named; not: {wrong}")
    assert len(STRANGERS) >= 25
    assert named >= 0.8 * len(STRANGERS), wrong
