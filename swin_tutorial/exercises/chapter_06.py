"""Chapter 06, from block to model: the lines of the model that its reader writes."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from einops import rearrange, reduce
from torch import Tensor

from swin_tutorial.audit.dependence import random_map
from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.exercises.branches import (
    Branch,
    Step,
    block_of,
    draw_block,
    norm_after,
    norm_before,
    normed_shortcut,
    post_norm,
    structure_ways,
    two_branches,
)
from swin_tutorial.exercises.bugs import find_the_bug
from swin_tutorial.exercises.chapter_04 import Attention
from swin_tutorial.exercises.exercise import Exercise, WrongWay, from_museum, random_tensor
from swin_tutorial.reference import Numbers

# --- 6.1: attention in windows, from the functions of chapters 01 to 04 ---


class WindowAttention(Attention):
    """Stands for the chapter's module: without a mask, every token of a window sees every other."""

    def __call__(self, windows: Tensor, mask: Tensor | None = None) -> Tensor:
        tokens, count = windows.shape[2], windows.shape[1]
        everyone = torch.ones(count, tokens, tokens, dtype=torch.bool)
        return super().__call__(windows, everyone if mask is None else mask)

    def __repr__(self) -> str:
        return "attn"


class WholeMap(Specimen):
    """A specimen with the exercise's rule: no shift only where one window is the whole map."""

    def fit(self, size: Numbers) -> tuple[Numbers, Numbers]:
        shift = (0,) * len(size) if size == self.window_size else self.shift_size
        return self.window_size, shift


def attend_by(is_whole: Callable[[int, int, int], bool]):
    """Return an attempt that does not shift where the height, width and window say so."""

    def attempt(x: Tensor, attn: Callable, window_size: int, shift: int) -> Tensor:
        _, height, width, _ = x.shape
        size, window = (height, width), (window_size,) * 2
        shifts = (0, 0) if is_whole(height, width, window_size) else (shift, shift)
        block = Specimen(window, shifts)
        cut_up = block.partition(block.roll(x, shifts), window)
        windows = attn(cut_up, block.mask(size, size, window, shifts))
        return block.roll_back(block.reverse(windows, window, size), shifts)

    return attempt


attend_in_windows = attend_by(lambda height, width, window: height == width == window)

ONE_AXIS = (
    "One window is the whole map only if the height *and* the width are `window_size`. On 4 × 8 or "
    "8 × 4 tokens with windows of 4 there are two windows, and you dropped their shift: "
)
WINDOW_WAYS = (
    WrongWay(
        "width not asked",
        ONE_AXIS + "you looked at the height alone.",
        attend_by(lambda height, width, window: height == window),
    ),
    WrongWay(
        "height not asked",
        ONE_AXIS + "you looked at the width alone.",
        attend_by(lambda height, width, window: width == window),
    ),
    WrongWay(
        "or for and",
        ONE_AXIS + "you wrote `or` where `and` belongs.",
        attend_by(lambda height, width, window: window in (height, width)),
    ),
    *from_museum(
        lambda kind, x, attn, window_size, shift: type("Way", (kind, WholeMap), {})(
            (window_size,) * 2, (shift,) * 2
        )(x),
        "no mask",
        "mask inverted",
        "not shifted",
        "shifted on one axis only",
        "rolled the wrong way",
        "roll forgotten",
        "shift not undone",
        "shift undone the wrong way",
        "shift kept on a one-window axis",
        "mask keeps the shift that the roll dropped",
        "labels not rolled",
        "labels of the plain windows",
        "labels read as w by h",
        "height and width swapped in window_reverse",
    ),
)


def window_case(size: tuple[int, int], window_size: int, shift: int) -> tuple:
    x = random_map(size, 3, torch.float64, batch=2)
    return x, WindowAttention(window_size), window_size, shift


def draw_windows(rng: random.Random) -> tuple:
    """Return a map of several windows on both axes, or of one window."""
    window_size = rng.randint(2, 4)
    rows, columns = rng.choice([(1, 1), (2, 3), (3, 2), (2, 2)])
    return window_case(
        (rows * window_size, columns * window_size), window_size, rng.randrange(window_size)
    )


# --- 6.2: a block ---

swin_block = block_of(two_branches, norm_before)


def added_to_normed_copies(x: Tensor, norm1: Branch, attend: Branch, norm2: Branch, mlp: Branch):
    x = norm1(x) + attend(norm1(x))
    return x + mlp(norm2(x))


