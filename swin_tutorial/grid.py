"""``WindowGrid``: shifted windows on a whole map, as the product of its axes (chapters 02, 03)."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from swin_tutorial._symbolic import crop, remembered
from swin_tutorial.axis import Axis, Device, Padding
from swin_tutorial.windows import (
    Size,
    cyclic_shift,
    map_axes,
    map_size,
    pad_to_windows,
    per_axis,
    reverse_cyclic_shift,
    size_text,
    window_partition,
    window_reverse,
)


@dataclass(frozen=True)
class WindowGrid:
    """A map of ``size`` tokens, cut into windows that are shifted by ``shift_size`` tokens.

    >>> grid = WindowGrid((56, 56), window_size=7, shift_size=3)  # x is (b, 56, 56, c)
    >>> windows = grid.partition(x)  # (b, 64, 49, c)
    >>> windows = attention(windows, grid.mask(x.device))
    >>> x = grid.merge(windows)

    Args:
        size: tokens on each axis of the map: a tuple of one to three numbers, or an int for one
            axis.
        window_size: tokens of a window on each axis.
        shift_size: tokens by which the windows are shifted, smaller than the window.
        padding: "mask" keeps real tokens and padding from attending to each other; "attend" treats
            padding like any other token, as the public implementations do.
        periodic: whether the two ends of an axis are neighbors, as on a ring.

    Each argument but ``size`` takes one value for all axes or one value per axis, and is stored as
    one per axis.  The field ``axes`` holds the map's axes, first to last.
    Raises TypeError or ValueError for invalid values, see ``Axis``.
    Source: Swin, section 3.2.
    """

    size: Size
    window_size: Size
    shift_size: Size = 0
    padding: Padding | Sequence[Padding] = "mask"
    periodic: bool | Sequence[bool] = False
    axes: tuple[Axis, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        size = map_axes(self.size)
        object.__setattr__(self, "size", size)
        for name in ("window_size", "shift_size", "padding", "periodic"):
            object.__setattr__(self, name, per_axis(name, getattr(self, name), len(size)))
        of_axes = zip(
            self.size, self.window_size, self.shift_size, self.padding, self.periodic, strict=True
        )
        object.__setattr__(self, "axes", tuple(Axis(*values) for values in of_axes))

    @property
    def padded_size(self) -> tuple[int, ...]:
        """The map's size in tokens once it is padded to whole windows."""
        return tuple(axis.padded_size for axis in self.axes)

    @property
    def effective_shift(self) -> tuple[int, ...]:
        """The shift in use on each axis: 0 where one window spans it."""
        return tuple(axis.effective_shift for axis in self.axes)

    @property
    def num_windows(self) -> int:
        """How many windows the padded map is cut into: n."""
        return prod(axis.num_windows for axis in self.axes)

    @property
    def tokens_per_window(self) -> int:
        """How many tokens each window holds, padding included: t."""
        return prod(self.window_size)

    @property
    def needs_mask(self) -> bool:
        """Whether anything is forbidden in any window.  If not, the mask is True everywhere."""
        return any(axis.needs_mask for axis in self.axes)

    # --- from a map to windows and back ---

    def partition(self, x: Shaped[Tensor, "b *size c"]) -> Shaped[Tensor, "b n t c"]:
        """Pad, roll and cut a feature map.  Raises ValueError unless the map has this size."""
        if map_size(x) != self.size:
            raise ValueError(
                f"this grid is for maps of {size_text(self.size)} tokens, got shape "
                f"{tuple(x.shape)}: make a WindowGrid of the map's own size"
            )
        x = pad_to_windows(x, self.window_size)
        x = cyclic_shift(x, self.effective_shift)
        return window_partition(x, self.window_size)

    def merge(self, windows: Shaped[Tensor, "b n t c"]) -> Shaped[Tensor, "b *size c"]:
        """Put windows back together, roll back and crop the padding: undo ``partition``."""
        x = window_reverse(windows, self.window_size, self.padded_size)
        x = reverse_cyclic_shift(x, self.effective_shift)
        return crop(x, self.size)

    # --- who may attend to whom ---

    def region_ids(self, device: Device = None) -> Int[Tensor, "*padded"]:
        """Return the region of each token of the rolled map: it combines one strip from each axis.

        Two tokens of a window may attend to each other exactly when they share a region.  Regions
        are numbered row by row on the map *before* the roll, so the first number here is not 0.  A
        map of 4 x 4 tokens, windows of 2, shifted by 1:

            4 4 | 5 3      the first window is one region: no mask
            4 4 | 5 3      the second: its left and right columns may not see each other
            ----+----
            7 7 | 8 6      the third: nor may its top and bottom rows
            1 1 | 2 0      the fourth: every token is alone
        """
        ids = torch.zeros((), dtype=torch.int64, device=device)
        for axis in self.axes:
            strips = axis.strips(device)
            ids = ids[..., None] * (strips.max() + 1) + strips  # like the digits of a number
        return ids

    def mask(self, device: Device = None) -> Bool[Tensor, "n t t"]:
        """Return the mask of each window: True where the query may attend to the key.

        The tensor is cached and shared: clone it before you write to it.
        """
        return _grid_mask(self, device=device)

    def mask_mod(self, device: Device = None) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Return the mask as a predicate of (batch, head, query, key) for FlexAttention.

        It compares region ids, and so holds no ``n t t`` mask.  "batch" counts the windows of all
        images, image by image.
        """
        ids_on_map = self.region_ids(device)[None, ..., None]
        ids = window_partition(ids_on_map, self.window_size)[0, :, :, 0]
        num_windows = ids.shape[0]

        def may_attend(batch, head, query, key):
            window = batch % num_windows
            return ids[window, query] == ids[window, key]

        return may_attend

    # --- where a token is ---

    def locate(self, token: Sequence[int]) -> tuple[int, int]:
        """Return the window that holds a token after the roll, and the token's index in it.

        ``token`` is the token's position on each axis before the roll, padding included.  Windows,
        and the tokens in them, count row by row.  Raises ValueError for a token off the map.
        """
        token = tuple(token)
        padded = self.padded_size
        if len(token) != len(padded) or not all(map(operator.contains, map(range, padded), token)):
            raise ValueError(
                f"there is no token {token} on a padded map of {size_text(padded)} tokens"
            )
        window = index = 0
        for axis, position in zip(self.axes, token, strict=True):
            window_on_axis, place = axis.locate(position)
            window = window * axis.num_windows + window_on_axis
            index = index * axis.window_size + place
        return window, index

    def origin(self, window: int, index: int) -> tuple[int, ...]:
        """Return where a window's token stood before the roll: undo ``locate``.

        Raises ValueError for a window or an index that the grid does not have.
        """
        if window not in range(self.num_windows) or index not in range(self.tokens_per_window):
            raise ValueError(
                f"there is no token {index} in window {window}: the grid has {self.num_windows} "
                f"windows of {self.tokens_per_window} tokens, counted from 0"
            )
        token = []
        for axis in reversed(self.axes):
            window, window_on_axis = divmod(window, axis.num_windows)
            index, place = divmod(index, axis.window_size)
            token.append(axis.origin(window_on_axis, place))
        return tuple(reversed(token))

    def is_padding(self, token: Sequence[int]) -> bool:
        """Return whether a token of the padded map, given as in ``locate``, is padding."""
        return any(position >= length for position, length in zip(token, self.size, strict=True))


@remembered
def _grid_mask(grid: WindowGrid, device: Device) -> Bool[Tensor, "n t t"]:
    """Two tokens may attend to each other exactly when their strips agree on every axis."""
    mask, *others = (axis.mask(device) for axis in grid.axes)
    for other in others:
        # Pair every window so far with every window of this axis: allowed means allowed on both.
        k1, k2 = mask.shape[-1], other.shape[-1]
        mask = repeat(mask, "n1 q1 k1 -> n1 1 q1 1 (k1 k2)", k2=k2)
        other = repeat(other, "n2 q2 k2 -> 1 n2 1 q2 (k1 k2)", k1=k1)
        mask = rearrange(mask & other, "n1 n2 q1 q2 k -> (n1 n2) (q1 q2) k")
    return mask
