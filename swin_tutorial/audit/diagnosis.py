"""Which mistake of the museum behaves like a block that is wrong?"""

from collections.abc import Callable

import torch
from torch import Tensor

from swin_tutorial.audit.behavior import Behavior
from swin_tutorial.audit.findings import Case, Watched, watch
from swin_tutorial.audit.museum import MUSEUM, Mistake
from swin_tutorial.audit.specimen import Specimen

_DIM = 4  # channels of a specimen


def diagnose(
    watched: Watched, is_rebuilt: bool = False, keys: int | None = None
) -> Mistake | None:
    """Return the mistake whose specimen behaves the same on every map, None if there is none.

    Where several do, the one that comes first in the museum is returned: it is the more usual one.

    Args:
        watched: what was seen of the block.
        is_rebuilt: whether a new block was made for each map.
        keys: how many tokens were changed on each map.
    """
    cases = [finding.case for finding in watched.findings]
    wrong = [finding for finding in watched.findings if finding.faults]
    # Most mistakes are ruled out by the smallest map on which the block fails.
    first = min(wrong, key=lambda finding: finding.expected.numel(), default=None)
    best, best_score = None, -1
    for mistake in MUSEUM.values():
        if mistake.specimen is None:
            continue
        if first and not mistake.remembers:
            (again,) = watch(specimens(mistake.specimen), [first.case], _DIM, keys).findings
            if not _alike(first.behavior, again.behavior):
                continue
        make = specimens(mistake.specimen, is_rebuilt)
        again = watch(make, cases, _DIM, keys)
        pairs = list(zip(watched.findings, again.findings, strict=True))
        if bool(watched.state) == bool(again.state) and all(
            _alike(ours.behavior, theirs.behavior) for ours, theirs in pairs
        ):
            score = sum(_agreement(ours.behavior, theirs.behavior) for ours, theirs in pairs)
            if score > best_score:
                best, best_score = mistake, score
    return best


def specimens(kind: type[Specimen], is_rebuilt: bool = False) -> Callable[[Case], Callable]:
    """Return what makes the specimen of a case; unless rebuilt, one that keeps its state."""
    made: dict[tuple, Callable] = {}

    def make(case: Case) -> Callable:
        geometry = tuple((g.window_size, g.shift_size, g.periodic, g.padding[0]) for g in case)
        if is_rebuilt or geometry not in made:
            blocks = [kind(*values) for values in geometry]
            made[geometry] = blocks[0] if len(blocks) == 1 else _Chain(blocks)
        return made[geometry]

    return make


class _Chain:
    """Blocks one after the other."""

    def __init__(self, blocks: list[Specimen]):
        self.blocks = blocks

    def __call__(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def _alike(ours: Behavior, theirs: Behavior) -> bool:
    """Return whether both depend on the same tokens, or both raise."""
    if ours.depends is None or theirs.depends is None:
        return ours.depends is theirs.depends
    return torch.equal(ours.depends, theirs.depends) and ours.has_nan == theirs.has_nan


def _agreement(ours: Behavior, theirs: Behavior) -> int:
    """Count what else two behaviors have in common."""
    score = int(ours.keeps_constant == theirs.keeps_constant)
    score += int(ours.batch_agrees == theirs.batch_agrees)
    if ours.softness is not None and theirs.softness is not None:
        score += int((ours.softness > 0) == (theirs.softness > 0))
    if ours.is_bias_an_offset is not None and theirs.is_bias_an_offset is not None:
        score += int(ours.is_bias_an_offset == theirs.is_bias_an_offset)
    return score
