"""Mistakes of learners in moving tokens: pad, roll, cut into windows, and back."""

import math

import torch
import torch.nn.functional as F

from swin_tutorial.audit.museum.mistake import mistake
from swin_tutorial.audit.specimen import Specimen, cut, join, map_dims

# --- pad and crop ---


@mistake(
    "padded at the start",
    "You put the padding before the first token, so every window begins elsewhere. Pad at the end "
    "of each axis.",
)
class PaddedAtTheStart(Specimen):
    def pad(self, x, window):
        missing = [-n % m for n, m in zip(x.shape[1:-1], window, strict=True)]
        return F.pad(x, [0, 0, *(end for k in reversed(missing) for end in (k, 0))])

    def crop(self, x, size):
        return x[(slice(None), *(slice(-n, None) for n in size))]


@mistake(
    "padding of the axes swapped",
    "F.pad counts from the last axis, and yours pads the width by what the "
    "height lacks. Write (0, 0, 0, pad_w, 0, pad_h).",
)
class PaddingSwapped(Specimen):
    def pad(self, x, window):
        missing = [-n % m for n, m in zip(x.shape[1:-1], window, strict=True)]
        return F.pad(x, [0, 0, *(end for k in missing for end in (0, k))])


@mistake(
    "a whole window of padding too many",
    "You padded by window - size % window, which is a whole window where the map divides. Take "
    "that modulo the window.",
    same_as=("softmax forgotten",),  # a constant map does not stay constant
)
class WindowOfPaddingTooMany(Specimen):
    def pad(self, x, window):
        missing = [m - n % m for n, m in zip(x.shape[1:-1], window, strict=True)]
        return F.pad(x, [0, 0, *(end for k in reversed(missing) for end in (0, k))])


@mistake(
    "not padded",
    "The map does not divide into windows, and it was not padded. Pad each axis at its end.",
)
class NotPadded(Specimen):
    def pad(self, x, window):
        return x


@mistake(
    "padded with copies of tokens",
    "The padding holds copies of real tokens, so windows see tokens of their neighbors. Pad with "
    "zeros.",
)
class PaddedWithCopies(Specimen):
    def pad(self, x, window):
        for dim, m in zip(map_dims(x), window, strict=True):
            places = torch.arange(x.shape[dim] + -x.shape[dim] % m) % x.shape[dim]
            x = x.index_select(dim, places)
        return x


@mistake(
    "rest of the map left out",
    "Tokens that fill no whole window were left out, and attended to nothing. Pad the map instead.",
)
class RestLeftOut(Specimen):
    def __call__(self, x):
        size = x.shape[1:-1]
        whole = [n - n % m if n > m else n for n, m in zip(size, self.window_size, strict=True)]
        inside = (slice(None), *(slice(0, n) for n in whole))
        out = torch.zeros(x.shape, dtype=torch.float64)
        out[inside] = super().__call__(x[inside])
        return out


# --- roll and roll back ---


@mistake(
    "not shifted",
    "The windows are not shifted at all: no pair crosses an edge of the plain windows. Roll the "
    "map by -shift first, and back at the end.",
)
class NotShifted(Specimen):
    def fit(self, size):
        return self.window_size, (0,) * len(size)


@mistake(
    "shifted on one axis only",
    "You rolled the first axis and forgot the others. Roll every axis by its own shift.",
)
class ShiftedOnOneAxisOnly(Specimen):
    def fit(self, size):
        window, shift = super().fit(size)
        return window, (shift[0], *[0] * (len(size) - 1))


@mistake(
    "rolled the wrong way",
    "You rolled by +shift: tokens moved down and right. Roll by -shift, so that the first tokens "
    "go to the far end.",
)
class RolledTheWrongWay(Specimen):
    def roll(self, x, shift):
        return torch.roll(x, list(shift), map_dims(x))

    def roll_back(self, x, shift):
        return torch.roll(x, [-s for s in shift], map_dims(x))


@mistake(
    "shift not undone",
    "The map comes out rolled: token (0, 0) holds the result of its neighbor. Roll back by +shift "
    "at the end.",
)
class ShiftNotUndone(Specimen):
    def roll_back(self, x, shift):
        return x


@mistake(
    "shift undone the wrong way",
    "You rolled by -shift at the start and by -shift again at the end, so the map comes out "
    "rolled twice as far. Roll back by +shift.",
)
class ShiftUndoneTheWrongWay(Specimen):
    def roll_back(self, x, shift):
        return self.roll(x, shift)


