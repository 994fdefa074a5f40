"""One small shifted-window block, right in every step: a mistake overrides one of them.

The museum (``swin_tutorial.audit.museum``) is made of subclasses.  What is asked of a reader is
asked of a specimen too, so one mistake answers for a whole block and for each exercise.
"""

import math
from itertools import product

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from swin_tutorial.reference import Numbers


class Specimen:
    """Window attention of one head on a channels-last map, with fixed random weights.

    Args:
        window_size, shift_size: one number per axis.
        periodic: per axis, whether its two ends are neighbors.
        padding: "attend" lets real tokens see padding, as public code does; "mask" does not.  One
            value, or one per axis.
    """

    max_tokens_for_bias = 16  # the table has an entry for every offset up to this one

    def __init__(
        self,
        window_size: Numbers,
        shift_size: Numbers,
        periodic: tuple[bool, ...] | None = None,
        padding: str | tuple[str, ...] = "attend",
    ):
        self.window_size = tuple(window_size)
        self.shift_size = tuple(shift_size)
        self.periodic = periodic or (False,) * len(self.window_size)
        self.padding = (padding,) * len(window_size) if isinstance(padding, str) else padding

    def __call__(self, x: Float[Tensor, "b *size c"]) -> Float[Tensor, "b *size c"]:
        size = tuple(x.shape[1:-1])
        # 1. One window that spans an axis needs no shift there.
        window, shift = self.fit(size)
        # 2. Pad to whole windows, before the roll.
        padded = self.pad(x, window)
        full = tuple(padded.shape[1:-1])
        # 3. Roll the first tokens of each axis to its end, and cut.
        windows = self.partition(self.roll(padded, shift), window)
        # 4. Label the tokens, and compare the labels.
        mask = self.mask(size, full, window, shift)
        # 5. Attend under the mask.
        out = self.attend(windows, mask, window)
        # 6. Undo 3 and 2.
        return self.crop(self.roll_back(self.reverse(out, window, full), shift), size)

    # --- the steps ---

    def fit(self, size: Numbers) -> tuple[Numbers, Numbers]:
        """Return the window and the shift in use on each axis."""
        pairs = zip(size, self.window_size, self.shift_size, strict=True)
        return self.window_size, tuple(0 if n <= m else s for n, m, s in pairs)

    def pad(self, x: Shaped[Tensor, "b *size c"], window: Numbers) -> Shaped[Tensor, "b *padded c"]:
        """Append zeros to each axis until it divides into windows."""
        missing = [-n % m for n, m in zip(x.shape[1:-1], window, strict=True)]
        return F.pad(x, [0, 0, *(end for k in reversed(missing) for end in (0, k))])

    def roll(self, x: Shaped[Tensor, "b *size c"], shift: Numbers) -> Shaped[Tensor, "b *size c"]:
        """Move the first tokens of each axis to its end."""
        return torch.roll(x, [-s for s in shift], map_dims(x))

    def partition(
        self, x: Shaped[Tensor, "b *size c"], window: Numbers
    ) -> Shaped[Tensor, "b n t c"]:
        """Cut the map into windows, row by row; so are the tokens in each."""
        return cut(x, window)

    def labels(
        self, size: Numbers, full: Numbers, window: Numbers, shift: Numbers
    ) -> Int[Tensor, "*padded"]:
        """Return the region of each token of the rolled map."""
        ids = torch.zeros((), dtype=torch.int64)
        for axis in range(len(size)):
            strips = self.strips(size[axis], full[axis], window[axis], shift[axis], axis)
            ids = ids[..., None] * (int(strips.max()) + 1) + strips
        return ids

    def strips(self, size: int, full: int, window: int, shift: int, axis: int) -> Int[Tensor, "p"]:
        """Return the true window of each token of one rolled axis."""
        position = (torch.arange(full) + shift) % full
        strips = (position - shift) // window + 1
        if self.periodic[axis]:
            strips = strips % (full // window)
        elif self.padding[axis] == "mask":
            strips[position >= size] = full  # a strip of its own
        return strips

    def compare(self, ids: Int[Tensor, "n t"]) -> Bool[Tensor, "n t t"]:
        """Return whether each query may attend to each key: they have the same label."""
        return ids[:, :, None] == ids[:, None, :]

    def mask(
        self, size: Numbers, full: Numbers, window: Numbers, shift: Numbers
    ) -> Bool[Tensor, "n t t"]:
        """Return the mask of each window."""
        ids = self.labels(size, full, window, shift)
        return self.compare(self.partition(ids[None, ..., None], window)[0, :, :, 0])

    def additive(self, mask: Bool[Tensor, "*n t t"]) -> Float[Tensor, "*n t t"]:
        """Return what is added to the scores: 0 where allowed, minus infinity elsewhere."""
        return torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, -math.inf)

    def bias_index(self, window: Numbers) -> Int[Tensor, "t t"]:
        """Return the entry of the bias table for each query and key: a number of their offset."""
        places = torch.tensor(list(product(*map(range, window))))
        offsets = places[:, None] - places[None, :]
        reach = self.max_tokens_for_bias
        index = torch.zeros(offsets.shape[:2], dtype=torch.int64)
        for axis in range(len(window)):
            index = index * (2 * reach + 1) + offsets[..., axis] + reach
        return index

    def bias(self, window: Numbers) -> Float[Tensor, "t t"]:
        """Return the position bias of each query and key; an entry is a random number."""
        entries = self.bias_index(window).double()
        return torch.sin(12.9898 * entries)

    def scores(
        self, q: Float[Tensor, "b n t d"], k: Float[Tensor, "b n t d"]
    ) -> Float[Tensor, "b n t t"]:
        """Return how well each key fits each query."""
        return q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5

    def weights(
        self,
        q: Float[Tensor, "b n t d"],
        k: Float[Tensor, "b n t d"],
        mask: Bool[Tensor, "n t t"],
        window: Numbers,
    ) -> Float[Tensor, "b n t t"]:
        """Return how much each query attends to each key."""
        return (self.scores(q, k) + self.bias(window) + self.additive(mask)).softmax(-1)

    def attend(
        self, windows: Float[Tensor, "b n t c"], mask: Bool[Tensor, "n t t"], window: Numbers
    ) -> Float[Tensor, "b n t c"]:
        """Attend within each window.  Biases in the projections make padding visible."""
        q, k, v = (
            windows.double() @ matrix + row for matrix, row in projections(windows.shape[-1])
        )
        return self.weights(q, k, mask, window) @ v

    def reverse(
        self, windows: Shaped[Tensor, "b n t c"], window: Numbers, full: Numbers
    ) -> Shaped[Tensor, "b *padded c"]:
        """Put windows back together: undo ``partition``."""
        return join(windows, window, full)

    def roll_back(
        self, x: Shaped[Tensor, "b *size c"], shift: Numbers
    ) -> Shaped[Tensor, "b *size c"]:
        """Undo ``roll``."""
        return torch.roll(x, list(shift), map_dims(x))

    def crop(self, x: Shaped[Tensor, "b *padded c"], size: Numbers) -> Shaped[Tensor, "b *size c"]:
        """Leave the padding out."""
        return x[(slice(None), *(slice(0, n) for n in size))]


