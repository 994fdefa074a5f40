"""Mistakes that were found in public code."""

import math

import torch

from swin_tutorial.audit.museum.mistake import AS_NO_MASK, mistake
from swin_tutorial.audit.specimen import Specimen, map_dims


@mistake(
    "no mask",
    "Every pair in a window may attend, also tokens that only the roll has brought together. Add "
    "a mask that compares region labels.",
    same_as=AS_NO_MASK,
)
class NoMask(Specimen):
    def compare(self, ids):
        return torch.ones(*ids.shape, ids.shape[-1], dtype=torch.bool)


@mistake(
    "shift kept on a one-window axis",
    "Where one window spans an axis, it already holds every token of it. A shift there only cuts "
    "it in two. Set the shift to 0 on each such axis.",
)
class ShiftKept(Specimen):
    def fit(self, size):
        return self.window_size, self.shift_size


@mistake(
    "shift dropped on all axes",
    "One axis is no longer than a window, and you dropped the shift on all axes. Drop it on that "
    "axis alone: the others still have windows to connect.",
)
class ShiftDroppedOnAll(Specimen):
    def fit(self, size):
        if any(n <= m for n, m in zip(size, self.window_size, strict=True)):
            return self.window_size, (0,) * len(size)
        return self.window_size, self.shift_size


@mistake(
    "one-window test on the first axis only",
    "You compared the window with the height alone and used the answer for the width too. Decide "
    "about the shift on each axis by that axis.",
)
class TestOnFirstAxisOnly(Specimen):
    def fit(self, size):
        is_one_window = size[0] <= self.window_size[0]
        return self.window_size, (0,) * len(size) if is_one_window else self.shift_size


@mistake(
    "window shrunk on all axes",
    "The shortest axis is no longer than a window, and you made the windows of all axes that "
    "short. Windows on the other axes keep their size.",
    seen="microsoft/Swin-Transformer: SwinTransformerBlock, window_size = min(input_resolution)",
)
class WindowShrunkOnAll(Specimen):
    def fit(self, size):
        if any(n <= m for n, m in zip(size, self.window_size, strict=True)):
            return (min(size),) * len(size), (0,) * len(size)
        return self.window_size, self.shift_size


@mistake(
    "window and shift of the first axis for all",
    "You computed window and shift for each axis, and used those of the first axis for all. Keep "
    "one of each per axis.",
    seen="transformers 5.23: Swinv2Layer keeps window_size[0] and shift_size[0]",
)
class FirstAxisForAll(Specimen):
    def fit(self, size):
        window = min(size[0], self.window_size[0])
        shift = 0 if size[0] <= window else self.shift_size[0]
        return (window,) * len(size), (shift,) * len(size)


@mistake(
    "window shrunk, bias table not",
    "On a small map the window shrinks, and the bias still has the shape of the large window: an "
    "error. Keep the window and pad, or look the bias up for the window in use.",
    seen="transformers 5.23: SwinLayer; its attention keeps the table that it was built with",
)
class BiasOfTheLargeWindow(WindowShrunkOnAll):
    def __init__(self, *geometry):
        super().__init__(*geometry)
        self.built_for = self.window_size

    def bias_index(self, window):
        return super().bias_index(self.built_for)


@mistake(
    "window overwritten, bias table not",
    "A call at a small size stored its window in the block, and the bias still has the shape of "
    "the large one, so all later calls fail. Keep what depends on the map in local variables.",
    seen="transformers 5.23: SwinLayer.set_shift_and_window_size, called at several sizes",
    remembers=True,
)
class WindowOverwritten(BiasOfTheLargeWindow):
    def fit(self, size):
        self.window_size, self.shift_size = super().fit(size)
        return self.window_size, self.shift_size


@mistake(
    "state overwritten by a call",
    "A call at a small size stored its window and shift in the block, and all later calls used "
    "them. Keep what depends on the size of the map in local variables.",
    remembers=True,
)
class StateOverwritten(WindowShrunkOnAll):
    def fit(self, size):
        self.window_size, self.shift_size = super().fit(size)
        return self.window_size, self.shift_size


@mistake(
    "shift changed in place",
    "On a small map you set an entry of the block's own shift to 0, and it stays 0 on larger "
    "maps. Change a copy.",
    remembers=True,
)
class ShiftChangedInPlace(Specimen):
    def fit(self, size):
        _, self.shift_size = super().fit(size)
        return self.window_size, self.shift_size


@mistake(
    "shift fixed at build size",
    "Whether there is a shift was decided once, for the first map, and larger or smaller maps use "
    "the same answer. Decide it at each call.",
    seen="transformers 5.23: Swinv2Layer decides by the input_resolution that it is built with",
    remembers=True,
    same_as=("shift kept on a one-window axis",),  # if the first map has a shift on each axis
)
class ShiftFixedAtBuildSize(Specimen):
    fitted = None

    def fit(self, size):
        self.fitted = self.fitted or super().fit(size)
        return self.fitted


