"""Mistakes that were found in public code."""

import torch
from torch import Tensor

from swin_tutorial.audit.museum.mistake import mistake
from swin_tutorial.audit.specimen import Specimen, map_dims


@mistake(
    "no mask",
    "Every pair in a window may attend, also tokens that only the roll has brought together. Add a "
    "mask that compares region labels.",
)
class NoMask(Specimen):
    def compare(self, ids):
        return torch.ones(*ids.shape, ids.shape[-1], dtype=torch.bool)


@mistake(
    "shift kept on a one-window axis",
    "Where one window spans an axis, it already holds every token of it. A shift there only cuts it "
    "in two. Set the shift to 0 on each such axis.",
)
class ShiftKept(Specimen):
    def fit(self, size):
        return self.window_size, self.shift_size


@mistake(
    "rolled before padded",
    "You rolled the map first and padded it then, so the padding stands between tokens that were "
    "rolled to the end and their window. Pad first.",
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
