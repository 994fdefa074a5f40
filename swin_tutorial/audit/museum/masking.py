"""Mistakes of learners in the mask: label the tokens, compare the labels."""

import math

import torch

from swin_tutorial.audit.museum.mistake import AS_NO_MASK, mistake
from swin_tutorial.audit.specimen import Specimen, cut


def column_first(size):
    """Return the places of a map, numbered row by row, in the order of its columns."""
    places = torch.arange(math.prod(size)).view(size)
    return places.permute(*reversed(range(len(size)))).flatten()


def slice_numbers(full, window, shift, is_ring):
    """Number a rolled axis as the official slices do: 0, then 1 and 2 in the last window."""
    rolled = torch.arange(full)
    if shift == 0 or is_ring:
        return torch.zeros_like(rolled)
    return (rolled >= full - window).long() + (rolled >= full - shift)


# --- labels ---


@mistake(
    "only the first axis masked",
    "Your labels differ along the height alone, so the left and right edges of the map attend to "
    "each other. Combine the strips of every axis.",
)
class FirstAxisMasked(Specimen):
    def strips(self, size, full, window, shift, axis):
        strips = super().strips(size, full, window, shift, axis)
        return strips if axis == 0 else torch.zeros_like(strips)


@mistake(
    "only the last axis masked",
    "Your labels differ along the width alone, so the top and bottom of the map attend to each "
    "other. Combine the strips of every axis.",
    same_as=("slices on the wrong axes",),
)
class LastAxisMasked(Specimen):
    def strips(self, size, full, window, shift, axis):
        strips = super().strips(size, full, window, shift, axis)
        return strips if axis == len(self.window_size) - 1 else torch.zeros_like(strips)


@mistake(
    "slices on the wrong axes",
    "The canvas is (1, h, w, 1), and you sliced its last two axes as if channels came second: the "
    "rows' slices cut the columns. Slice axes 1 and 2.",
    same_as=("only the last axis masked",),
)
class SlicesOnWrongAxes(Specimen):
    def labels(self, size, full, window, shift):
        canvas = torch.zeros(1, *full, 1, dtype=torch.int64)
        axes = zip(window, shift, strict=True)
        first, second, *_ = [
            [slice(0, -m), slice(-m, -s or None), slice(-s, None)] for m, s in [*axes, (1, 0)]
        ]
        for count, (rows, columns) in enumerate((r, c) for r in first for c in second):
            canvas[..., rows, columns] = count
        return canvas[0, ..., 0]


@mistake(
    "labels of the axes added",
    "You added the row's label and the column's, and different regions got the same sum. Number "
    "the pairs: row label times the number of column labels, plus column label.",
)
class LabelsAdded(Specimen):
    def labels(self, size, full, window, shift):
        ids = torch.zeros((), dtype=torch.int64)
        for values in zip(full, window, shift, self.periodic, strict=True):
            ids = ids[..., None] + slice_numbers(*values)
        return ids


@mistake(
    "labels not rolled",
    "You labeled the windows of the map before the roll, and left the labels there. Roll them "
    "with the map, or label the rolled map.",
)
class LabelsNotRolled(Specimen):
    def strips(self, size, full, window, shift, axis):
        return super().strips(size, full, window, shift, axis).roll(shift)


@mistake(
    "labels rolled the wrong way",
    "You rolled the map by -shift and its labels by +shift. Roll both the same way.",
)
class LabelsRolledTheWrongWay(Specimen):
    def strips(self, size, full, window, shift, axis):
        return super().strips(size, full, window, shift, axis).roll(2 * shift)


@mistake(
    "labels of the plain windows",
    "Your labels number the windows before the shift, so each rolled window is cut where a plain "
    "window ended. Number the shifted windows.",
    same_as=("last window's mask for all",),
)
class LabelsOfPlainWindows(Specimen):
    def strips(self, size, full, window, shift, axis):
        return (torch.arange(full) + shift) % full // window


