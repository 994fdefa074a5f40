"""Cut a feature map into windows and put it back together; shift it and back (chapters 01, 02).

Feature maps are channels-last: ``b l c`` is a signal, ``b h w c`` an image, ``b d h w c`` a video,
and ``b *size c`` any of them.  Windows are ``b n t c``: *n* windows, row by row, of *t* tokens, row
by row.  Sizes are counted in tokens, one number per axis.  For a window or a shift on a map, an int
means the same number on every axis; as the size of a map, an int means one axis.
"""

import math
import operator
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Shaped
from torch import Tensor

from swin_tutorial._symbolic import rearrange, roll, statically_true
from swin_tutorial.axis import Axis, check_size

Size = int | tuple[int, ...] | list[int]

# Read left to right, a pattern cuts a map; right to left, it joins windows.  On axis h there are nh
# windows of wh tokens.
MAP_TO_WINDOWS = {
    1: "b (nl wl) c -> b nl wl c",
    2: "b (nh wh) (nw ww) c -> b (nh nw) (wh ww) c",
    3: "b (nd wd) (nh wh) (nw ww) c -> b (nd nh nw) (wd wh ww) c",
}
AXES = {1: "l", 2: "hw", 3: "dhw"}


def window_partition(
    x: Shaped[Tensor, "b *size c"], window_size: Size
) -> Shaped[Tensor, "b n t c"]:
    """Cut a feature map into windows that tile it without overlap.

    Raises ValueError if the map does not divide into whole windows; ``pad_to_windows`` makes it
    divide.
    Source: Swin, section 3.2; the official ``window_partition``, which merges b and n.
    """
    size = map_size(x)
    window = sizes_per_axis("window_size", window_size, len(size))
    if any(n % m for n, m in zip(size, window, strict=True)):
        raise ValueError(
            f"a map of {size_text(size)} tokens does not divide into windows of "
            f"{size_text(window)}: call pad_to_windows(x, window_size) first"
        )
    return rearrange(x, MAP_TO_WINDOWS[len(size)], **_lengths("w", window))


def window_reverse(
    windows: Shaped[Tensor, "b n t c"], window_size: Size, size: Size
) -> Shaped[Tensor, "b *size c"]:
    """Put windows back together: the map of ``size`` that ``window_partition`` cut them from.

    Raises ValueError if windows of this size and number do not tile such a map.
    Source: the official ``window_reverse``.
    """
    _check_tensor("windows", windows, (4,), "b n t c")
    size = map_axes(size)
    window = sizes_per_axis("window_size", window_size, len(size))
    counts = tuple(map(operator.floordiv, size, window))
    tiles = tuple(map(operator.mul, counts, window)) == size
    if not tiles or tuple(windows.shape[1:3]) != (math.prod(counts), math.prod(window)):
        raise ValueError(
            f"{windows.shape[1]} windows of {windows.shape[2]} tokens do not tile a map of "
            f"{size_text(size)} with window_size {window}: pass the padded "
            "size of the map that was cut"
        )
    map_side, window_side = MAP_TO_WINDOWS[len(size)].split(" -> ")
    lengths = _lengths("n", counts) | _lengths("w", window)
    return rearrange(windows, f"{window_side} -> {map_side}", **lengths)


def pad_to_windows(
    x: Shaped[Tensor, "b *size c"], window_size: Size
) -> Shaped[Tensor, "b *padded c"]:
    """Append zero tokens at the end of each axis until the map divides into whole windows.

    A map that divides already is returned as it is, without a copy.
    Source: torchvision's ``shifted_window_attention``, which pads before it shifts.
    """
    size = map_size(x)
    missing = list(map(operator.sub, padded_size(size, window_size), size))
    if all(statically_true(tokens == 0) for tokens in missing):
        return x
    # F.pad counts from the last dimension: first the channels, then the axes from last to first.
    ends = [end for tokens in reversed(missing) for end in (0, tokens)]
    return F.pad(x, (0, 0, *ends))


def cyclic_shift(x: Shaped[Tensor, "b *size c"], shift_size: Size) -> Shaped[Tensor, "b *size c"]:
    """Roll a feature map towards its start: the first tokens of each axis move to its far end.

    With a shift of 2, 0 1 2 3 4 5 6 7 becomes 2 3 4 5 6 7 0 1: on each axis, the token at position
    y' stood at y = (y' + shift) mod size.  ``window_partition`` now cuts the shifted windows, the
    short ones at both ends in one.  A map shifted by 0 is returned as it is, without a copy.
    Raises ValueError unless 0 <= shift < map size on each axis.
    Source: Swin, section 3.2, figure 4.
    """
    shift = _shift_within_map(x, shift_size)
    return roll(x, [-tokens for tokens in shift], range(1, x.ndim - 1))


