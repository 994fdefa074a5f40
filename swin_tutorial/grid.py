"""``WindowGrid``: a shifted-window geometry as one frozen value (chapters 03 and 04)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Shaped
from torch import Tensor

from swin_tutorial.masks import (
    Padding,
    check_padding,
    region_ids,
    shifted_window_mask,
    shifted_window_mask_mod,
)
from swin_tutorial.windows import (
    Size,
    cyclic_shift,
    map_size,
    pad_to_windows,
    padded_size,
    reverse_cyclic_shift,
    size_pair,
    used_shift,
    window_and_shift,
    window_partition,
    window_reverse,
)


@dataclass(frozen=True)
class WindowGrid:
    """A feature map of ``height`` x ``width`` tokens, cut into windows that are shifted by
    ``shift_size`` tokens.

    Everything else follows from these numbers.  ``window_size`` and ``shift_size`` may be given as
    an int and are kept as a (height, width) pair.  ``padding`` says whether real tokens may attend
    to padding (``"attend"``) or not (``"mask"``).

    >>> grid = WindowGrid(height=56, width=56, window_size=7, shift_size=3)
    >>> windows = attention(grid.partition(x), grid.mask(x.device))
    >>> x = grid.merge(windows)

    Raises ValueError or TypeError for sizes that cannot be, as ``swin_tutorial.windows`` does.
    Source: Swin, section 3.2.
    """

    height: int
    width: int
    window_size: Size
    shift_size: Size = 0
    padding: Padding = "mask"

    def __post_init__(self):
        size_pair("(height, width)", (self.height, self.width))
        window, shift = window_and_shift(self.window_size, self.shift_size)
        check_padding(self.padding)
        object.__setattr__(self, "window_size", window)
        object.__setattr__(self, "shift_size", shift)

    @property
    def padded_size(self) -> tuple[int, int]:
        """The (height, width) of the map in tokens once it is padded to whole windows."""
        return padded_size(self.height, self.width, self.window_size)

    @property
    def used_shift(self) -> tuple[int, int]:
        """The (rows, columns) of tokens really shifted by: 0 on an axis that one window spans."""
        return used_shift(self.height, self.width, self.window_size, self.shift_size)

    @property
    def num_windows(self) -> int:
        """How many windows the padded map is cut into: n."""
        padded_height, padded_width = self.padded_size
        return (padded_height // self.window_size[0]) * (padded_width // self.window_size[1])

    @property
    def tokens_per_window(self) -> int:
        """How many tokens each window holds, padding included: t."""
        return self.window_size[0] * self.window_size[1]

    def partition(self, x: Shaped[Tensor, "b h w c"]) -> Shaped[Tensor, "b n t c"]:
        """Pad, shift and cut a feature map.

        Raises ValueError if the map is not ``height`` x ``width``.
        """
        if map_size(x) != (self.height, self.width):
            raise ValueError(
                f"this grid is for maps of {self.height}x{self.width} tokens, got shape "
                f"{tuple(x.shape)}: make a WindowGrid from the map's own height and width"
            )
        x = pad_to_windows(x, self.window_size)
        x = cyclic_shift(x, self.used_shift)
        return window_partition(x, self.window_size)

    def merge(self, windows: Shaped[Tensor, "b n t c"]) -> Shaped[Tensor, "b h w c"]:
        """Glue windows, shift back and crop the padding: undoes ``partition``."""
        x = window_reverse(windows, self.window_size, *self.padded_size)
        x = reverse_cyclic_shift(x, self.used_shift)
        return x[:, : self.height, : self.width]

    def mask(self, device: torch.device | str | None = None) -> Bool[Tensor, "n t t"] | None:
        """Return the attention mask, True = may attend.

        None where nothing is forbidden, so that it costs nothing there.
        """
        is_padded = self.padding == "mask" and self.padded_size != (self.height, self.width)
        if self.used_shift == (0, 0) and not is_padded:
            return None
        geometry = self.height, self.width, self.window_size, self.shift_size, self.padding, device
        if torch.compiler.is_compiling():
            # The same mask, without the writes into slices that inductor makes faulty C++ of.
            ids = window_partition(region_ids(*geometry)[None, :, :, None], self.window_size)
            return rearrange(ids, "1 n q 1 -> n q 1") == rearrange(ids, "1 n k 1 -> n 1 k")
        return shifted_window_mask(*geometry)

    def mask_mod(
        self, device: torch.device | str | None = None
    ) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
        """Return the mask as a predicate for FlexAttention, see ``shifted_window_mask_mod``."""
        geometry = self.height, self.width, self.window_size, self.shift_size, self.padding
        return shifted_window_mask_mod(*geometry, device)
