"""Mistakes of learners in the attention itself: scores, bias, mask, softmax, and the batch."""

import math

import torch

from swin_tutorial.audit.museum.mistake import AS_NO_MASK, mistake
from swin_tutorial.audit.specimen import Specimen, projections


@mistake(
    "scores multiplied by the mask",
    "A score times 0 is 0, and softmax gives a score of 0 a weight like any other. Add minus "
    "infinity where the mask forbids.",
    same_as=AS_NO_MASK,
)
class ScoresMultiplied(Specimen):
    def weights(self, q, k, mask, window):
        return ((self.scores(q, k) + self.bias(window)) * mask).softmax(-1)


@mistake(
    "weights multiplied by the mask",
    "You masked after softmax, so the weights of a query no longer add up to 1, and their sum "
    "still depends on masked keys. Mask the scores, before softmax.",
)
class WeightsMultiplied(Specimen):
    def weights(self, q, k, mask, window):
        return (self.scores(q, k) + self.bias(window)).softmax(-1) * mask


@mistake(
    "mask of 0 and 1 added",
    "You added the mask itself: 1 for allowed and 0 for forbidden keys. That changes weights a "
    "little and forbids nothing. Add 0 and minus infinity.",
    same_as=AS_NO_MASK,
)
class BooleanMaskAdded(Specimen):
    def additive(self, mask):
        return mask.double()


@mistake(
    "mask added with the wrong sign",
    "You added +100 where the mask forbids, so forbidden keys win. Add minus infinity.",
)
class WrongSign(Specimen):
    def additive(self, mask):
        return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, 100.0)


@mistake(
    "queries masked in place of keys",
    "A query that may not see some key got minus infinity for all keys, and its softmax is NaN. "
    "Mask pairs of query and key.",
)
class WholeRowMasked(Specimen):
    def additive(self, mask):
        return super().additive(mask.all(-1, keepdim=True).expand_as(mask))


@mistake(
    "softmax over queries",
    "Softmax ran over the queries, so the weights that a query gives do not add up to 1. Take it "
    "over the last axis, the keys.",
)
class SoftmaxOverQueries(Specimen):
    def weights(self, q, k, mask, window):
        return (self.scores(q, k) + self.bias(window) + self.additive(mask)).softmax(-2)


@mistake(
    "softmax forgotten",
    "The scores were used as weights without softmax. Take softmax over the keys after the mask "
    "is added.",
    same_as=("a whole window of padding too many",),
)
class SoftmaxForgotten(Specimen):
    def weights(self, q, k, mask, window):
        return (self.scores(q, k) + self.bias(window)) * mask


@mistake(
    "one head only",
    "The mask was added to the scores of the first head, and the others attend to everything. "
    "Give it an axis for the heads, so that it reaches all of them.",
    same_as=AS_NO_MASK,
)
class OneHeadOnly(Specimen):
    def attend(self, windows, mask, window):
        q, k, v = (windows.double() @ a + b for a, b in projections(windows.shape[-1]))
        half = windows.shape[-1] // 2
        heads = [(slice(0, half), mask), (slice(half, None), torch.ones_like(mask))]
        return torch.cat(
            [self.weights(q[..., h], k[..., h], m, window) @ v[..., h] for h, m in heads], -1
        )


@mistake(
    "repeat_interleave for repeat",
    "Windows come image by image, and you repeated each window's mask for the batch before the "
    "next window's. Repeat the whole list of masks once for each image.",
    same_as=("images of a batch mixed",),
)
class RepeatInterleave(Specimen):
    def weights(self, q, k, mask, window):
        masks = mask.repeat_interleave(len(q), 0).view(len(q), *mask.shape)
        return (self.scores(q, k) + self.bias(window) + self.additive(masks)).softmax(-1)


@mistake(
    "images of a batch mixed",
    "Windows of all images stand in one axis, and you took them apart with the window before the "
    "image, so images get each other's windows. The image comes first.",
    same_as=("repeat_interleave for repeat",),
)
class ImagesMixed(Specimen):
    def reverse(self, windows, window, full):
        batch, count, *rest = windows.shape
        mixed = windows.reshape(count, batch, *rest).transpose(0, 1)
        return super().reverse(mixed, window, full)


@mistake(
    "attended across windows",
    "Tokens attended to those at the same place in other windows: the axes of windows and tokens "
    "were swapped. Attend within each window.",
)
class AcrossWindows(Specimen):
    def attend(self, windows, mask, window):
        q, k, v = (windows.double() @ a + b for a, b in projections(windows.shape[-1]))
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return (self.scores(q, k).softmax(-1) @ v).transpose(1, 2)


@mistake(
    "no windows",
    "Every token attends to the whole map. Cut it into windows first.",
)
class NoWindows(Specimen):
    def fit(self, size):
        return tuple(size), (0,) * len(size)


@mistake(
    "row and column offsets share entries",
    "You numbered offsets by rows * window + columns, and three columns back is then one row down "
    "and one column on. There are 2 * window - 1 offsets on each axis: multiply by that.",
    is_hidden=True,
)
class OffsetsShareEntries(Specimen):
    def bias_index(self, window):
        places = torch.arange(math.prod(window))
        return places[:, None] - places[None]


@mistake(
    "position bias of absolute places",
    "The bias depends on where the key stands in its window, not on how far it is from the query. "
    "Look it up by query minus key.",
)
class AbsoluteBias(Specimen):
    def bias_index(self, window):
        places = torch.arange(math.prod(window))
        return places[:, None] * len(places) + places[None]


@mistake(
    "bias transposed",
    "The bias of query minus key was looked up as key minus query. Weights that were trained with "
    "the other order then take below for above, and right for left.",
    is_hidden=True,
)
class BiasTransposed(Specimen):
    def bias_index(self, window):
        return super().bias_index(window).T


@mistake(
    "scale forgotten",
    "The scores were not divided by the square root of the head's channels. Large scores make "
    "softmax pick one key and stop learning.",
    is_hidden=True,
)
class ScaleForgotten(Specimen):
    def scores(self, q, k):
        return q @ k.transpose(-1, -2)


@mistake(
    "scale squared",
    "The scores were divided by the head's channels. Divide by their square root.",
    is_hidden=True,
)
class ScaleSquared(Specimen):
    def scores(self, q, k):
        return super().scores(q, k) / q.shape[-1] ** 0.5