def reverse_cyclic_shift(
    x: Shaped[Tensor, "b *size c"], shift_size: Size
) -> Shaped[Tensor, "b *size c"]:
    """Undo ``cyclic_shift``: roll a feature map back by ``shift_size`` tokens."""
    return roll(x, _shift_within_map(x, shift_size), range(1, x.ndim - 1))


# --- sizes ---


def padded_size(size: Size, window_size: Size) -> tuple[int, ...]:
    """Return the size of the smallest map of whole windows that holds a map of ``size`` tokens."""
    size = map_axes(size)
    window = sizes_per_axis("window_size", window_size, len(size))
    return tuple(Axis(n, m).padded_size for n, m in zip(size, window, strict=True))


def map_axes(size: Size) -> tuple[int, ...]:
    """Return a map's size as a tuple of one to three whole numbers; an int is one axis.

    Raises TypeError or ValueError for anything else; the message shows it.
    """
    axes = tuple(size) if isinstance(size, tuple | list) else (size,)
    if not 1 <= len(axes) <= 3:
        raise ValueError(f"size must have one to three axes, got {size!r}")
    for tokens in axes:
        check_size("size", tokens)
    return axes


def per_axis(name: str, value: object, num_axes: int) -> tuple:
    """Return ``value`` as one value per axis: a single value counts for every axis.

    Raises ValueError for a sequence of the wrong length; ``name`` starts the message.
    """
    if not isinstance(value, tuple | list):
        return (value,) * num_axes
    if len(value) != num_axes:
        raise ValueError(
            f"{name} must be one value for all axes, or one for each of the map's {num_axes}, got "
            f"{value!r}"
        )
    return tuple(value)


def sizes_per_axis(name: str, value: Size, num_axes: int, at_least: int = 1) -> tuple[int, ...]:
    """Return a size as one number per axis, each at least ``at_least``; messages show ``name``."""
    sizes = per_axis(name, value, num_axes)
    for number in sizes:
        check_size(name, number, at_least)
    return sizes


def map_size(x: Shaped[Tensor, "b *size c"]) -> tuple[int, ...]:
    """Return the size of a feature map in tokens; TypeError or ValueError if ``x`` is not one."""
    _check_tensor("x", x, (3, 4, 5), "b *size c")
    return map_axes(tuple(x.shape[1:-1]))


def window_axes(window_size: Size) -> tuple[int, ...]:
    """Return the size of a window that has no map yet: an int makes it square, on two axes.

    Raises TypeError or ValueError, naming it, unless it has one to three axes.
    """
    axes = tuple(window_size) if isinstance(window_size, tuple | list) else (window_size,) * 2
    if not 1 <= len(axes) <= 3:
        raise ValueError(f"window_size must have one to three axes, got {window_size!r}")
    for size in axes:
        check_size("window_size", size)
    return axes


def size_text(size: tuple[int, ...]) -> str:
    """Return a size as it is written in messages: 8x12."""
    return "x".join(map(str, size))


def _shift_within_map(x: Tensor, shift_size: Size) -> tuple[int, ...]:
    size = map_size(x)
    shift = sizes_per_axis("shift_size", shift_size, len(size), at_least=0)
    if any(map(operator.ge, shift, size)):
        raise ValueError(
            f"shift_size {shift} must be smaller than the map of {size_text(size)} tokens: "
            "a longer roll only wraps around again"
        )
    return shift


def _check_tensor(name: str, x: Tensor, dimensions: Sequence[int], shape: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape ({shape}), got {type(x).__name__}")
    if x.ndim not in dimensions:
        raise ValueError(
            f"{name} must have the shape ({shape}), got {tuple(x.shape)}: "
            f"a single item needs a batch axis, {name}[None]"
        )


def _lengths(kind: str, numbers: tuple[int, ...]) -> dict[str, int]:
    """Name the lengths of the axes of windows as the patterns do: wh and ww, or nh and nw."""
    return {kind + axis: tokens for axis, tokens in zip(AXES[len(numbers)], numbers, strict=True)}