@mistake(
    "custom shift replaced",
    "The block takes a shift and uses half the window instead. Use the shift that was passed.",
)
class CustomShiftReplaced(Specimen):
    def fit(self, size):
        window, shift = super().fit(size)
        return window, tuple(m // 2 if s else 0 for m, s in zip(window, shift, strict=True))


@mistake(
    "rolled before padded",
    "You rolled the map first and padded it then, so the padding stands between tokens that were "
    "rolled to the end and their window. Pad first.",
    seen="timm 1.0.31: SwinTransformerBlock._attn, and the block of V2",
)
class RolledBeforePadded(Specimen):
    def __call__(self, x):
        size = tuple(x.shape[1:-1])
        window, shift = self.fit(size)
        padded = self.pad(self.roll(x, shift), window)
        full = tuple(padded.shape[1:-1])
        windows = self.partition(padded, window)
        out = self.attend(windows, self.mask(size, full, window, shift), window)
        return self.roll_back(self.crop(self.reverse(out, window, full), size), shift)


@mistake(
    "-s // 2 rounds away from 0",
    "In Python -7 // 2 is -4 and 7 // 2 is 3, so the map was rolled one token farther than it was "
    "rolled back. Write -(7 // 2).",
)
class NegativeFloored(Specimen):
    def roll(self, x, shift):
        return torch.roll(x, [-(2 * s + 1) // 2 if s else 0 for s in shift], map_dims(x))


@mistake(
    "H = W = √L guessed",
    "You took the side of the map for the square root of its tokens. That is right for squares "
    "alone: pass height and width along.",
)
class SquareGuessed(Specimen):
    def __call__(self, x):
        side = round(math.prod(x.shape[1:-1]) ** (1 / (x.ndim - 2)))
        square = x.reshape(len(x), *[side] * (x.ndim - 2), x.shape[-1])
        return super().__call__(square).reshape(x.shape)


@mistake(
    "regions from the unpadded size",
    "The map was padded, and you placed the cuts of the mask by its size before that. Place them "
    "by the padded size.",
)
class RegionsFromUnpaddedSize(Specimen):
    def strips(self, size, full, window, shift, axis):
        if size == full:
            return super().strips(size, full, window, shift, axis)
        rolled = torch.arange(full)
        return (rolled >= size - window).long() + (rolled >= size - shift)


@mistake(
    "mask of the wrong size of map",
    "The mask was made for a map of another size, with another number of windows: for the map "
    "before merging, perhaps. Make it for the map that the block gets.",
)
class MaskOfAnotherSize(Specimen):
    def mask(self, size, full, window, shift):
        larger = tuple(2 * n for n in full) if any(shift) else full
        return super().mask(larger, larger, window, shift)


@mistake(
    "ring cut open",
    "The two ends of this axis are neighbors, and the mask keeps them apart. Leave the seam out: "
    "the first and the last strip are one window.",
    seen="NVIDIA/physicsnemo #1599",
)
class RingCutOpen(Specimen):
    def strips(self, size, full, window, shift, axis):
        if not self.periodic[axis]:
            return super().strips(size, full, window, shift, axis)
        return ((torch.arange(full) + shift) % full - shift) // window + 1


@mistake(
    "ends joined to a ring",
    "This axis ends, and the mask lets its two ends attend to each other. Put a cut there.",
)
class EndsJoined(Specimen):
    def strips(self, size, full, window, shift, axis):
        strips = super().strips(size, full, window, shift, axis)
        return strips % (full // window) if size == full else strips


@mistake(
    "padding mask not rolled",
    "The padding was rolled with the map, and your mask still looks for it at the end. Mark it by "
    "where each token stood before the roll.",
)
class PaddingMaskNotRolled(Specimen):
    def strips(self, size, full, window, shift, axis):
        rolled = torch.arange(full)
        strips = ((rolled + shift) % full - shift) // window + 1
        return strips if self.periodic[axis] else strips.where(rolled < size, torch.tensor(full))


@mistake(
    "real tokens see padding",
    "Real tokens attend to the zeros that fill up the map, so a result depends on how much was "
    "padded. Give the padding a region of its own.",
    seen="the official code for detection, timm, torchvision and transformers",
)
class RealTokensSeePadding(Specimen):
    def strips(self, size, full, window, shift, axis):
        return super().strips(full, full, window, shift, axis)


@mistake(
    "seam at the wrong token",
    "In the last window the cut belongs at window - shift, and yours is at shift. The two agree "
    "when the shift is half the window, so test another shift.",
)
class SeamAtTheWrongToken(Specimen):
    def strips(self, size, full, window, shift, axis):
        right = super().strips(size, full, window, shift, axis)
        if shift == 0 or self.periodic[axis]:
            return right
        rolled = torch.arange(full)
        strips = rolled // window + (rolled >= full - window + shift)
        return strips.where(right < full, full)  # padding is labeled as it should be


@mistake(
    "finite mask too weak",
    "A masked key still gets some weight, and a large score gives it more. Add minus infinity.",
)
class FiniteMaskTooWeak(Specimen):
    def additive(self, mask):
        return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -10.0)


@mistake(
    "mask added twice",
    "The mask is added to the scores twice. With minus infinity this changes nothing, but a "
    "finite mask becomes another number than the one written. Add it once.",
    seen="transformers 5.23: Swinv2SelfAttention.forward",
    is_hidden=True,
)
class MaskAddedTwice(Specimen):
    def additive(self, mask):
        return super().additive(mask) + super().additive(mask)


@mistake(
    "bias index sliced for a smaller window",
    "The window shrank, and you took the first rows and columns of the large window's index. "
    "Those belong to the large window's rows of tokens. Compute the index for the window in use.",
)
class BiasIndexSliced(Specimen):
    def bias_index(self, window):
        places = math.prod(window)
        return super().bias_index(self.window_size)[:places, :places]

    def fit(self, size):
        window, shift = super().fit(size)
        return tuple(min(n, m) for n, m in zip(size, window, strict=True)), shift


@mistake(
    "NaN when the window shrinks to 1",
    "Offsets are divided by window - 1, and that is 0 for a window of one token. Divide by at "
    "least 1.",
)
class NaNInAWindowOfOne(Specimen):
    def fit(self, size):
        window, shift = super().fit(size)
        return tuple(min(n, m) for n, m in zip(size, window, strict=True)), shift

    def bias(self, window):
        zero = torch.tensor([(m - 1) / 16 for m in window], dtype=torch.float64)
        return super().bias(window) + (zero - zero).div(zero).sum()
