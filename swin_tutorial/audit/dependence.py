"""Who depends on whom, in any callable: change one token, and see which outputs move."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from swin_tutorial.reference import true_windows
from swin_tutorial.windows import size_text

# An output has moved if it differs by more than this times the largest output.  That is far above
# rounding and far below what any visible token adds.
_MOVED = {torch.float64: 1e-10, torch.float32: 3e-6}
_VALUES_AT_ONCE = 2_000_000


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
    """

    call: Callable
    dtype: torch.dtype
    module: nn.Module | None = None
    takes_arrays: bool = False

    def __call__(self, x: Float[Tensor, "b *size c"]) -> Float[Tensor, "b *size c"]:
        """Call the block.  Raises BlockError."""
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
            if not rounding.seen:
                return form
        except BlockError as error:
            errors.setdefault(form.dtype, error)
    raise errors[torch.float32]


class _Rounding(TorchDispatchMode):
    """Notices an operation that makes single precision of double, as a softmax may be told to."""

    seen = False

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
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


def random_map(size: tuple[int, ...], dim: int, dtype: torch.dtype, batch: int = 1) -> Tensor:
    """Return random feature maps, the same ones every time."""
    generator = torch.Generator().manual_seed(prod(size))
    return torch.randn(batch, *size, dim, generator=generator, dtype=torch.float64).to(dtype)


@torch.no_grad()
def dependence(
    block: Subject, x: Float[Tensor, "1 *size c"], keys: Sequence[int] | None = None
) -> Bool[Tensor, "q k"]:
    """Return which output tokens (rows) depend on which input tokens (columns).

    Args:
        block: what is asked.
        x: the map in which one token at a time is changed.
        keys: the tokens to change, counted row by row; all by default.

    Raises BlockError.
    """
    keys = range(prod(x.shape[1:-1])) if keys is None else keys
    generator = torch.Generator().manual_seed(10**9)  # not random_map's
    others = torch.randn(len(keys), x.shape[-1], generator=generator, dtype=torch.float64)
    at_once = max(1, _VALUES_AT_ONCE // x.numel())
    columns = []
    for first in range(0, len(keys), at_once):
        chunk = torch.as_tensor(keys[first : first + at_once])
        batch = x.repeat(len(chunk) + 1, *[1] * (x.ndim - 1))  # the last one stays as it is
        changed = others[first : first + at_once].to(x.dtype)
        batch.flatten(1, -2)[torch.arange(len(chunk)), chunk] = changed
        out = block(batch).flatten(1, -2)
        columns.append(has_moved(out[:-1], out[-1:]).T)
    return torch.cat(columns, dim=1)


def has_moved(out: Float[Tensor, "b n c"], base: Float[Tensor, "#b #n c"]) -> Bool[Tensor, "b n"]:
    """Return which tokens differ by more than rounding.  NaN counts as not moved."""
    scale = base.nan_to_num().abs().amax().clamp(min=1e-30)
    return ((out - base).abs() > _MOVED.get(base.dtype, 3e-6) * scale).any(-1)


def window_numbers(grid) -> Int[Tensor, "*size"]:
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
    return numbers


def true_dependence(grids) -> Bool[Tensor, "q k"]:
    """Return who must depend on whom after blocks with these grids, one after the other."""
    reach = torch.eye(prod(grids[0].size), dtype=torch.bool)
    for grid in grids:
        numbers = window_numbers(grid).flatten()
        relation = numbers[:, None] == numbers[None, :]
        reach = (relation.float() @ reach.float()) > 0
    return reach