@mistake(
    "strips cut at window - shift",
    "The first shifted window holds `shift` tokens, so the cuts are at shift, shift + window, and "
    "so on. Yours start at window - shift.",
)
class StripsCutAtTheRest(Specimen):
    def strips(self, size, full, window, shift, axis):
        if shift == 0 or self.periodic[axis]:
            return super().strips(size, full, window, shift, axis)
        position = (torch.arange(full) + shift) % full
        return (position - (window - shift)) // window + 1


@mistake(
    "seam one token too early",
    "The cut in the last window is one token too early. It belongs at size - shift.",
)
class SeamTooEarly(Specimen):
    by = 1

    def strips(self, size, full, window, shift, axis):
        if shift == 0 or self.periodic[axis]:
            return super().strips(size, full, window, shift, axis)
        rolled = torch.arange(full)
        return rolled // window + (rolled >= full - shift - self.by)


@mistake(
    "seam one token too late",
    "The cut in the last window is one token too late. It belongs at size - shift.",
)
class SeamTooLate(SeamTooEarly):
    by = -1

    def strips(self, size, full, window, shift, axis):
        return super().strips(size, full, window, shift, axis)


@mistake(
    "shifts of the axes swapped in the mask",
    "The mask uses the width's shift for the height, and the height's for the width. Use each "
    "axis's own.",
)
class MaskShiftsSwapped(Specimen):
    def labels(self, size, full, window, shift):
        return super().labels(size, full, window, shift[::-1])


@mistake(
    "mask keeps the shift that the roll dropped",
    "Where one window spans an axis the map is not rolled, but the mask still cuts it there. Use "
    "one shift for both.",
)
class MaskKeepsShift(Specimen):
    def labels(self, size, full, window, shift):
        return super().labels(size, full, window, self.shift_size)


@mistake(
    "mask cached by the number of windows",
    "The mask was stored under the number of windows, and maps of other sides have as many: 2 by "
    "6 is 3 by 4. Store it under the size of the map.",
    remembers=True,
)
class CachedByNumberOfWindows(Specimen):
    def mask(self, size, full, window, shift):
        self.cache = getattr(self, "cache", {})
        mask = super().mask(size, full, window, shift)
        return self.cache.setdefault(len(mask), mask)


@mistake(
    "mask cached from the first call",
    "The mask of the first map is used for all later maps. Make it for the size of each map.",
    remembers=True,
)
class CachedFromFirstCall(Specimen):
    cached = None

    def mask(self, size, full, window, shift):
        if self.cached is None:
            self.cached = super().mask(size, full, window, shift)
        return self.cached


# --- order of windows and tokens ---


@mistake(
    "column-first tokens in the mask",
    "The mask counts the tokens of a window column by column, and the map row by row. Use one "
    "order for both: cut the labels as you cut the map.",
)
class ColumnFirstTokens(Specimen):
    def mask(self, size, full, window, shift):
        mask = super().mask(size, full, window, shift)
        order = column_first(window)
        return mask[:, order][:, :, order]


