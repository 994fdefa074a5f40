"""What no single map shows of a block that seems right: a map that grows, and large scores."""

import copy
import re
from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from swin_tutorial.audit.dependence import (
    BlockError,
    Case,
    Subject,
    dependence,
    has_moved,
    random_map,
    some_keys,
    true_dependence,
    window_numbers,
)
from swin_tutorial.grid import WindowGrid
from swin_tutorial.windows import size_text

# Parameters that make queries and keys, by the usual names.  A joint matrix makes values as well.
_JOINT = re.compile(r"(^|[._])(to_)?(qkv|in_proj)([._]|$)")
_SINGLE = re.compile(r"(^|[._])(to_|w)?(q|k|query|key)(_proj|_linear)?([._]|$)")
_PUSH = 1000.0


@torch.no_grad()
def growth(block: Subject, cases: Sequence[Case], dim: int) -> str:
    """Say where a token changed when the map grew by a token, though its window was complete.

    "" if there is no such place.  Maps of sizes that the block does not take are left out.
    """
    for case in cases:
        for axis in range(len(case[0].size)):
            larger = _one_longer(case, axis)
            if larger is None:
                continue
            size = case[0].size
            x = random_map(larger[0].size, dim, block.dtype)
            crop = (slice(None), *(slice(0, n) for n in size))
            try:
                before, after = block(x[crop].clone()), block(x)[crop]
            except BlockError:
                continue
            moved = has_moved(after.flatten(1, -2), before.flatten(1, -2))[0]
            if bool((moved & _complete(case)).any()):
                return (
                    f"when the map of {size_text(size)} grew to {size_text(larger[0].size)}, "
                    "tokens changed whose windows were complete before"
                )
    return ""


@torch.no_grad()
def pushed_leaks(
    block: Subject, cases: Sequence[Case], dim: int, keys: int | None = None
) -> int | None:
    """Count the leaks once queries and keys are a thousand times as large.

    A mask of minus infinity never leaks.  None for a block whose queries and keys are made by no
    parameters that this function knows, or if no map has anything to mask.
    """
    masked = [case for case in cases if any(grid.needs_mask for grid in case)]
    module = copy.deepcopy(block.module)
    if module is None or not masked or not _push(module):
        return None
    case = min(masked, key=lambda case: case[0].size)
    pushed = replace(block, call=module, module=module)
    x = random_map(case[0].size, dim, block.dtype)
    try:
        chosen = some_keys(prod(case[0].size), keys)
        depends = dependence(pushed, x, window_numbers(case[0]), chosen)
    except BlockError:
        return None
    columns = slice(None) if chosen is None else list(chosen)
    return int((depends & ~true_dependence(case)[:, columns]).sum())


def _one_longer(case: Case, axis: int) -> Case | None:
    """Return the grids of a map with one more token on an axis; None if all windows would move."""
    if case[0].axes[axis].periodic:
        return None
    size = list(case[0].size)
    size[axis] += 1
    larger = tuple(
        WindowGrid(tuple(size), g.window_size, g.shift_size, g.padding, g.periodic) for g in case
    )
    shifts = [grid.effective_shift for grid in case]
    return larger if [grid.effective_shift for grid in larger] == shifts else None


def _complete(case: Case) -> Bool[Tensor, "tokens"]:
    """Return which tokens have met complete windows alone, in each block of the case."""
    cut_short = torch.zeros(window_numbers(case[0]).shape, dtype=torch.bool)
    for grid in case:
        numbers = window_numbers(grid)
        members = torch.bincount(numbers)
        spoiled = members < grid.tokens_per_window
        spoiled[numbers[cut_short]] = True
        cut_short = spoiled[numbers]
    return ~cut_short


def _push(module: nn.Module) -> bool:
    """Make queries and keys larger in place; return whether there was anything to do so with."""
    found = False
    for name, parameter in module.named_parameters():
        if _JOINT.search(name) and len(parameter) % 3 == 0:
            parameter[: len(parameter) * 2 // 3] *= _PUSH
        elif _SINGLE.search(name):
            parameter *= _PUSH
        else:
            continue
        found = True
    return found
