"""One axis of a feature map, cut into shifted windows: here the mask is decided (chapters 00, 01).

Attention in fixed windows never crosses their borders.  So every other block of Swin shifts its
windows, and they straddle the old borders.  That leaves short windows at both ends: below, 2, 4 and
2 tokens instead of 4 and 4.  Uneven windows do not fit into one tensor, so Swin rolls the tokens
instead.  All windows are full again, but the last one now holds two short windows, from opposite
ends of the row.  Their tokens are not neighbors, and the mask keeps them apart.  We call each true
window a *strip*.

A row of 8 tokens, windows of 4, shifted by 2:

    before the roll    0 1 | 2 3 4 5 | 6 7      the true windows
    strip              0 0 | 1 1 1 1 | 2 2
    after the roll     2 3 4 5 | 6 7 0 1        two full windows
    strip              1 1 1 1 | 2 2 0 0        6 and 7 may not attend to 0 and 1

The rule: a token may attend to another token of its window exactly when both are in the same strip.

An image is the product of two such axes (``swin_tutorial.grid``).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

# Plain operations (is an int, min, torch.roll, is surely true) that also take sizes not known yet.
from swin_tutorial._symbolic import is_whole_number, minimum, roll, statically_true

Padding = Literal["mask", "attend"]
Device = torch.device | str | None


@dataclass(frozen=True)
class Axis:
    """An axis of ``size`` tokens, cut into windows that are shifted by ``shift_size`` tokens.

    Args:
        size: tokens on the axis, before padding.
        window_size: tokens per window.  The axis is padded at its end until whole windows fill it.
        shift_size: tokens by which the windows are shifted, from 0 to ``window_size - 1``.
        padding: "mask" keeps real tokens and padding from attending to each other; "attend" treats
            padding like any other token, as the public implementations do.
        periodic: whether the two ends are neighbors, as on a ring: such an axis needs no mask.

    Raises TypeError for sizes that are not whole numbers or a ``periodic`` that is no bool, and
    ValueError for sizes out of range, an unknown ``padding``, or a periodic axis that does not
    divide into windows.
    Source: Swin, section 3.2.
    """

    size: int
    window_size: int
    shift_size: int = 0
    padding: Padding = "mask"
    periodic: bool = False

    def __post_init__(self):
        check_size("size", self.size)
        check_size("window_size", self.window_size)
        check_size("shift_size", self.shift_size, at_least=0)
        if self.shift_size >= self.window_size:
            raise ValueError(
                f"shift_size {self.shift_size} must be smaller than window_size "
                f"{self.window_size}: use 0 for plain windows (W-MSA) and window_size // 2 for "
                "shifted ones (SW-MSA)"
            )
        check_padding(self.padding)
        if not isinstance(self.periodic, bool):
            raise TypeError(f"periodic must be True or False, got {self.periodic!r}")
        if self.periodic and self.size % self.window_size:
            raise ValueError(
                f"a periodic axis of {self.size} tokens does not divide into windows of "
                f"{self.window_size}, and padding would tear the ring open: choose a window_size "
                f"that divides {self.size}, or resize the map"
            )

    @property
    def num_windows(self) -> int:
        """How many windows the padded axis is cut into."""
        return (self.size + self.window_size - 1) // self.window_size

    @property
    def padded_size(self) -> int:
        """Tokens on the axis once it is padded to whole windows."""
        return self.num_windows * self.window_size

    @property
    def effective_shift(self) -> int:
        """The shift in use: 0 where one window spans the axis, since it holds all tokens already.

        Source: torchvision's ``shifted_window_attention``.
        """
        # With one window the second number is 0; with more it is larger than any shift.
        return minimum(self.shift_size, self.padded_size - self.window_size)

    @property
    def needs_mask(self) -> bool:
        """Whether a window may hold tokens of more than one strip."""
        is_shifted = not statically_true(self.effective_shift == 0)
        has_padding = not statically_true(self.padded_size == self.size)
        return (is_shifted and not self.periodic) or (has_padding and self.padding == "mask")

    def positions_before_roll(self, device: Device = None) -> Int[Tensor, "padded"]:
        """Return where each token of the rolled axis stood before the roll."""
        positions = torch.arange(self.padded_size, device=device)
        return roll(positions, [-self.effective_shift], [0])

    def strips(self, device: Device = None) -> Int[Tensor, "padded"]:
        """Return the strip of each token of the rolled axis: the window it really belongs to.

        Strips are numbered from 0 at the start of the axis.  Masked padding gets a strip of its
        own after those of the real tokens: with 7 tokens, windows of 4 and a shift of 2, the strips
        are 1 1 1 1 2 3 0 0.  On a ring of 8, the last strip and the first are one: 1 1 1 1 0 0 0 0.
        """
        position = self.positions_before_roll(device)
        # The first strip has only effective_shift tokens; the others are missing at its start (4
        # with windows of 7 shifted by 3, none without a shift).  Counting them in, every strip is
        # as long as a window.
        cut_off = -self.effective_shift % self.window_size
        strips = (position + cut_off) // self.window_size
        if self.periodic:
            return strips % self.num_windows  # the last strip continues into the first
        if self.padding == "mask":
            last_real = (self.size - 1 + cut_off) // self.window_size
            strips = strips.masked_fill(position >= self.size, last_real + 1)
        return strips

    def mask(self, device: Device = None) -> Bool[Tensor, "n t t"]:
        """Return the mask of each window: True where query and key are in the same strip.

        The second window of the example at the top holds tokens 6 7 0 1, of strips 2 2 0 0:

                6 7 0 1
            6   x x . .      x: True, may attend
            7   x x . .
            0   . . x x
            1   . . x x
        """
        strips = self.strips(device).view(self.num_windows, self.window_size)
        return strips[:, :, None] == strips[:, None, :]

    def locate(self, position: int) -> tuple[int, int]:
        """Return the window that holds a token after the roll, and the token's place in it.

        ``position`` counts from 0 before the roll, padding included.
        """
        return divmod((position - self.effective_shift) % self.padded_size, self.window_size)

    def origin(self, window: int, place: int) -> int:
        """Return where the token at a place of a window stood before the roll: undo ``locate``."""
        return (window * self.window_size + place + self.effective_shift) % self.padded_size


def check_size(name: str, number: int, at_least: int = 1) -> None:
    """Raise TypeError unless ``number`` is whole, ValueError if it is smaller than ``at_least``."""
    if not is_whole_number(number):
        raise TypeError(f"{name} must be a whole number, got {number!r}: convert it with int()")
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {number}")


def check_padding(padding: str) -> None:
    """Raise ValueError unless ``padding`` is "mask" or "attend"."""
    if padding not in ("mask", "attend"):
        raise ValueError(f'padding must be "mask" or "attend", got {padding!r}')
