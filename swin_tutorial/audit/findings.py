"""What an audit finds on each map: the block's behavior beside what the true windows demand."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from jaxtyping import Bool
from torch import Tensor

from swin_tutorial.audit.behavior import Behavior, observe
from swin_tutorial.audit.dependence import (
    BlockError,
    Case,
    Subject,
    has_moved,
    random_map,
    some_keys,
    subject,
    true_dependence,
)
from swin_tutorial.audit.stress import growth, pushed_leaks
from swin_tutorial.grid import WindowGrid

_WEAK = 1e-13  # a finite mask of about -30: trained scores differ by more

Pair = tuple[tuple[int, ...], tuple[int, ...]]  # a query and a key, each as its place on every axis


@dataclass(frozen=True, eq=False)
class Finding:
    """What a block did on one map, and what it should have done.

    Args:
        case: the grids of the map.
        behavior: what was seen.
        keys: the tokens that were changed, counted row by row; None for all.
    """

    case: Case
    behavior: Behavior
    keys: tuple[int, ...] | None = None

    @property
    def grid(self) -> WindowGrid:
        """The grid of the last block, which has the map's size."""
        return self.case[-1]

    @cached_property
    def expected(self) -> Bool[Tensor, "q k"]:
        """Which output tokens must depend on which of the changed tokens."""
        relation = true_dependence(self.case)
        return relation if self.keys is None else relation[:, list(self.keys)]

    @cached_property
    def leaks(self) -> list[Pair]:
        """The pairs in which a query depends on a key and must not."""
        return self._pairs(self._leaking)

    @cached_property
    def losses(self) -> list[Pair]:
        """The pairs in which a query does not depend on a key and must."""
        return self._pairs(self._lost)

    @property
    def _leaking(self) -> Bool[Tensor, "q k"]:
        depends = self.behavior.depends
        return torch.zeros_like(self.expected) if depends is None else depends & ~self.expected

    @property
    def _lost(self) -> Bool[Tensor, "q k"]:
        depends = self.behavior.depends
        return torch.zeros_like(self.expected) if depends is None else self.expected & ~depends

    @property
    def sees_padding(self) -> bool | None:
        """Whether real tokens see padding; None where there is none, or no way to tell."""
        if not self.has_padding or self.behavior.has_nan or self.behavior.keeps_constant is None:
            return None
        return not self.behavior.keeps_constant

    @property
    def may_see_padding(self) -> bool:
        """Whether there is padding that real tokens are allowed to see."""
        return self.has_padding and "attend" in self.grid.padding

    @property
    def has_padding(self) -> bool:
        """Whether the map has to be padded."""
        return self.grid.padded_size != self.grid.size

    @cached_property
    def faults(self) -> list[str]:
        """Say everything that is wrong, in a few words each; nothing if all is right."""
        seen = self.behavior
        if seen.error:
            return [f"raised {seen.error}"]
        faults = []
        if leaks := int(self._leaking.sum()):
            faults.append(_count(leaks, "leak"))
        if losses := int(self._lost.sum()):
            faults.append(_count(losses, "loss", "losses"))
        if seen.has_nan:
            faults.append("NaN")
        if self.sees_padding and not self.may_see_padding:
            faults.append("real tokens see padding")
        if seen.keeps_constant is False and not self.has_padding and not seen.has_nan:
            faults.append("weights do not add up to 1")
        if seen.batch_agrees is False and not seen.has_nan:
            faults.append("an image's result depends on its batch")
        if (seen.softness or 0) > _WEAK and not leaks:
            faults.append(f"a masked key keeps {seen.softness:.0e} of a visible one's weight")
        if seen.is_bias_an_offset is False:
            faults.append("position bias is no function of query minus key")
        return faults

    def _pairs(self, wrong: Bool[Tensor, "q k"]) -> list[Pair]:
        keys = range(wrong.shape[1]) if self.keys is None else self.keys
        return [
            (_place(query, self.grid.size), _place(keys[column], self.grid.size))
            for query, column in wrong.nonzero().tolist()
        ]


@dataclass(frozen=True, eq=False)
class Watched:
    """What was found on each map, in order, and what no single map shows.

    Args:
        findings: one for each map.
        state: how the first map's result had changed when it was asked for again, "" if it had not.
        growth: tokens that changed when a map grew, though their windows were complete, "" if none.
        pushed_leaks: pairs that leak once the scores are large; None if they can't be made large.
    """

    findings: tuple[Finding, ...]
    state: str = ""
    growth: str = ""
    pushed_leaks: int | None = None


def watch(
    make: Callable[[Case], Callable],
    cases: Iterable[Case],
    dim: int,
    keys: int | None = None,
    is_thorough: bool = True,
) -> Watched:
    """Ask a block about each case; ``make`` returns the block of a case, the same or a new one."""
    findings: list[Finding] = []
    asked: dict[int, tuple[Callable, Subject]] = {}  # the same block is asked in the same form
    first: tuple[Subject, Tensor, Tensor] | None = None
    for case in cases:
        size = case[0].size
        chosen = some_keys(prod(size), keys)
        x = random_map(size, dim, torch.float64)
        try:
            block = make(case)
        except Exception as error:  # whatever somebody else's code raises
            findings.append(Finding(case, Behavior(None, error_text(error)), chosen))
            continue
        try:
            if id(block) not in asked:
                asked[id(block)] = block, subject(block, x)
            _, form = asked[id(block)]
            if first is None:
                x = x.to(form.dtype)
                with torch.no_grad():
                    first = form, x, form(x)
            behavior = observe(form, case, dim, chosen, is_thorough)
        except BlockError as error:
            behavior = Behavior(None, error_text(error))
        findings.append(Finding(case, behavior, chosen))
    found = tuple(findings)
    if first is None or len(asked) > 1:
        return Watched(found)
    state = _state(*first)
    if state or not is_thorough or any(finding.faults for finding in found):
        return Watched(found, state)
    tried = [finding.case for finding in found]
    form = first[0]
    return Watched(found, state, growth(form, tried, dim), pushed_leaks(form, tried, dim, keys))


def _state(block: Subject, x: Tensor, before: Tensor) -> str:
    """Say how a result has changed since it was first asked for."""
    try:
        with torch.no_grad():
            after = block(x)
    except BlockError as error:
        return f"after calls at other sizes, the first size raised {error}"
    if has_moved(after.flatten(1, -2), before.flatten(1, -2)).any():
        return "after calls at other sizes, the first size gave another result"
    return ""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def error_text(error: Exception) -> str:
    """Return an error as one short line."""
    text = str(error) if isinstance(error, BlockError) else f"{type(error).__name__}: {error}"
    line = text.splitlines()[0] if text else type(error).__name__
    return line if len(line) <= 120 else f"{line[:117]}..."


def _place(token: int, size: tuple[int, ...]) -> tuple[int, ...]:
    """Return a token's place on each axis."""
    place = []
    for length in reversed(size):
        token, position = divmod(token, length)
        place.append(position)
    return tuple(reversed(place))
