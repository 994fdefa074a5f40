"""Who depends on whom, in any callable: change one token, and see which outputs move."""

import copy
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from swin_tutorial.grid import WindowGrid
from swin_tutorial.reference import true_windows

# An output has moved if it differs by more than this times the largest output.  That is far above
# rounding and far below what any visible token adds.
_MOVED = {torch.float64: 1e-10, torch.float32: 3e-6}
_VALUES_AT_ONCE = 2_000_000

Case = tuple[WindowGrid, ...]  # of each block of a stage, in turn: a single block has one
Group = tuple[list[int], Tensor]  # some tokens, and the outputs that they may move


class BlockError(Exception):
    """The block raised an error, or returned something that is no feature map of its input's size.

    ``__cause__`` is the block's own error.
    """


@dataclass(frozen=True)
class Subject:
    """A block, called with tensors of the precision that it takes.

    Args:
        call: the block itself, or a copy of it.
        dtype: what it is computed in.
        module: the copy, if the block is a PyTorch module.
        takes_arrays: whether it gets NumPy arrays in place of tensors.
        one_by_one: whether it gets the images of a batch one at a time.
    """

    call: Callable
    dtype: torch.dtype
    module: nn.Module | None = None
    takes_arrays: bool = False
    one_by_one: bool = False

    def __call__(self, x: Float[Tensor, "b *size c"]) -> Float[Tensor, "b *size c"]:
        """Call the block.  Raises BlockError."""
        if self.one_by_one and len(x) > 1:
            return torch.cat([self(image) for image in x.split(1)])
        try:
            out = self.call(x.detach().numpy() if self.takes_arrays else x)
            out = out if isinstance(out, Tensor) else torch.as_tensor(np.asarray(out))
        except Exception as error:  # whatever somebody else's code raises
            raise BlockError(f"{type(error).__name__}: {error}") from error
        if out.shape != x.shape:
            raise BlockError(f"it maps shape {tuple(x.shape)} to {tuple(out.shape)}")
        return out


def subject(block: Callable, example: Float[Tensor, "b *size c"]) -> Subject:
    """Return the block in the first form in which it takes the example.

    A PyTorch module is copied and put in evaluation mode; parameters that are all alike (zeros, as
    libraries begin with) get random numbers, so that what they multiply shows.  Double precision is
    tried first, since it tells a weight of 1e-9 from rounding, unless the block computes a step in
    single precision; then single; then NumPy arrays.
    Raises BlockError, the one of single precision, if it takes none.
    """
    forms = []
    if isinstance(block, nn.Module):
        forms += [_module_subject(block, dtype) for dtype in (torch.float64, torch.float32)]
    else:
        forms += [Subject(block, dtype) for dtype in (torch.float64, torch.float32)]
        forms += [Subject(block, torch.float32, takes_arrays=True)]
    errors: dict[torch.dtype, BlockError] = {}
    for form in forms:
        try:
            x = example.to(form.dtype)
            with _Rounding() as rounding:
                form(x)
            if not (rounding.seen and form.dtype == torch.float64):
                return form
        except BlockError as error:
            errors.setdefault(form.dtype, error)
    raise errors[torch.float32]


class _Rounding(TorchFunctionMode):
    """Notices an operation that makes single precision of double, as a softmax may be told to."""

    seen = False

    def __torch_function__(self, operation, types, args=(), kwargs=None):
        out = operation(*args, **(kwargs or {}))
        is_double = any(isinstance(x, Tensor) and x.dtype == torch.float64 for x in args)
        self.seen |= is_double and isinstance(out, Tensor) and out.dtype == torch.float32
        return out


def _module_subject(block: nn.Module, dtype: torch.dtype) -> Subject:
    block = copy.deepcopy(block).eval().to(dtype)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.is_floating_point() and bool((parameter == parameter.flatten()[0]).all()):
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    return Subject(block, dtype, block)


def random_map(
    size: tuple[int, ...], dim: int, dtype: torch.dtype, batch: int = 1, seed: int = 0
) -> Float[Tensor, "b *size c"]:
    """Return random feature maps, the same ones every time."""
    generator = torch.Generator().manual_seed(seed + prod(size))
    return torch.randn(batch, *size, dim, generator=generator, dtype=torch.float64).to(dtype)


def some_keys(tokens: int, count: int | None) -> tuple[int, ...] | None:
    """Choose tokens at random, the same ones every time; None for all."""
    if count is None or count >= tokens:
        return None
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(0))
    return tuple(sorted(order[:count].tolist()))


