"""The audit says of public blocks what is recorded, and docs/audit.md says what the record says."""

import importlib
import inspect
import json
import re

import public_blocks
import pytest
from packaging.requirements import Requirement
from public_blocks import AUDITS, RECORD

from swin_tutorial.bench.peers import import_peer
from swin_tutorial.data.paths import PROJECT

RECORDED = json.loads(RECORD.read_text("utf-8"))
BLOCKS = {(one["library"], one["block"], one["asked"]): one for one in RECORDED["blocks"]}
PAGE = (PROJECT / "docs" / "audit.md").read_text("utf-8")


def seen(found):
    """Return what another run must see again: all but the words of errors, and tiny numbers."""
    maps = []
    for one in found["maps"]:
        has_raised = any(fault.startswith("raised") for fault in one["faults"])
        faults = ["raised"] if has_raised else one["faults"]
        maps.append((one["size"], one["window_size"], one["shift_sizes"], faults))
    return found["is_right"], found["mistake"], bool(found["state"]), maps


@pytest.mark.parametrize("asked", AUDITS, ids=", ".join)
def test_the_audit_says_again_what_is_recorded(asked):
    if asked[0] != "swin_tutorial":
        try:
            import_peer(asked[0])
        except ImportError:
            pytest.skip(f"{asked[0]} is not installed")
    assert seen(public_blocks.verdict(asked)) == seen(BLOCKS[asked])


def test_every_audit_is_recorded_with_the_pinned_versions():
    assert list(BLOCKS) == list(AUDITS)
    lines = (PROJECT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    pinned = {pin.name: str(pin.specifier) for pin in pins}
    for library in public_blocks.PEERS:
        assert f"=={RECORDED['versions'][library]}" == pinned[library], "record it again"


def test_ours_are_right():
    ours = [found for (library, *_), found in BLOCKS.items() if library == "swin_tutorial"]
    assert len(ours) == 6
    assert all(found["is_right"] for found in ours)
    assert all(found["softness"] in (0, None) for found in ours)


def test_the_page_shows_the_record():
    assert public_blocks.table() in PAGE


QUOTES = re.findall(r"^From `(.*?)\.py` \(.*?\):\n\n```python\n(.*?)```", PAGE, re.M | re.S)


@pytest.mark.parametrize(("file", "quoted"), QUOTES, ids=[file for file, _ in QUOTES])
def test_what_the_page_quotes_stands_in_the_library(file, quoted):
    try:
        import_peer(file.split("/")[0])
    except ImportError:
        pytest.skip("it is not installed")
    source = inspect.getsource(importlib.import_module(file.replace("/", ".")))
    lines = [line.strip() for line in source.splitlines()]
    places = [lines.index(line.strip()) for line in quoted.splitlines()]
    assert places == sorted(places)


def test_each_library_with_a_wrong_block_is_quoted():
    wrong = {library for (library, *_), found in BLOCKS.items() if not found["is_right"]}
    assert {file.split("/")[0] for file, _ in QUOTES} == wrong
