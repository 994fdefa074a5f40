"""What a block does on one map: its dependence, and what the dependence does not show."""


import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from swin_tutorial.audit.dependence import (
    BlockError,
    Subject,
    dependence,
    has_moved,
    random_map,
    window_numbers,
)
from swin_tutorial.grid import WindowGrid

_MOST_BIAS_TOKENS = 160  # the position bias is read on maps up to this size: one gradient a token


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
        softness: the largest weight of a masked key beside that of a visible one: 0 for a mask of
            minus infinity, about 1e-44 for one of -100.
        is_bias_an_offset: whether the position bias is a function of query minus key.
    """

    depends: Bool[Tensor, "q k"] | None
    error: str = ""
    has_nan: bool = False
    keeps_constant: bool | None = None
    batch_agrees: bool | None = None
    softness: float | None = None
    is_bias_an_offset: bool | None = None


def observe(
    block: Subject, grids: tuple[WindowGrid, ...], dim: int, keys: tuple[int, ...] | None = None
) -> Behavior:
    """Watch a block on a map, where it should attend in the windows of ``grids`` in turn."""
    size = grids[0].size
    x = random_map(size, dim, block.dtype)
    try:
        depends = dependence(block, x, keys)
        with torch.no_grad():
            out = block(x)
            constant = block(x.flatten(1, -2)[:, :1].expand(1, math.prod(size), dim).view(x.shape))
            pair = random_map(size, dim, block.dtype, batch=2)
            alone, together = torch.cat([block(one[None]) for one in pair]), block(pair)
    except BlockError as error:
        return Behavior(None, str(error))
    tokens = constant.flatten(1, -2)
    is_readable = len(grids) == 1 and keys is None
    return Behavior(
        depends,
        has_nan=not bool(out.isfinite().all()),
        keeps_constant=not bool(has_moved(tokens, tokens[:, :1]).any()),
        batch_agrees=not bool(has_moved(together.flatten(1, -2), alone.flatten(1, -2)).any()),
        softness=softness(block, x, grids[0], depends) if is_readable else None,
        is_bias_an_offset=is_bias_an_offset(block, grids[0], dim, depends) if is_readable else None,
    )


# --- by gradient: PyTorch alone ---


def softness(
    block: Subject, x: Float[Tensor, "1 *size c"], grid: WindowGrid, depends: Bool[Tensor, "q k"]
) -> float | None:
    """Return the largest weight that a masked pair keeps, beside that of a visible pair.

    Only pairs that share a window of the rolled map and don't depend on each other are masked.
    None if there is no such pair, or no gradient.
    """
    rolled = rolled_window_numbers(grid)
    masked = (rolled[:, None] == rolled[None]) & ~depends
    visible = depends & ~torch.eye(len(depends), dtype=torch.bool)  # but for the residual path
    queries = (masked.any(1) & visible.any(1)).nonzero().flatten()[:16]
    if len(queries) == 0:
        return None
    weights = _gradients(block, x, queries)
    if weights is None:
        return None
    weights = weights[..., 0]
    return (
        weights.where(masked[queries], 0.0).amax() / weights.where(visible[queries], 0.0).amax()
    ).item()


def is_bias_an_offset(
    block: Subject, grid: WindowGrid, dim: int, depends: Bool[Tensor, "q k"]
) -> bool | None:
    """Return whether the position bias depends on query minus key alone; None if it can't be read.

    On a constant map all values are equal, so the gradient from one token to another is the weight
    times one fixed matrix.  With one head, the logarithm of the weight is the bias of the pair plus
    a number of the query.  So the same offset must give the same bias, up to that number.
    """
    size = grid.size
    tokens = math.prod(size)
    if tokens > _MOST_BIAS_TOKENS:
        return None
    x = random_map((1,) * len(size), dim, block.dtype).expand(1, *size, dim)
    weights = _gradients(block, x, torch.arange(tokens))
    if weights is None:
        return None
    numbers = window_numbers(grid).flatten()
    # A finite mask on a pair that it should not hide would be read as a bias.
    asked = (numbers[:, None] == numbers[None]) & depends & ~torch.eye(tokens, dtype=torch.bool)
    queries, keys = asked.nonzero().unbind(1)
    first, second = weights[queries, keys].unbind(1)
    if len(queries) == 0 or not bool((first > 0).all() and (second > 0).all()):
        return None
    ratio = first / second
    if bool(((ratio / ratio[0] - 1).abs() > 1e-4).any()):
        return None  # several heads: their weights can't be told apart
    return _is_sum_of_offset_and_query(first.log(), queries, keys, grid)


def rolled_window_numbers(grid: WindowGrid) -> Int[Tensor, "tokens"]:
    """Return for each token of the map the window that holds it after the roll."""
    numbers = torch.zeros((), dtype=torch.int64)
    for axis in grid.axes:
        windows = torch.tensor([axis.locate(place)[0] for place in range(axis.size)])
        numbers = numbers[..., None] * axis.num_windows + windows
    return numbers.flatten()


def _gradients(
    block: Subject, x: Float[Tensor, "1 *size c"], queries: Int[Tensor, "q"]
) -> Float[Tensor, "q k 2"] | None:
    """Return how much each query's output reacts to each input token; None without a gradient.

    A reaction is a matrix of c by c; it is read by one random vector of outputs and two of inputs.
    """
    generator = torch.Generator().manual_seed(10**9 + 1)
    weights = torch.randn(x.shape[-1], 3, generator=generator, dtype=torch.float64).to(x.dtype)
    # Each query has a copy of the map of its own, so one backward pass is enough for all.
    copies = x.detach().repeat(len(queries), *[1] * (x.ndim - 1)).requires_grad_()
    try:
        out = block(copies).flatten(1, -2)
        chosen = out[torch.arange(len(queries)), queries] @ weights[:, 0]
        (gradient,) = torch.autograd.grad(chosen.sum(), copies)
    except (BlockError, RuntimeError):  # arrays, or an operation that has no gradient
        return None
    return (gradient.flatten(1, -2) @ weights[:, 1:]).abs()


def _is_sum_of_offset_and_query(
    logs: Float[Tensor, "pairs"],
    queries: Int[Tensor, "pairs"],
    keys: Int[Tensor, "pairs"],
    grid: WindowGrid,
) -> bool:
    """Return whether numbers of pairs are a number of the offset plus a number of the query."""
    places = torch.cartesian_prod(*map(torch.arange, grid.size)).view(-1, len(grid.size))
    offsets = places[queries] - places[keys]
    for i, axis in enumerate(grid.axes):
        if axis.periodic and axis.effective_shift:  # a window may lie across the seam
            half = axis.size // 2
            offsets[:, i] = (offsets[:, i] + half) % axis.size - half
    known, offset = offsets.unique(dim=0, return_inverse=True)
    asked, query = queries.unique(return_inverse=True)
    pairs = torch.arange(len(logs))
    system = torch.zeros(len(logs), len(known) + len(asked), dtype=torch.float64)
    system[pairs, offset] = 1
    system[pairs, len(known) + query] = 1
    value = logs.double()[:, None]
    fit = torch.linalg.lstsq(system, value, driver="gelsd").solution
    return bool((system @ fit - value).abs().max() < 1e-4)