@mistake(
    "column-first windows in the mask",
    "The mask counts windows column by column, and the map row by row. Use one order for both: "
    "cut the labels as you cut the map.",
)
class ColumnFirstWindows(Specimen):
    def mask(self, size, full, window, shift):
        counts = tuple(n // m for n, m in zip(full, window, strict=True))
        return super().mask(size, full, window, shift)[column_first(counts)]


@mistake(
    "labels read as w by h",
    "The canvas of labels has height and width swapped. Give it the shape of the map.",
)
class LabelSidesSwapped(Specimen):
    def mask(self, size, full, window, shift):
        ids = self.labels(size[::-1], full[::-1], window, shift)
        return self.compare(cut(ids[None, ..., None], window)[0, :, :, 0])


@mistake(
    "first window's mask for all",
    "Every window got the mask of the first, where nothing is forbidden. Keep the axis of the "
    "windows, and add one mask to each.",
    same_as=AS_NO_MASK,
)
class FirstMaskForAll(Specimen):
    def mask(self, size, full, window, shift):
        mask = super().mask(size, full, window, shift)
        return mask[:1].expand_as(mask)


@mistake(
    "last window's mask for all",
    "Every window got the mask of the last one, the corner. Keep the axis of the windows, and add "
    "one mask to each.",
    same_as=("labels of the plain windows",),
)
class LastMaskForAll(Specimen):
    def mask(self, size, full, window, shift):
        mask = super().mask(size, full, window, shift)
        return mask[-1:].expand_as(mask)


@mistake(
    "only the last window masked",
    "Only the corner window has a mask. The other windows of the last row and the last column mix "
    "regions too.",
)
class OnlyLastWindowMasked(Specimen):
    def mask(self, size, full, window, shift):
        mask = super().mask(size, full, window, shift)
        mask[:-1] = True
        return mask


# --- comparing ---


@mistake(
    "mask inverted",
    "You allow what must be forbidden and forbid what is allowed. In a boolean mask True means: "
    "may attend.",
)
class MaskInverted(Specimen):
    def compare(self, ids):
        return ids[:, :, None] != ids[:, None, :]


@mistake(
    "labels minus themselves",
    "The labels had a leading axis of 1, so unsqueeze(1) - unsqueeze(2) took each label from "
    "itself, and all differences are 0. Compare token with token: labels of shape (windows, "
    "tokens).",
    seen="a create_attn_mask(window_size, shift_size) that circulates in question-and-answer pages",
    same_as=AS_NO_MASK,
)
class LabelsMinusThemselves(Specimen):
    def compare(self, ids):
        labels = ids[None]
        difference = (labels.unsqueeze(1) - labels.unsqueeze(2))[0]
        may_attend = (difference.squeeze(1) == 0).flatten(0, -2)[0]
        return may_attend.expand(*ids.shape, ids.shape[-1])


@mistake(
    "masked in one direction only",
    "You masked where the difference of labels is positive, so a query of a higher region still "
    "sees keys of a lower one. Any difference but 0 forbids.",
)
class OneDirection(Specimen):
    def compare(self, ids):
        return ids[:, :, None] <= ids[:, None, :]


@mistake(
    "neighboring labels let through",
    "Labels that differ by 1 count as equal in your mask. Any difference but 0 forbids.",
    same_as=("only the first axis masked",),  # labels of neighboring columns differ by 1
)
class NeighboringLabels(Specimen):
    def labels(self, size, full, window, shift):
        ids = torch.zeros((), dtype=torch.int64)
        for values in zip(full, window, shift, self.periodic, strict=True):
            ids = 3 * ids[..., None] + slice_numbers(*values)
        return ids

    def compare(self, ids):
        return (ids[:, :, None] - ids[:, None, :]).abs() <= 1


@mistake(
    "compared with the first token only",
    "The mask compares each key with the first token of the window, whoever asks. Compare every "
    "query with every key.",
)
class ComparedWithFirstToken(Specimen):
    def compare(self, ids):
        return (ids[:, None, :] == ids[:, :1, None]).expand(*ids.shape, ids.shape[-1])


@mistake(
    "look-ahead mask",
    "Each token sees only those that come before it in its window. That is for text: in Swin the "
    "mask compares regions.",
)
class LookAhead(Specimen):
    def compare(self, ids):
        return torch.ones(*ids.shape, ids.shape[-1], dtype=torch.bool).tril()


@mistake(
    "look-ahead mask besides",
    "The regions are right, but on top of them each token sees only those that come before it. "
    "Leave the look-ahead mask out.",
)
class LookAheadBesides(Specimen):
    def compare(self, ids):
        return super().compare(ids).tril()


@mistake(
    "token may not see itself",
    "Your mask leaves out the diagonal, so no token sees itself, and a token that is alone sees "
    "nothing. Equal labels include its own.",
)
class NotItself(Specimen):
    def compare(self, ids):
        return super().compare(ids) & ~torch.eye(ids.shape[-1], dtype=torch.bool)
