"""Which mistake of the museum behaves like a block that is wrong?"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Bool
from torch import Tensor

from swin_tutorial.audit.dependence import Case, true_dependence
from swin_tutorial.audit.findings import Finding, Watched, watch
from swin_tutorial.audit.museum import MUSEUM, Mistake
from swin_tutorial.audit.specimen import Specimen

_DIM = 4  # channels of a specimen
_FEW_KEYS = 24
_MANY_KEYS = 400  # enough to compare two blocks on a large map
_FEW_MAPS = 3
_NEAR = 0.5  # a nearest mistake shares at least so much of what is wrong


@dataclass(frozen=True)
class Diagnosis:
    """Which mistake a block makes.

    Args:
        mistake: the one that behaves the same on all maps; None if there is none.
        nearest: then, the one that comes nearest; None if none comes near.
    """

    mistake: Mistake | None = None
    nearest: Mistake | None = None


NO_DIAGNOSIS = Diagnosis()


def diagnose(watched: Watched, is_rebuilt: bool = False, keys: int | None = None) -> Diagnosis:
    """Return the mistake whose specimen behaves the same on every map, or the nearest one.

    Where several behave the same, the one that comes first in the museum is returned: it is the
    more usual one.  A block that raises on every map could have any fault, and gets no diagnosis.

    Args:
        watched: what was seen of the block.
        is_rebuilt: whether a new block was made for each map.
        keys: how many tokens were changed on each map.
    """
    wrong = [finding for finding in watched.findings if finding.faults]
    # That a block raises says little, so these maps come last.
    wrong.sort(key=lambda finding: (bool(finding.behavior.error), finding.expected.numel()))
    if all(finding.behavior.error for finding in watched.findings):
        return NO_DIAGNOSIS
    if not wrong and not watched.state:
        return NO_DIAGNOSIS  # its windows are right
    visible = [mistake for mistake in MUSEUM.values() if not mistake.is_hidden]
    same: list[Mistake] = []
    for mistake in visible:
        # Of those that no audit can tell apart, the first one stands for all.
        if any(mistake.name in other.same_as for other in same):
            continue
        if _remembers_the_same(mistake, watched, is_rebuilt, keys) or _does_the_same(
            mistake, watched, wrong
        ):
            same.append(mistake)
    if same:
        return Diagnosis(mistake=max(same, key=lambda mistake: _closeness(mistake, wrong)))
    told = [finding for finding in wrong if not finding.behavior.error][:_FEW_MAPS]
    overlap, nearest = max(
        ((_overlap(mistake, told), mistake) for mistake in visible), key=lambda pair: pair[0]
    )
    return Diagnosis(nearest=nearest if overlap >= _NEAR else None)


def specimens(kind: type[Specimen], is_rebuilt: bool = False) -> Callable[[Case], Callable]:
    """Return what makes the specimen of a case; unless rebuilt, one that keeps its state."""
    made: dict[tuple, Callable] = {}

    def make(case: Case) -> Callable:
        geometry = tuple((g.window_size, g.shift_size, g.periodic, g.padding) for g in case)
        if is_rebuilt or geometry not in made:
            blocks = [kind(*values) for values in geometry]
            made[geometry] = blocks[0] if len(blocks) == 1 else _Chain(blocks)
        return made[geometry]

    return make


class _Chain:
    """Blocks one after the other, each with a residual path, as in every stage."""

    def __init__(self, blocks: list[Specimen]):
        self.blocks = blocks

    def __call__(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


@functools.lru_cache(maxsize=1024)
def _specimen_finding(
    mistake: Mistake, case: Case, keys: int | None = None, is_thorough: bool = False
) -> Finding:
    """Ask a new specimen about a map."""
    make = specimens(mistake.specimen)
    (finding,) = watch(make, [case], _DIM, keys, is_thorough).findings
    return finding


@functools.lru_cache(maxsize=64)
def _watch_specimen(
    mistake: Mistake, cases: tuple[Case, ...], is_rebuilt: bool, keys: int | None
) -> Watched:
    """Ask one specimen about maps in turn."""
    make = specimens(mistake.specimen, is_rebuilt)
    return watch(make, cases, _DIM, keys, is_thorough=False)


def _does_the_same(mistake: Mistake, watched: Watched, wrong: list[Finding]) -> bool:
    """Return whether a mistake that has no memory behaves the same on every map."""
    if mistake.remembers or watched.state:
        return False
    right = [finding for finding in watched.findings if not finding.faults]
    return all(_is_same(mistake, finding) for finding in [*wrong, *right])


def _is_same(mistake: Mistake, ours: Finding) -> bool:
    """Return whether a specimen does the same on one map."""
    # A few tokens rule out most.
    if not _alike(ours, _specimen_finding(mistake, ours.case, _few_keys(ours))):
        return False
    theirs = _specimen_finding(mistake, ours.case, _many_keys(ours), is_thorough=True)
    return _alike(ours, theirs) and bool(theirs.faults or not ours.faults)


def _remembers_the_same(
    mistake: Mistake, watched: Watched, is_rebuilt: bool, keys: int | None
) -> bool:
    """Return whether a mistake that has a memory behaves the same on the same maps in turn."""
    if not mistake.remembers:
        return False
    cases = tuple(finding.case for finding in watched.findings)
    again = _watch_specimen(mistake, cases, is_rebuilt, keys)
    if not again.state and not any(finding.faults for finding in again.findings):
        return False  # these maps don't bring it out
    pairs = zip(watched.findings, again.findings, strict=True)
    return bool(watched.state) == bool(again.state) and all(_alike(*pair) for pair in pairs)


def _alike(ours: Finding, theirs: Finding) -> bool:
    """Return whether both do the same on a map, as far as each was asked; both may raise."""
    mine, other = ours.behavior, theirs.behavior
    if mine.depends is None or other.depends is None:
        return mine.depends is other.depends
    if mine.has_nan != other.has_nan or mine.batch_agrees != other.batch_agrees:
        return False
    if mine.keeps_constant != other.keeps_constant and not ours.may_see_padding:
        return False
    biases = {mine.is_bias_an_offset, other.is_bias_an_offset}
    if False in biases and True in biases:
        return False
    keys = _keys(theirs)
    return torch.equal(_depends_on(ours, keys), _depends_on(theirs, keys))


def _closeness(mistake: Mistake, findings: list[Finding]) -> float:
    """Return how well numbers agree that are no matter of yes and no, on the smallest maps."""
    score = 0.0
    for ours in findings[:_FEW_MAPS]:
        theirs = _specimen_finding(mistake, ours.case, _many_keys(ours), is_thorough=True)
        mine, other = ours.behavior, theirs.behavior
        score += mine.keeps_constant == other.keeps_constant
        if mine.is_bias_an_offset is not None:
            score += 2 * (mine.is_bias_an_offset == other.is_bias_an_offset)
        if mine.softness is not None and other.softness is not None:
            orders = abs(math.log10(mine.softness + 1e-99) - math.log10(other.softness + 1e-99))
            score += 1 / (1 + round(orders / 3))  # weights are random: a factor of 10 is nothing
    return score


def _overlap(mistake: Mistake, findings: list[Finding]) -> float:
    """Return how much of what is wrong with either is wrong with both."""
    both = either = 0
    for ours in findings:
        theirs = _specimen_finding(mistake, ours.case, _few_keys(ours))
        mine, other = _wrong(ours, _keys(theirs)), _wrong(theirs, _keys(theirs))
        both += int((mine & other).sum())
        either += int((mine | other).sum())
    return both / max(either, 1)


def _wrong(finding: Finding, keys: list[int]) -> Bool[Tensor, "q k"]:
    """Return which pairs leak or get lost; all of them where the specimen raised."""
    true = _without_self(true_dependence(finding.case)[:, keys], keys)
    if finding.behavior.depends is None:
        return torch.ones_like(true)
    return _depends_on(finding, keys) ^ true


def _depends_on(finding: Finding, keys: list[int]) -> Bool[Tensor, "q k"]:
    """Return which outputs depend on these tokens, but for themselves: a residual path hides it."""
    column = {key: i for i, key in enumerate(_keys(finding))}
    return _without_self(finding.behavior.depends[:, [column[key] for key in keys]], keys)


def _without_self(relation: Bool[Tensor, "q k"], keys: list[int]) -> Bool[Tensor, "q k"]:
    relation = relation.clone()
    relation[keys, range(len(keys))] = False
    return relation


def _few_keys(finding: Finding) -> int:
    """Return how many tokens are enough to rule out most mistakes: on a large map, fewer."""
    few = _FEW_KEYS if prod(finding.grid.size) < 500 else _FEW_KEYS // 3
    return min(few, len(_keys(finding)))


def _many_keys(finding: Finding) -> int:
    """Return how many tokens tell for certain whether two blocks do the same on a map."""
    keys = len(_keys(finding))
    # Only where all tokens were changed are any of them among those.
    return min(keys, _MANY_KEYS) if finding.keys is None else keys


def _keys(finding: Finding) -> list[int]:
    """Return the tokens that were changed."""
    return list(range(prod(finding.grid.size)) if finding.keys is None else finding.keys)