@torch.no_grad()
def dependence(
    block: Subject,
    x: Float[Tensor, "1 *size c"],
    windows: Int[Tensor, "tokens"],
    keys: Sequence[int] | None = None,
) -> Bool[Tensor, "q k"]:
    """Return which output tokens (rows) depend on which input tokens (columns).

    One token at a time would take a call for each.  Instead, tokens are changed in groups, and a
    group that moves some outputs is split: first between windows, then into single tokens.  Groups
    that move no output in common are asked about in the same call.  So a block that keeps to its
    windows is asked about as many times as a window has tokens, and a few times more.

    Args:
        block: what is asked.
        x: the map in which tokens are changed.
        windows: a number for each token, such that tokens of one number probably move the same
            outputs.  It makes no difference to the result.
        keys: the tokens to change, counted row by row; all by default.

    Raises BlockError.
    """
    tokens = prod(x.shape[1:-1])
    keys = list(range(tokens) if keys is None else keys)
    number = windows.tolist()
    others = random_map((tokens,), x.shape[-1], x.dtype, seed=10**9)[0]

    # 1. Tell the windows apart: split all tokens in halves until each group lies in one window.
    pending = [(sorted(keys, key=number.__getitem__), torch.ones(tokens, dtype=torch.bool))]
    in_one_window: list[Group] = []
    while pending:
        in_one_window += [group for group in pending if len({number[k] for k in group[0]}) == 1]
        mixed = [group for group in pending if len({number[k] for k in group[0]}) > 1]
        pending = _ask(block, x, others, [(group, _halves(group[0], number)) for group in mixed])
    # 2. Tell the tokens apart.
    split = [(group, [[key] for key in group[0]]) for group in in_one_window]
    columns = {key: moved for (key,), moved in _ask(block, x, others, split)}
    return torch.stack([columns[key] for key in keys], dim=1)


def _halves(group: list[int], number: list[int]) -> list[list[int]]:
    """Return the tokens of the first half of the windows, and of the others."""
    numbers = sorted({number[key] for key in group})
    middle = numbers[len(numbers) // 2]
    first = [key for key in group if number[key] < middle]
    return [first, group[len(first) :]]


def _ask(
    block: Subject,
    x: Float[Tensor, "1 *size c"],
    others: Float[Tensor, "tokens c"],
    split: list[tuple[Group, list[list[int]]]],
) -> list[Group]:
    """Return which outputs each part of each group moves."""
    # Groups of one color move no output in common: their i-th parts are changed together.
    together: dict[tuple[int, int], list[Group]] = {}
    for color, ((_, reach), parts) in zip(_colors([g for g, _ in split]), split, strict=True):
        for i, part in enumerate(parts):
            together.setdefault((color, i), []).append((part, reach))
    changes = [[key for part, _ in parts for key in part] for parts in together.values()]
    outputs = _moved_outputs(block, x, changes, others)
    return [
        (part, moved & reach)
        for parts, moved in zip(together.values(), outputs, strict=True)
        for part, reach in parts
    ]


def _colors(groups: list[Group]) -> list[int]:
    """Return a color for each group; two of the same color move no output in common."""
    taken: list[Bool[Tensor, q]] = []
    colors = []
    for _, reach in groups:
        color = next((i for i, t in enumerate(taken) if not bool((t & reach).any())), len(taken))
        if color == len(taken):
            taken.append(torch.zeros_like(reach))
        taken[color] |= reach
        colors.append(color)
    return colors


def _moved_outputs(
    block: Subject,
    x: Float[Tensor, "1 *size c"],
    changes: list[list[int]],
    others: Float[Tensor, "tokens c"],
) -> list[Bool[Tensor, "q"]]:
    """Return for each set of tokens which outputs move when these tokens become others."""
    at_once = max(1, _VALUES_AT_ONCE // x.numel())
    moved: list[Tensor] = []
    for first in range(0, len(changes), at_once):
        chunk = changes[first : first + at_once]
        batch = x.repeat(len(chunk) + 1, *[1] * (x.ndim - 1))  # the last one stays as it is
        for changed, keys in zip(batch.flatten(1, -2), chunk, strict=False):
            changed[keys] = others[keys]
        out = block(batch).flatten(1, -2)
        moved += has_moved(out[:-1], out[-1:])
    return moved


def has_moved(out: Float[Tensor, "b n c"], base: Float[Tensor, "#b #n c"]) -> Bool[Tensor, "b n"]:
    """Return which tokens differ by more than rounding.  NaN differs from all but NaN."""
    scale = base.nan_to_num().abs().amax().clamp(min=1e-30)
    moved = (out - base).abs() > _MOVED.get(base.dtype, 3e-6) * scale
    return (moved | (out.isnan() != base.isnan())).any(-1)


@functools.lru_cache(maxsize=256)
def window_numbers(grid: WindowGrid) -> Int[Tensor, "tokens"]:
    """Return the number of each token's true window, from the specification in ``reference``."""
    numbers = torch.zeros(grid.size, dtype=torch.int64)
    windows = true_windows(
        grid.size, grid.window_size, grid.shift_size, grid.padding, grid.periodic
    )
    for number, window in enumerate(windows):
        real = [
            torch.tensor([place for place in places if place < length], dtype=torch.int64)
            for places, length in zip(window, grid.size, strict=True)
        ]
        numbers[tuple(torch.meshgrid(*real, indexing="ij"))] = number
    return numbers.flatten()


@functools.lru_cache(maxsize=32)
def true_dependence(grids: Case) -> Bool[Tensor, "q k"]:
    """Return who must depend on whom after blocks with these grids, one after the other."""
    first, *others = (window_numbers(grid) for grid in grids)
    reach = first[:, None] == first[None, :]
    for numbers in others:
        relation = numbers[:, None] == numbers[None, :]
        reach = (relation.float() @ reach.float()) > 0
    return reach