BLOCK_WAYS = (
    WrongWay(
        "norm after the sum",
        "You normalized the sum, as the first Transformer did. Swin normalizes the copy that a "
        "branch reads and leaves the map itself alone.",
        post_norm,
    ),
    WrongWay(
        "norm after the branch",
        "You normalized what comes out of each branch. That is Swin V2 (chapter 11). V1 "
        "normalizes what goes in.",
        block_of(two_branches, norm_after),
    ),
    WrongWay(
        "the normed map is kept",
        "You replaced the map by its normed copy and added to that. Only the branch reads the "
        "copy; its output is added to the map as it was.",
        normed_shortcut,
    ),
    WrongWay(
        "attention added to the normed map",
        "Your first sum starts from norm1(x). Only attention reads the normed copy: add its output "
        "to x itself.",
        added_to_normed_copies,
    ),
    WrongWay(
        "MLP added to the normed map",
        "Your second sum starts from norm2(x). Only the MLP reads the normed copy: add its output "
        "to x itself.",
        lambda x, norm1, attend, norm2, mlp: (y := norm2(x + attend(norm1(x)))) + mlp(y),
    ),
    *structure_ways(norm_before),
)


def draw_swin_block(rng: random.Random) -> tuple:
    x, norm1, attend, *others = draw_block(rng)
    return x, norm1, replace(attend, name="attend_in_windows"), *others


# --- 6.3: the joining of patch merging ---


def join_four(x: Tensor) -> Tensor:
    return rearrange(x, "b (h row) (w column) c -> b h w (column row c)", row=2, column=2)


def by_pattern(pattern: str):
    """Return an attempt at joining that is one rearrangement."""
    return lambda x: rearrange(x, pattern, row=2, column=2)


