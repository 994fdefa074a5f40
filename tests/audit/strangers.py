"""Wrong blocks as other people write them: none is made of the museum's parts."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

DIM, M = 8, 4


class Official(nn.Module):
    """In the style of the official code, and right: nine slices, -100, a table of biases."""

    def __init__(self, shift=(1, 1), heads=2):
        super().__init__()
        torch.manual_seed(3)
        self.shift, self.heads = list(shift), heads
        self.norm = nn.LayerNorm(DIM)
        self.qkv, self.proj = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.table = nn.Parameter(torch.randn((2 * M - 1) ** 2, heads) / 2)
        grid = torch.stack(torch.meshgrid(torch.arange(M), torch.arange(M), indexing="ij"))
        offsets = grid.flatten(1)[:, :, None] - grid.flatten(1)[:, None] + M - 1
        self.register_buffer("index", offsets[0] * (2 * M - 1) + offsets[1])

    def forward(self, x):
        shortcut = x
        height, width = x.shape[1:3]
        x = self.pad(self.norm(x))
        padded = x.shape[1:3]
        shift = self.shift_for(*padded)
        x = self.roll(x, shift)
        windows = self.partition(x).flatten(1, 2)
        windows = self.attention(windows, self.get_mask(*padded, shift))
        x = self.window_reverse(windows, *padded)
        x = self.unroll(x, shift)
        return shortcut + x[:, :height, :width]

    def pad(self, x):
        return F.pad(x, (0, 0, 0, -x.shape[2] % M, 0, -x.shape[1] % M))

    def shift_for(self, height, width):
        return 0 if height <= M else self.shift[0], 0 if width <= M else self.shift[1]

    def roll(self, x, shift):
        return torch.roll(x, (-shift[0], -shift[1]), dims=(1, 2))

    def unroll(self, x, shift):
        return torch.roll(x, shift, dims=(1, 2))

    def partition(self, x):
        b, h, w, c = x.shape
        x = x.reshape(b, h // M, M, w // M, M, c)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, M, M, c)

    def window_reverse(self, windows, h, w):
        b = windows.shape[0] // (h * w // M // M)
        x = windows.view(b, h // M, w // M, M, M, -1)
        return x.permute(0, 1, 3, 2, 4, 5).reshape(b, h, w, -1)

    def slices(self, s):
        return slice(0, -M), slice(-M, -s if s else None), slice(-s if s else None, None)

    def image(self, h, w, shift):
        image, count = torch.zeros(1, h, w, 1), 0
        for rows in self.slices(shift[0]) if shift[0] else [slice(None)]:
            for columns in self.slices(shift[1]) if shift[1] else [slice(None)]:
                image[:, rows, columns] = count
                count += 1
        return image

    def get_mask(self, h, w, shift):
        labels = self.partition(self.image(h, w, shift)).reshape(-1, M * M)
        difference = labels.unsqueeze(1) - labels.unsqueeze(2)
        return self.fill(difference)

    def fill(self, difference):
        return torch.zeros_like(difference).masked_fill(difference != 0, -100.0)

    def attention(self, x, mask):
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        scores = q @ k.transpose(-1, -2) * (c // self.heads) ** -0.5
        scores = scores + self.table[self.index].permute(2, 0, 1)
        weights = self.weigh(scores, mask)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))

    def weigh(self, scores, mask):
        bn, heads, n, _ = scores.shape
        scores = scores.reshape(-1, len(mask), heads, n, n) + mask[None, :, None].to(scores.dtype)
        return scores.reshape(bn, heads, n, n).softmax(-1)


class SliceOffByOne(Official):
    def slices(self, s):
        return slice(0, -M), slice(-M, -s - 1), slice(-s - 1, None)


class SliceOffByOneTheOtherWay(Official):
    def slices(self, s):
        return slice(0, -M), slice(-M, -s + 1 or None), slice(-s + 1, None)


class SlicesSwapShiftAndRest(Official):
    def slices(self, s):
        return slice(0, -M), slice(-M, -(M - s)), slice(-(M - s), None)


class CounterInOuterLoop(Official):
    def image(self, h, w, shift):
        image = torch.zeros(1, h, w, 1)
        for count, rows in enumerate(self.slices(shift[0]) if shift[0] else [slice(None)]):
            image[:, rows] = count
        return image


class CounterStartsAgain(Official):
    def image(self, h, w, shift):
        image = torch.zeros(1, h, w, 1)
        for rows in self.slices(shift[0]):
            for count, columns in enumerate(self.slices(shift[1]) if shift[1] else [slice(None)]):
                image[:, rows, columns] = count
        return image


class MinusTen(Official):
    def fill(self, difference):
        return torch.where(difference != 0, -10.0, 0.0)


class FilledTheWrongWayRound(Official):
    def fill(self, difference):
        return torch.zeros_like(difference).masked_fill(difference == 0, -100.0)


class OnlyPositiveDifferences(Official):
    def fill(self, difference):
        return torch.zeros_like(difference).masked_fill(difference > 0, float("-inf"))


class ViewMixesBatchAndWindows(Official):
    def weigh(self, scores, mask):
        bn, heads, n, _ = scores.shape
        scores = scores.reshape(len(mask), -1, heads, n, n) + mask[:, None, None].to(scores.dtype)
        return scores.reshape(bn, heads, n, n).softmax(-1)


class CacheByCount(Official):
    def get_mask(self, h, w, shift):
        self.masks = getattr(self, "masks", {})
        count = (h // M) * (w // M)
        if count not in self.masks:
            self.masks[count] = super().get_mask(h, w, shift)
        return self.masks[count]


class ShiftListChanged(Official):
    def shift_for(self, height, width):
        if height <= M:
            self.shift[0] = 0
        if width <= M:
            self.shift[1] = 0
        return tuple(self.shift)


class ReverseTakesWidthFirst(Official):
    def window_reverse(self, windows, h, w):
        return super().window_reverse(windows, w, h).reshape(-1, h, w, DIM)


class RollsDown(Official):
    def roll(self, x, shift):
        return torch.roll(x, shift, dims=(1, 2))

    def unroll(self, x, shift):
        return torch.roll(x, (-shift[0], -shift[1]), dims=(1, 2))


class NeverRollsBack(Official):
    def unroll(self, x, shift):
        return x


class RollsTwice(Official):
    def unroll(self, x, shift):
        return torch.roll(x, (-shift[0], -shift[1]), dims=(1, 2))


class DimsSwapped(Official):
    def roll(self, x, shift):
        return torch.roll(x, (-shift[0], -shift[1]), dims=(2, 1))

    def unroll(self, x, shift):
        return torch.roll(x, shift, dims=(2, 1))


class ShiftsAnyway(Official):
    def shift_for(self, height, width):
        return tuple(self.shift)


class DropsBothShifts(Official):
    def shift_for(self, height, width):
        return (0, 0) if min(height, width) <= M else tuple(self.shift)


class DropsShiftsOnlyTogether(Official):
    def shift_for(self, height, width):
        return (0, 0) if max(height, width) <= M else tuple(self.shift)


class LooksAtHeightOnly(Official):
    def shift_for(self, height, width):
        return (0, 0) if height <= M else tuple(self.shift)


class PadsLast(Official):
    def forward(self, x):
        height, width = x.shape[1:3]
        shift = self.shift_for(height, width)
        y = F.pad(self.roll(self.norm(x), shift), (0, 0, 0, -width % M, 0, -height % M))
        windows = self.partition(y).flatten(1, 2)
        y = self.window_reverse(
            self.attention(windows, self.get_mask(*y.shape[1:3], shift)), *y.shape[1:3]
        )
        return x + self.unroll(y[:, :height, :width], shift)


class PadsHeightByWidth(Official):
    def pad(self, x):
        return F.pad(x, (0, 0, 0, -x.shape[1] % M, 0, -x.shape[2] % M))


class PadsTopLeft(Official):
    def forward(self, x):
        top, left = -x.shape[1] % M, -x.shape[2] % M
        return super().forward(F.pad(x, (0, 0, left, 0, top, 0)))[:, top:, left:]


class Reflects(Official):
    def pad(self, x):
        bottom, right = -x.shape[1] % M, -x.shape[2] % M
        return F.pad(x.permute(0, 3, 1, 2), (0, right, 0, bottom), "replicate").permute(0, 2, 3, 1)


class MaskOfHeads(Official):
    def weigh(self, scores, mask):
        of_heads = mask[torch.arange(self.heads) % len(mask)]
        return (scores + of_heads.to(scores.dtype)).softmax(-1)


class ShortcutTooLate(Official):
    def forward(self, x):
        shift = self.shift_for(x.shape[1] + -x.shape[1] % M, x.shape[2] + -x.shape[2] % M)
        return super().forward(x) - x + self.roll(x, shift)


class NormOverTheMap(Official):
    def __init__(self):
        super().__init__()
        self.norm = nn.Identity()

    def forward(self, x):
        return super().forward((x - x.mean((1, 2), keepdim=True)) / x.std((1, 2), keepdim=True))


class SquareFromTokens(Official):
    def forward(self, x):
        tokens = x.flatten(1, 2)
        side = int(tokens.shape[1] ** 0.5)
        return super().forward(tokens.reshape(len(x), side, side, DIM)).reshape(x.shape)


# --- einops and functions ---

torch.manual_seed(5)
_QKV = torch.randn(3, DIM, DIM, dtype=torch.float64) / 2
_PLACES = torch.cartesian_prod(torch.arange(M), torch.arange(M))
_OFFSETS = _PLACES[:, None] - _PLACES
_BIAS = torch.randn(2 * M, 2 * M, dtype=torch.float64)[_OFFSETS[..., 0], _OFFSETS[..., 1]]


def einops_block(
    cut="b (h m) (w n) c -> b (h w) (m n) c",
    join="b (h w) (m n) c -> b (h m) (w n) c",
    cut_labels="(h m) (w n) -> (h w) (m n)",
    compare=lambda ids: ids[:, :, None] == ids[:, None, :],
    weigh=lambda scores, mask: scores.masked_fill(~mask, float("-inf")).softmax(-1),
    shift=1,
    roll_labels=True,
):
    """Right unless an argument says otherwise."""

    def block(x):
        height, width = x.shape[1:3]
        y = F.pad(x, (0, 0, 0, -width % M, 0, -height % M))
        sides = y.shape[1:3]
        shifts = [shift if side > M else 0 for side in sides]
        y = torch.roll(y, [-s for s in shifts], (1, 2))
        counts = {"h": sides[0] // M, "w": sides[1] // M, "m": M, "n": M}
        given = {name: counts[name] for name in counts if name in "mn"}
        windows = rearrange(y, cut, **given)
        row, column = (
            (torch.arange(side) - s).div(M, rounding_mode="floor") + 1
            for side, s in zip(sides, shifts, strict=True)
        )
        labels = row[:, None] * (len(column) + 1) + column
        if roll_labels:
            labels = torch.roll(labels, [-s for s in shifts], (0, 1))
        mask = compare(rearrange(labels, cut_labels, **given))
        q, k, v = (windows @ matrix.to(x.dtype) for matrix in _QKV)
        out = weigh(q @ k.mT / DIM**0.5 + _BIAS.to(x.dtype), mask) @ v
        out = rearrange(out, join, **counts)
        return torch.roll(out, shifts, (1, 2))[:, :height, :width]

    return block


def unfold_block(x):
    """Windows by unfold and fold on the rolled map, and no mask."""
    height, width = x.shape[1:3]
    y = F.pad(x, (0, 0, 0, -width % M, 0, -height % M)).permute(0, 3, 1, 2)
    sides = y.shape[2:]
    shifts = [1 if side > M else 0 for side in sides]
    y = torch.roll(y, [-s for s in shifts], (2, 3))
    tokens = F.unfold(y, M, stride=M).view(len(x), DIM, M * M, -1).permute(0, 3, 2, 1)
    q, k, v = (tokens @ matrix.to(x.dtype) for matrix in _QKV)
    out = ((q @ k.mT).softmax(-1) @ v).permute(0, 3, 2, 1).flatten(1, 2)
    out = F.fold(out, tuple(sides), M, stride=M)
    return torch.roll(out, shifts, (2, 3)).permute(0, 2, 3, 1)[:, :height, :width]


_NO_MASK = "no mask"
RIGHT = [Official, einops_block]
# What a wrong block should be called; None where the museum has no such mistake.
STRANGERS = [
    (SliceOffByOne, "seam one token too early"),
    (SliceOffByOneTheOtherWay, _NO_MASK),  # with a shift of 1 no cut is left
    (SlicesSwapShiftAndRest, "seam at the wrong token"),
    (CounterInOuterLoop, "only the first axis masked"),
    (CounterStartsAgain, "only the last axis masked"),
    (MinusTen, "finite mask too weak"),
    (FilledTheWrongWayRound, "mask added with the wrong sign"),
    (OnlyPositiveDifferences, "masked in one direction only"),
    (ViewMixesBatchAndWindows, "repeat_interleave for repeat"),
    (CacheByCount, "mask cached by the number of windows"),
    (ShiftListChanged, "shift changed in place"),
    (ReverseTakesWidthFirst, "height and width swapped in window_reverse"),
    (RollsDown, "rolled the wrong way"),
    (NeverRollsBack, "shift not undone"),
    (RollsTwice, "shift undone the wrong way"),
    (lambda: DimsSwapped((1, 2)), "shifts of the axes swapped in the roll"),
    (ShiftsAnyway, "shift kept on a one-window axis"),
    (DropsBothShifts, "shift dropped on all axes"),
    (DropsShiftsOnlyTogether, "shift kept on a one-window axis"),
    (LooksAtHeightOnly, "one-window test on the first axis only"),
    (PadsLast, "rolled before padded"),
    (PadsHeightByWidth, "padding of the axes swapped"),
    (PadsTopLeft, "padded at the start"),
    (Reflects, "padded with copies of tokens"),
    (MaskOfHeads, _NO_MASK),
    (ShortcutTooLate, "shortcut taken from the rolled map"),
    (NormOverTheMap, "no windows"),
    (SquareFromTokens, "H = W = √L guessed"),
    (lambda: Official((2, 2)), "custom shift replaced"),
    (lambda: Official((0, 0)), "not shifted"),
    (
        lambda: einops_block(
            "b (m h) (n w) c -> b (h w) (m n) c", "b (h w) (m n) c -> b (m h) (n w) c"
        ),
        "every other token in place of neighbors",
    ),
    (
        lambda: einops_block(join="b (w h) (m n) c -> b (h m) (w n) c"),
        "windows joined column first",
    ),
    (
        lambda: einops_block(cut_labels="(h m) (w n) -> (w h) (m n)"),
        "column-first windows in the mask",
    ),
    (
        lambda: einops_block(cut_labels="(h m) (w n) -> (h w) (n m)"),
        "column-first tokens in the mask",
    ),
    (lambda: einops_block(join="b (h w) (m n) c -> b (h n) (w m) c"), None),
    (lambda: einops_block(roll_labels=False), "labels not rolled"),
    (lambda: einops_block(compare=lambda ids: ids[:, :, None] != ids[:, None]), "mask inverted"),
    (
        lambda: einops_block(weigh=lambda scores, mask: (scores + mask.to(scores)).softmax(-1)),
        "mask of 0 and 1 added",
    ),
    (
        lambda: einops_block(weigh=lambda scores, mask: (scores * mask).softmax(-1)),
        "scores multiplied by the mask",
    ),
    (
        lambda: einops_block(weigh=lambda scores, mask: scores.softmax(-1) * mask),
        "weights multiplied by the mask",
    ),
    (
        lambda: einops_block(
            weigh=lambda scores, mask: scores.masked_fill(~mask, -1e9).softmax(-2)
        ),
        "softmax over queries",
    ),
    (
        lambda: einops_block(compare=lambda ids: (ids[:, :, None] == ids[:, None]).tril()),
        "look-ahead mask besides",
    ),
    (
        lambda: einops_block(compare=lambda ids: (ids == ids[:, :1])[:, None].expand(-1, 16, -1)),
        "compared with the first token only",
    ),
    (lambda: unfold_block, _NO_MASK),
]
