"""What compilers and exporters need, behind the verbs that the lesson uses.

``torch.compile``, ``torch.export`` and ONNX's dynamo exporter run the code once and record it.
Where a size is left open, they record a symbol (``torch.SymInt``) in place of the number, and an
``if`` on a symbol ties the recording to the sizes that give the same answer.  Each function here
does the plain thing when the code runs.  When it is being recorded, it says the same in a way that
holds for every size.
"""

import functools
from collections.abc import Callable, Sequence

import einops
import torch
from torch import Tensor


def is_whole_number(value: object) -> bool:
    """Return whether ``value`` can be a size.  True and False are ints to Python, but not sizes."""
    return isinstance(value, int | torch.SymInt) and not isinstance(value, bool)


def statically_true(condition: bool | torch.SymBool) -> bool:
    """Return whether a condition on sizes holds; for symbols, whether it holds for every size."""
    if torch.compiler.is_compiling():
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return statically_known_true(condition)
    return bool(condition)


def minimum(a: int, b: int) -> int:
    """Return the smaller of two sizes."""
    return torch.sym_min(a, b)


def roll(x: Tensor, shifts: Sequence[int], dims: Sequence[int]) -> Tensor:
    """``torch.roll``; a tensor rolled by 0 is returned as it is, without a copy."""
    if all(statically_true(shift == 0) for shift in shifts):
        return x
    if not any(_is_open(x.shape[dim]) for dim in dims):
        return torch.roll(x, tuple(shifts), tuple(dims))
    # ONNX cannot roll by a symbol, and compilers take several times as long over one.
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.shape[dim]
        position = torch.arange(size, device=x.device) - shift
        # ONNX has no remainder by a symbol either.
        position = torch.where(position >= size, position - size, position)
        x = x.index_select(dim, torch.where(position < 0, position + size, position))
    return x


def crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Keep the first ``size`` tokens of a map ``b *padded c`` on each axis."""
    for dim, tokens in enumerate(size, start=1):
        if _is_open(x.shape[dim]) or _is_open(tokens):
            # A slice would have to know whether there is anything to cut off.
            x = x.index_select(dim, torch.arange(tokens, device=x.device))
        else:
            x = x.narrow(dim, 0, tokens)
    return x


def rearrange(x: Tensor, pattern: str, **lengths: int) -> Tensor:
    """``einops.rearrange``, in a form whose strides do not depend on a size that is open."""
    if not torch.compiler.is_compiling():
        return einops.rearrange(x, pattern, **lengths)
    # First every axis alone and in its new order, copied so that they lie in memory in that order;
    # then join them.  Joining at once copies too, save where there is nothing to join.
    split, joined = pattern.split(" -> ")
    alone = joined.replace("(", "").replace(")", "")
    x = einops.rearrange(x, f"{split} -> {alone}", **lengths)
    return einops.rearrange(x.clone(memory_format=torch.contiguous_format), f"{alone} -> {joined}")


def remembered(build: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorate a function of hashable values and, last, a device: keep its 64 most recent tensors.

    A tensor that somebody wrote into is built anew.  Nothing is kept while code is being recorded,
    or while new tensors are not plain ones: fake, of ``torch.func``, or part of a CUDA graph.
    """

    @functools.lru_cache(maxsize=64)
    def keep(*key) -> tuple[Tensor, int]:
        # Not an inference tensor, which a later training step could not use.
        with torch.inference_mode(False), torch.no_grad():
            tensor = build(*key)
        return tensor, tensor._version

    @functools.wraps(build)
    def call(*arguments, device: torch.device | str | None = None) -> Tensor:
        if torch.compiler.is_compiling() or _tensors_are_special():
            return build(*arguments, device)
        # Names the device in full: the default one, and which of several GPUs.
        key = (*arguments, torch.empty(0, device=device).device)
        tensor, version = keep(*key)
        if tensor._version != version:
            keep.cache_clear()
            tensor, _ = keep(*key)
        return tensor

    return call


def _tensors_are_special() -> bool:
    """Return whether a tensor made now may be a stand-in for another, or not be computed yet."""
    return (
        torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
        or (torch.cuda.is_available() and torch.cuda.is_current_stream_capturing())
    )


def _is_open(size: int | torch.SymInt) -> bool:
    """Return whether a size is recorded as a symbol, and no number is known for it."""
    if torch.compiler.is_compiling():
        from torch.fx.experimental.symbolic_shapes import has_static_value

        return not has_static_value(size)
    return False