JOIN_WAYS = (
    WrongWay(
        "rows before columns",
        "Your upper right and lower left tokens are exchanged. The official order goes down the "
        "first column and then the second: the row changes fastest.",
        by_pattern("b (h row) (w column) c -> b h w (row column c)"),
    ),
    WrongWay(
        "channels mixed",
        "You took the first channel of all four tokens, then the second. The four lie one after "
        "the other, all channels of each: c comes last in the brackets.",
        by_pattern("b (h row) (w column) c -> b h w (c column row)"),
    ),
    WrongWay(
        "pixel unshuffle",
        "This is the order of PyTorch's pixel_unshuffle: channel by channel, and rows before "
        "columns. Here the four tokens lie one after the other, down the first column first.",
        by_pattern("b (h row) (w column) c -> b h w (c row column)"),
    ),
    WrongWay(
        "four quarters",
        "You joined tokens that lie half a map apart. The four are neighbors: `x[:, 0::2]` takes "
        "every second row, and in a pattern's brackets h comes before row.",
        by_pattern("b (row h) (column w) c -> b h w (column row c)"),
    ),
    WrongWay(
        "only reshaped",
        "You read the numbers in the order in which they lie in memory. The four tokens of a "
        "group belong to two rows of the map, so the axes must change places as well.",
        lambda x: x.reshape(len(x), x.shape[1] // 2, x.shape[2] // 2, -1),
    ),
    WrongWay(
        "tokens added",
        "You added the four tokens, as pooling would. Merging keeps the channels of all four, "
        "4C of them.",
        lambda x: reduce(x, "b (h row) (w column) c -> b h w c", "sum", row=2, column=2),
    ),
)


def numbered(*shape: int) -> Tensor:
    """Return a map in which every number occurs once."""
    return torch.arange(math.prod(shape)).view(shape)


def draw_join(rng: random.Random) -> tuple:
    batch, height, width, dim = (rng.randint(1, top) for top in (2, 3, 4, 3))
    return (numbered(batch, 2 * height, 2 * width, dim),)


# --- 6.4: the shifts of a stage ---


def shifts_of_stage(depth: int, window_size: int) -> list[int]:
    return [block % 2 * (window_size // 2) for block in range(depth)]


SHIFT_WAYS = (
    WrongWay(
        "shifted first",
        "Your block 0 shifts. Counted from 0, the even blocks have plain windows.",
        lambda depth, window_size: [(i + 1) % 2 * (window_size // 2) for i in range(depth)],
    ),
    WrongWay(
        "all shifted",
        "All your blocks shift, so they all have the same windows. Plain and shifted windows take "
        "turns.",
        lambda depth, window_size: [window_size // 2] * depth,
    ),
    WrongWay(
        "a shift that grows",
        "Your shift grows from block to block. It is half a window in every second block.",
        lambda depth, window_size: [i * (window_size // 2) for i in range(depth)],
    ),
    WrongWay(
        "half of an odd window rounded up",
        "You rounded up. The shift of a window of 7 is 3: round down.",
        lambda depth, window_size: [i % 2 * -(-window_size // 2) for i in range(depth)],
    ),
    WrongWay(
        "a shift of 1",
        "You shift by one token. Swin shifts by half a window.",
        lambda depth, window_size: [i % 2 for i in range(depth)],
    ),
)


def draw_stage(rng: random.Random) -> tuple:
    return rng.randint(1, 18), rng.randint(4, 12)


# --- 6.5: from pixels to scores ---


class Embed(Step):
    """Stands for patch embedding: it moves the channels to the end."""

    def __call__(self, x: Tensor) -> Tensor:
        return super().__call__(rearrange(x, "b c h w -> b h w c"))


class Norm(Step):
    """Stands for the last norm, and takes a vector for each picture as well as a map."""

    def __call__(self, x: Tensor) -> Tensor:
        return torch.tanh(x @ self.matrix.to(x.dtype))


class Head(Step):
    """Stands for the head.  It is linear, so it may come before the mean as well."""

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.matrix.to(x.dtype) + 1


def last_map(images: Tensor, patch_embed: Callable, stages: Sequence[Callable]) -> Tensor:
    x = patch_embed(images)
    for stage in stages:
        x = stage(x)
    return x


def ending(finish: Callable):
    """Return an attempt whose end is a function of the last map, the norm and the head."""
    return lambda images, patch_embed, stages, norm, head: finish(
        last_map(images, patch_embed, stages), norm, head
    )


classify = ending(lambda x, norm, head: head(norm(x).mean(dim=(1, 2))))

CLASSIFY_WAYS = (
    WrongWay(
        "norm after the mean",
        "You took the mean first and normalized that. Norm every token, then take the mean.",
        ending(lambda x, norm, head: head(norm(x.mean(dim=(1, 2))))),
    ),
    WrongWay(
        "norm forgotten",
        "You left out the last norm. It stands between the last stage and the mean.",
        ending(lambda x, norm, head: head(x.mean(dim=(1, 2)))),
    ),
    WrongWay(
        "a score for each column",
        "You took the mean over the rows alone. A token has two places, its row and its column: "
        "take the mean over axes 1 and 2.",
        ending(lambda x, norm, head: head(norm(x).mean(dim=1))),
    ),
    WrongWay(
        "no mean",
        "You return scores for each token. Take the mean over all tokens, axes 1 and 2.",
        ending(lambda x, norm, head: head(norm(x))),
    ),
    WrongWay(
        "the sum for the mean",
        "You added the tokens. Take their mean.",
        ending(lambda x, norm, head: head(norm(x).sum(dim=(1, 2)))),
    ),
    WrongWay(
        "probabilities returned",
        "You ended in a softmax. The model returns scores. The loss takes the softmax, and the "
        "largest score is the same with and without it.",
        ending(lambda x, norm, head: head(norm(x).mean(dim=(1, 2))).softmax(-1)),
    ),
    WrongWay(
        "last stage left out",
        "You left out the last stage. It has no merging, but it has blocks.",
        lambda images, patch_embed, stages, norm, head: classify(
            images, patch_embed, stages[:-1], norm, head
        ),
    ),
    WrongWay(
        "every stage reads the first map",
        "Each of your stages reads the first map. A stage reads what the one before it returned.",
        lambda images, patch_embed, stages, norm, head: classify(
            images, patch_embed, stages[-1:], norm, head
        ),
    ),
)


def model_case(size: tuple[int, int, int, int], stages: int) -> tuple:
    """Return images and the modules of a model, which all have as many channels as the images."""
    _, dim, _, _ = size
    matrices = random_tensor(stages + 3, dim, dim)
    return (
        random_tensor(*size),
        Embed("patch_embed", matrices[0]),
        [Step(f"stage{i}", matrices[i + 3]) for i in range(stages)],
        Norm("norm", matrices[1]),
        Head("head", matrices[2]),
    )


def draw_model(rng: random.Random) -> tuple:
    size = rng.randint(1, 3), rng.randint(2, 4), rng.randint(2, 4), rng.randint(2, 4)
    return model_case(size, rng.randint(2, 4))


EXERCISES = {
    "attend_in_windows": Exercise(
        attend_in_windows,
        [
            window_case((6, 9), 3, 1),
            window_case((4, 4), 4, 2),
            window_case((4, 6), 2, 0),
            window_case((4, 8), 4, 2),
            window_case((8, 4), 4, 2),
        ],
        draw_windows,
        WINDOW_WAYS,
    ),
    "swin_block": Exercise(
        swin_block,
        [draw_swin_block(random.Random(99))],
        draw_swin_block,
        BLOCK_WAYS,
    ),
    "join_four": Exercise(
        join_four,
        [(numbered(1, 2, 2, 1),), (numbered(1, 4, 6, 2),)],
        draw_join,
        JOIN_WAYS,
    ),
    "shifts_of_stage": Exercise(
        shifts_of_stage,
        [(2, 4), (6, 7)],
        draw_stage,
        SHIFT_WAYS,
    ),
    "classify": Exercise(
        classify,
        [model_case((2, 3, 2, 4), 3)],
        draw_model,
        CLASSIFY_WAYS,
    ),
    "block_6a": find_the_bug(
        "H = W = √L guessed",
        (4, 9, 3, 1),
        "It takes the map for another one, unless the map has a certain shape. Which?",
    ),
    "block_6b": find_the_bug(
        "window shrunk on all axes",
        (2, 8, 4, 2),
        "The first lines run only if one window spans an axis. What happens to the *other* axis?",
    ),
    "block_6c": find_the_bug(
        "custom shift replaced",
        (8, 12, 4, 1),
        "Which shift does it use, and which one did you ask for? For many shifts the two agree.",
    ),
}
