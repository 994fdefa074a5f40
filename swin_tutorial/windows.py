"""Cut a feature map into windows and glue it again; shift it cyclically and back (chapters 01 and
02).

Feature maps are channels-last, ``b h w c``; windows are ``b n t c``: *n* windows, row by row, of
*t* tokens, row by row.  A size is an ``int`` or a ``(height, width)`` pair, always counted in
tokens.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Int, Shaped
from torch import Tensor

Size = int | tuple[int, int] | list[int]


def window_partition(x: Shaped[Tensor, "b h w c"], window_size: Size) -> Shaped[Tensor, "b n t c"]:
    """Cut a feature map into windows that tile it without overlap.

    Raises ValueError if the map does not divide into whole windows; ``pad_to_windows`` makes it
    divide.
    Source: Swin, section 3.2; ``window_partition`` of the official code, with the batch kept as an
    axis of its own.
    """
    height, width = map_size(x)
    window_height, window_width = size_pair("window_size", window_size)
    if height % window_height or width % window_width:
        raise ValueError(
            f"a map of {height}x{width} tokens does not divide into windows of "
            f"{window_height}x{window_width}: call pad_to_windows(x, window_size) first"
        )
    tiles = rearrange(
        x, "b (rows wh) (cols ww) c -> b rows cols wh ww c", wh=window_height, ww=window_width
    )
    return rearrange(_in_order(tiles), "b rows cols wh ww c -> b (rows cols) (wh ww) c")


def window_reverse(
    windows: Shaped[Tensor, "b n t c"], window_size: Size, height: int, width: int
) -> Shaped[Tensor, "b h w c"]:
    """Glue windows into the ``height`` x ``width`` map that ``window_partition`` cut them from.

    Raises ValueError if windows of this size and number do not tile such a map.
    Source: ``window_reverse`` of the official code.
    """
    _require_dimensions("windows", windows, "b n t c")
    window_height, window_width = size_pair("window_size", window_size)
    height, width = size_pair("(height, width)", (height, width))
    rows, cols = height // window_height, width // window_width
    tiles = (rows * window_height, cols * window_width) == (height, width)
    if not tiles or tuple(windows.shape[1:3]) != (rows * cols, window_height * window_width):
        raise ValueError(
            f"{windows.shape[1]} windows of {windows.shape[2]} tokens do not tile a map of "
            f"{height}x{width} with window_size {(window_height, window_width)}: "
            "pass the padded height and width of the map that was cut"
        )
    tiles = rearrange(
        windows,
        "b (rows cols) (wh ww) c -> b rows wh cols ww c",
        rows=rows,
        wh=window_height,
        ww=window_width,
    )
    return rearrange(_in_order(tiles), "b rows wh cols ww c -> b (rows wh) (cols ww) c")


def pad_to_windows(x: Shaped[Tensor, "b h w c"], window_size: Size) -> Shaped[Tensor, "b hp wp c"]:
    """Append zero tokens at the bottom and the right until the map divides into whole windows.

    A map that divides already is returned as it is, without a copy.
    Source: torchvision's ``shifted_window_attention``, which pads before it shifts.
    """
    height, width = map_size(x)
    padded_height, padded_width = padded_size(height, width, window_size)
    if is_certain(padded_height == height) and is_certain(padded_width == width):
        return x
    return F.pad(x, (0, 0, 0, padded_width - width, 0, padded_height - height))


def cyclic_shift(x: Shaped[Tensor, "b h w c"], shift_size: Size) -> Shaped[Tensor, "b h w c"]:
    """Roll a feature map up and to the left; what leaves comes in at the opposite edge.

    The token at rolled row y' stood at row (y' + shift) mod height before, and the same for
    columns.  A map shifted by 0 is returned as it is, without a copy.
    Raises ValueError unless 0 <= shift < map size on each axis.
    Source: Swin, section 3.2, figure 4.
    """
    shift_rows, shift_columns = _shift_within(x, shift_size)
    return _roll(x, -shift_rows, -shift_columns)


def reverse_cyclic_shift(
    x: Shaped[Tensor, "b h w c"], shift_size: Size
) -> Shaped[Tensor, "b h w c"]:
    """Undo ``cyclic_shift``: roll a feature map down and to the right by ``shift_size`` tokens."""
    shift_rows, shift_columns = _shift_within(x, shift_size)
    return _roll(x, shift_rows, shift_columns)


def before_roll(positions: Int[Tensor, "n"], roll: int, size: int) -> Int[Tensor, "n"]:
    """Return where tokens of an axis of ``size`` tokens stood before a roll by ``roll`` tokens.

    That is (position - roll) mod size, for |roll| < size, without ``%``: ONNX has none for a size
    that is a symbol.
    """
    before = positions - roll
    before = torch.where(before >= size, before - size, before)
    return torch.where(before < 0, before + size, before)


# --- sizes ---


def padded_size(height: int, width: int, window_size: Size) -> tuple[int, int]:
    """Return the (height, width) of the smallest map of whole windows that holds the given one."""
    height, width = size_pair("(height, width)", (height, width))
    window_height, window_width = size_pair("window_size", window_size)
    rows = (height + window_height - 1) // window_height
    columns = (width + window_width - 1) // window_width
    return rows * window_height, columns * window_width


def used_shift(height: int, width: int, window_size: Size, shift_size: Size) -> tuple[int, int]:
    """Return the (rows, columns) really shifted by: 0 on an axis that one window spans.

    There a roll would only part tokens that a single window can hold together.
    Raises ValueError unless 0 <= shift < window on each axis.  Source: torchvision's
    ``shifted_window_attention``.
    """
    padded = padded_size(height, width, window_size)
    window, shift = window_and_shift(window_size, shift_size)
    # Padding leaves p - m = 0 where one window spans the axis, and more than the shift elsewhere.
    return tuple(
        torch.sym_min(s, p - m) if s else 0 for p, m, s in zip(padded, window, shift, strict=True)
    )


def size_pair(name: str, size: Size, minimum: int = 1) -> tuple[int, int]:
    """Return ``size`` as a ``(height, width)`` pair of whole numbers, each at least ``minimum``.

    Raises TypeError for anything but whole numbers and ValueError for a number too small; both
    messages begin with ``name``.
    """
    pair = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(pair) != 2:
        raise ValueError(f"{name} must be one whole number or a (height, width) pair, got {size!r}")
    for number in pair:
        # A traced size (torch.compile, torch.export) is a SymInt; a bool is an int to Python, but
        # never a size.
        if isinstance(number, bool) or not isinstance(number, int | torch.SymInt):
            raise TypeError(
                f"{name} must be one whole number or a pair of them, got {size!r}: "
                "convert it with int()"
            )
        if number < minimum:
            raise ValueError(f"{name} must be at least {minimum} on each axis, got {size!r}")
    return pair


def window_and_shift(
    window_size: Size, shift_size: Size
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return both as pairs.  Raises ValueError unless 0 <= shift < window on each axis."""
    window = size_pair("window_size", window_size)
    shift = size_pair("shift_size", shift_size, minimum=0)
    if shift[0] >= window[0] or shift[1] >= window[1]:
        raise ValueError(
            f"shift_size {shift} must be smaller than window_size {window} on each axis: "
            "use 0 for W-MSA and window_size // 2 for SW-MSA"
        )
    return window, shift


