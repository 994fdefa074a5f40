"""docs/promises.md names tests that exist, and every promise has one."""

import re

import pytest

from swin_tutorial.data.paths import PROJECT

TEXT = (PROJECT / "docs" / "promises.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \|", TEXT, re.MULTILINE)
PROMISES = {promise: shown for promise, shown in ROWS if promise != "promise"}


@pytest.mark.parametrize("promise", PROMISES)
def test_a_promise_names_tests_that_exist(promise):
    names = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PROMISES[promise])
    assert len(names) == PROMISES[promise].count("`") / 2 > 0
    for file, test in names:
        assert f"def {test}(" in (PROJECT / "tests" / file).read_text("utf-8"), test


def test_every_table_is_read():
    assert len(PROMISES) == sum(line.startswith("| ") for line in TEXT.splitlines()) - TEXT.count(
        "| promise |"
    )
    assert len(PROMISES) > 20