# --- plain functions that right and wrong specimens share ---


def map_dims(x: Tensor) -> list[int]:
    """Return the dimensions of a channels-last map that are axes of the map."""
    return list(range(1, x.ndim - 1))


def cut(x: Shaped[Tensor, "b *size c"], window: Numbers) -> Shaped[Tensor, "b n t c"]:
    """Cut a map into windows, row by row, with views and permutations alone."""
    batch, *size, dim = x.shape
    pairs = [k for n, m in zip(size, window, strict=True) for k in (n // m, m)]
    axes = len(window)
    order = [0, *range(1, 2 * axes, 2), *range(2, 2 * axes + 1, 2), 2 * axes + 1]
    return x.reshape(batch, *pairs, dim).permute(order).reshape(batch, -1, math.prod(window), dim)


def join(
    windows: Shaped[Tensor, "b n t c"], window: Numbers, size: Numbers
) -> Shaped[Tensor, "b *size c"]:
    """Undo ``cut``."""
    batch, axes = len(windows), len(window)
    counts = [n // m for n, m in zip(size, window, strict=True)]
    order = [0, *(k for axis in range(axes) for k in (1 + axis, 1 + axes + axis)), 2 * axes + 1]
    x = windows.reshape(batch, *counts, *window, windows.shape[-1])
    return x.permute(order).reshape(batch, *size, windows.shape[-1])


def projections(dim: int) -> list[tuple[Float[Tensor, "c c"], Float[Tensor, "c"]]]:
    """Return the same random matrix and bias of query, key and value, every time."""
    generator = torch.Generator().manual_seed(dim)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return [(normal(dim, dim) / dim**0.5, normal(dim) / 2) for _ in range(3)]