def is_symbol(size: int | torch.SymInt) -> bool:
    """Return whether torch.compile or torch.export is tracing this size as a dynamic one."""
    if torch.compiler.is_compiling():
        from torch.fx.experimental.symbolic_shapes import has_static_value

        return not has_static_value(size)
    return False


def is_certain(condition: bool | torch.SymBool) -> bool:
    """Return whether a condition on sizes holds; for symbols, whether it holds whatever they are.

    Asking this instead of ``if condition`` keeps one graph for all sizes, where ``if`` would bind
    the graph to the sizes that answer as the traced one does.
    """
    if torch.compiler.is_compiling():
        from torch.fx.experimental.symbolic_shapes import statically_known_true

        return statically_known_true(condition)
    return condition


def map_size(x: Shaped[Tensor, "b h w c"]) -> tuple[int, int]:
    """Return the (height, width) of a feature map; TypeError or ValueError if it is not one."""
    _require_dimensions("x", x, "b h w c")
    return size_pair("the map's (height, width)", tuple(x.shape[1:3]))


def _require_dimensions(name: str, x: Tensor, dimensions: str) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor of shape ({dimensions}), got {type(x).__name__}"
        )
    if x.ndim != 4:
        raise ValueError(
            f"{name} must have the 4 dimensions ({dimensions}), got {x.ndim} in shape "
            f"{tuple(x.shape)}: a single item needs a batch axis, x[None]"
        )


def _in_order(tiles: Tensor) -> Tensor:
    """Return a copy that lies in memory in the order of its axes, so that they can be joined.

    Joining would copy by itself, save for a single column of windows; asking for the copy keeps a
    traced graph from depending on that.
    """
    return tiles.clone(memory_format=torch.contiguous_format)


def _roll(x: Tensor, rows: int, columns: int) -> Tensor:
    if is_certain(rows == 0) and is_certain(columns == 0):
        return x
    if is_symbol(x.shape[1]) or is_symbol(x.shape[2]):
        # ONNX knows no roll by a symbol, and compilers take several times as long over one.
        for axis, roll in ((1, rows), (2, columns)):
            positions = torch.arange(x.shape[axis], device=x.device)
            x = x.index_select(axis, before_roll(positions, roll, x.shape[axis]))
        return x
    return torch.roll(x, shifts=(rows, columns), dims=(1, 2))


def _shift_within(x: Tensor, shift_size: Size) -> tuple[int, int]:
    height, width = map_size(x)
    shift_rows, shift_columns = size_pair("shift_size", shift_size, minimum=0)
    if shift_rows >= height or shift_columns >= width:
        raise ValueError(
            f"shift_size {(shift_rows, shift_columns)} must be smaller than the map of "
            f"{height}x{width} tokens: a longer roll only goes round again"
        )
    return shift_rows, shift_columns
