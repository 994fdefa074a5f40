"""What a block does on one map: its dependence, and what the dependence does not show."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from swin_tutorial.audit.dependence import (
    BlockError,
    Case,
    Subject,
    dependence,
    has_moved,
    random_map,
    true_dependence,
    window_numbers,
)
from swin_tutorial.grid import WindowGrid

_GRADIENT_TOKENS = 10_000  # tokens of all copies of a map of which a gradient is taken at once


@dataclass(frozen=True, eq=False)
class Behavior:
    """What a block was seen to do on one map.  None: it could not be asked.

    Args:
        depends: which output tokens depend on which input tokens; None if the block failed.
        error: what it raised, "" if nothing.
        has_nan: whether finite input gave NaN.
        keeps_constant: whether a constant map stays constant.  Weights that add up to 1 keep it,
            unless real tokens see padding.
        batch_agrees: whether an image's result is the same alone and in a batch.
        softness: the largest weight of a key that the mask must forbid, beside the largest of one
            that it allows: 0 for a mask of minus infinity, about 1e-44 for one of -100, about 1
            for none.
        is_bias_an_offset: whether the position bias is a function of query minus key; asked where
            the windows are right.
    """

    depends: Bool[Tensor, "q k"] | None
    error: str = ""
    has_nan: bool = False
    keeps_constant: bool | None = None
    batch_agrees: bool | None = None
    softness: float | None = None
    is_bias_an_offset: bool | None = None


def observe(
    block: Subject,
    grids: Case,
    dim: int,
    keys: tuple[int, ...] | None = None,
    is_thorough: bool = True,
) -> Behavior:
    """Watch a block on a map, where it should attend in the windows of ``grids`` in turn.

    Unless ``is_thorough``, no gradient is taken, and a weight too small to be seen is not looked
    for again.
    """
    size = grids[0].size
    x = random_map(size, dim, block.dtype)
    expected = true_dependence(grids)[:, slice(None) if keys is None else list(keys)]
    try:
        with torch.no_grad():
            alone = block(x)
            # The first image of a batch often fares well: this one comes last.
            together = block(torch.cat([random_map(size, dim, block.dtype, 2, seed=1), x]))[2:]
            agrees = not bool(has_moved(together.flatten(1, -2), alone.flatten(1, -2)).any())
            block = block if agrees else replace(block, one_by_one=True)
            depends = dependence(block, x, window_numbers(grids[0]), keys)
            for attempt in range(1, 4):
                if not is_thorough or not bool((expected & ~depends).any()):
                    break
                # Beside a large score a weight may be too small to be seen: try other, paler maps.
                paler = random_map(size, dim, block.dtype, seed=attempt + 1) / 4**attempt
                depends |= dependence(block, paler, window_numbers(grids[0]), keys)
            constant = block(x.flatten(1, -2)[:, :1].expand(1, math.prod(size), dim).view(x.shape))
    except BlockError as error:
        return Behavior(None, str(error))
    tokens = constant.flatten(1, -2)
    is_readable = len(grids) == 1 and is_thorough
    are_windows_right = torch.equal(depends, expected)
    return Behavior(
        depends,
        has_nan=not bool(alone.isfinite().all()),
        keeps_constant=not bool(has_moved(tokens, tokens[:, :1]).any()),
        batch_agrees=agrees,
        softness=softness(block, x, grids[0]) if is_readable else None,
        is_bias_an_offset=(
            is_bias_an_offset(block, grids[0], dim) if is_readable and are_windows_right else None
        ),
    )


# --- by gradient: PyTorch alone ---


def softness(block: Subject, x: Float[Tensor, "1 *size c"], grid: WindowGrid) -> float | None:
    """Return the largest weight of a key that the mask must forbid, beside that of an allowed one.

    A mask forbids pairs that share a window of the rolled map and no true window.  None if there is
    no such pair, or no gradient.
    """
    allowed = true_dependence((grid,))
    rolled = rolled_window_numbers(grid)
    forbidden = (rolled[:, None] == rolled[None]) & ~allowed
    visible = allowed & ~torch.eye(len(allowed), dtype=torch.bool)  # but for the residual path
    queries = (forbidden.any(1) & visible.any(1)).nonzero().flatten()
    if len(queries) == 0:
        return None
    queries = queries[: max(1, min(16, _GRADIENT_TOKENS // len(allowed)))]
    weights = _gradients(block, x, queries)
    if weights is None:
        return None
    weights = weights.abs().amax(-1)
    most = weights.where(visible[queries], 0.0).amax()
    return (weights.where(forbidden[queries], 0.0).amax() / most).item() if most > 0 else None


def is_bias_an_offset(block: Subject, grid: WindowGrid, dim: int) -> bool | None:
    """Return whether the position bias depends on query minus key alone; None if it can't be read.

    On a constant map all values are equal, so the reaction of one token to another is, summed over
    the heads, the weight times a fixed matrix.  The weights of a query are numbers of the offset,
    divided by a sum that differs from query to query.  So what a query's reactions are to the
    offsets, its neighbor's reactions are too, up to one linear map for all offsets.  Two queries
    can tell if they share more offsets than there are heads.
    """
    if block.dtype != torch.float64:
        return None
    size = grid.size
    numbers = window_numbers(grid)
    largest = int(torch.bincount(numbers).argmax())
    tokens = (numbers == largest).nonzero().flatten().tolist()
    queries = torch.tensor(tokens[: _GRADIENT_TOKENS // len(numbers)])
    x = random_map((1,) * len(size), dim, block.dtype).expand(1, *size, dim)
    reactions = _gradients(block, x, queries) if len(queries) else None
    if reactions is None or not bool(reactions.isfinite().all()):
        return None
    of_query = dict(zip(queries.tolist(), reactions, strict=True))
    answers = []
    for axis in range(len(size)):
        step = math.prod(size[axis + 1 :])
        # The next token on an axis is a fixed step away, but for the last one.
        following = {
            token: token + step
            for token in tokens
            if token // step % size[axis] < size[axis] - 1 and token + step in tokens
        }
        for query, neighbor in following.items():
            if query in of_query and neighbor in of_query:
                # Its reaction to itself is left out, for that has a residual path too.
                keys = [key for key in following if key != query]
                keys_too = [following[key] for key in keys]
                answers.append(_are_related(of_query[query][keys], of_query[neighbor][keys_too]))
    known = [answer for answer in answers if answer is not None]
    return all(known) if known else None


def _are_related(
    rows: Float[Tensor, "offsets c"], others: Float[Tensor, "offsets c"]
) -> bool | None:
    """Return whether one linear map takes each row to its counterpart; None if any would do."""
    # Scaled offset by offset, for a bias may make some weights tiny.
    scale = rows.norm(dim=1, keepdim=True).clamp(min=1e-300)
    rows, others = rows / scale, others / scale
    if int(torch.linalg.matrix_rank(rows, rtol=1e-9)) >= len(rows):
        return None
    fit = torch.linalg.lstsq(rows, others, rcond=1e-9, driver="gelsd").solution
    error = (rows @ fit - others).abs().amax() / others.abs().amax()
    return bool(error < 1e-5)


def rolled_window_numbers(grid: WindowGrid) -> Int[Tensor, "tokens"]:
    """Return for each token of the map the window that holds it after the roll."""
    numbers = torch.zeros((), dtype=torch.int64)
    for axis in grid.axes:
        windows = torch.tensor([axis.locate(place)[0] for place in range(axis.size)])
        numbers = numbers[..., None] * axis.num_windows + windows
    return numbers.flatten()


def _gradients(
    block: Subject, x: Float[Tensor, "1 *size c"], queries: Int[Tensor, "q"]
) -> Float[Tensor, "q k c"] | None:
    """Return how much one number of each query's output reacts to each input token, or None."""
    generator = torch.Generator().manual_seed(1)
    probe = torch.randn(x.shape[-1], generator=generator, dtype=torch.float64).to(x.dtype)
    # Each query has a copy of the map of its own, so one backward pass is enough for all.
    copies = x.detach().repeat(len(queries), *[1] * (x.ndim - 1)).requires_grad_()
    try:
        out = block(copies).flatten(1, -2)
        chosen = out[torch.arange(len(queries)), queries] @ probe
        (gradient,) = torch.autograd.grad(chosen.sum(), copies)
    except (BlockError, RuntimeError):  # arrays, or an operation that has no gradient
        return None
    return gradient.flatten(1, -2)