@mistake(
    "roll forgotten",
    "The mask is made for a rolled map, and the map was never rolled, neither there nor back. "
    "Roll it by -shift before you cut it.",
)
class RollForgotten(Specimen):
    def roll(self, x, shift):
        return x

    def roll_back(self, x, shift):
        return x


@mistake(
    "shifts of the axes swapped in the roll",
    "You rolled the height by the width's shift. Shifts and dims of torch.roll pair up in order.",
)
class RollShiftsSwapped(Specimen):
    def roll(self, x, shift):
        return super().roll(x, shift[::-1])

    def roll_back(self, x, shift):
        return super().roll_back(x, shift[::-1])


@mistake(
    "rolled along batch or channels",
    "A feature map is (b, h, w, c), so its axes are dims 1 and 2. You rolled the channels in "
    "place of the height: name the dims.",
)
class RolledChannels(Specimen):
    def roll(self, x, shift):
        return torch.roll(x, [-s for s in shift], list(range(2, x.ndim)))

    def roll_back(self, x, shift):
        return torch.roll(x, list(shift), list(range(2, x.ndim)))


@mistake(
    "shortcut taken from the rolled map",
    "The residual path starts after the roll, so each token adds another token's features. Keep "
    "the block's input for the residual path.",
)
class ShortcutRolled(Specimen):
    def __call__(self, x):
        _, shift = self.fit(x.shape[1:-1])
        return super().__call__(x) + self.roll(x, shift)


# --- cut into windows, and join ---


@mistake(
    "cut without moving axes",
    "You reshaped the map to (windows, tokens) without a permutation, so a window holds tokens "
    "that follow each other row by row. Split each axis in two first, then bring the windows to "
    "the front.",
)
class CutWithoutMovingAxes(Specimen):
    def partition(self, x, window):
        return x.reshape(len(x), -1, math.prod(window), x.shape[-1])

    def reverse(self, windows, window, full):
        return windows.reshape(len(windows), *full, windows.shape[-1])


@mistake(
    "every other token in place of neighbors",
    "You split each axis into (window, number of windows), so a window holds tokens that stand "
    "far apart. Split it into (number of windows, window).",
)
class StridedWindows(Specimen):
    def partition(self, x, window):
        counts = tuple(n // m for n, m in zip(x.shape[1:-1], window, strict=True))
        return cut(x, counts).transpose(1, 2)

    def reverse(self, windows, window, full):
        counts = tuple(n // m for n, m in zip(full, window, strict=True))
        return join(windows.transpose(1, 2), counts, full)


@mistake(
    "height and width swapped in the cut",
    "You read a map of h by w as one of w by h when you cut it. Take height and width in the "
    "order of the shape.",
)
class CutSidesSwapped(Specimen):
    def partition(self, x, window):
        return cut(x.reshape(len(x), *x.shape[-2:0:-1], x.shape[-1]), window)


@mistake(
    "height and width swapped in window_reverse",
    "You put the windows back onto a map of w by h. Pass height and width in the order of the "
    "shape.",
)
class ReverseSidesSwapped(Specimen):
    def reverse(self, windows, window, full):
        return join(windows, window, full[::-1]).reshape(len(windows), *full, windows.shape[-1])


@mistake(
    "height and width swapped in cut and join",
    "You read a map of h by w as one of w by h, both when you cut it and when you put it "
    "together. Take height and width in the order of the shape.",
)
class SidesSwapped(Specimen):
    def partition(self, x, window):
        return cut(x.reshape(len(x), *x.shape[-2:0:-1], x.shape[-1]), window)

    def reverse(self, windows, window, full):
        return join(windows, window, full[::-1]).reshape(len(windows), *full, windows.shape[-1])


@mistake(
    "windows joined without moving axes",
    "You reshaped the windows to the map without a permutation, so the tokens of a window follow "
    "each other row by row. Undo the permutation of the cut first.",
)
class JoinedWithoutMovingAxes(Specimen):
    def reverse(self, windows, window, full):
        return windows.reshape(len(windows), *full, windows.shape[-1])


@mistake(
    "windows joined column first",
    "You cut windows row by row and put them back column by column. Keep one order.",
)
class JoinedColumnFirst(Specimen):
    def reverse(self, windows, window, full):
        return (
            join(windows, window[::-1], full[::-1])
            .transpose(1, -2)
            .reshape(len(windows), *full, windows.shape[-1])
        )
