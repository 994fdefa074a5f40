"""Switch the mask or the shift off in a trained model, and see what changes (chapters 07, 08)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from swin_tutorial.data.batches import evaluation_batches
from swin_tutorial.data.labelled import LabelledImages
from swin_tutorial.model import SwinTransformer, SwinTransformerBlock
from swin_tutorial.modes import evaluation_mode
from swin_tutorial.training.evaluation import EVALUATION_BATCH


@contextmanager
def switched_off(
    what: Literal["mask", "shift"], blocks: Iterable[SwinTransformerBlock]
) -> Iterator[None]:
    """Leave out the mask, or the shift, of some blocks for as long as the context lasts.

    Raises ValueError for anything else to leave out.
    """
    if what not in ("mask", "shift"):
        raise ValueError(f"only the mask or the shift can be switched off, got {what!r}")
    name, off = ("use_mask", False) if what == "mask" else ("shift_size", 0)
    before = [(block, getattr(block, name)) for block in blocks]
    try:
        for block, _ in before:
            setattr(block, name, off)
        yield
    finally:
        for block, value in before:
            setattr(block, name, value)


def shifted_blocks(model: SwinTransformer) -> dict[tuple[int, int], SwinTransformerBlock]:
    """Return the blocks with shifted windows, each named by (stage, block) from 0."""
    return {
        (s, i): block
        for s, stage in enumerate(model.layers)
        for i, block in enumerate(stage.blocks)
        if block.shift_size != 0
    }


@torch.no_grad()
def class_probabilities(model: nn.Module, images: LabelledImages) -> Float[Tensor, "n classes"]:
    """Return how probable a model finds each class, for each image of a set in its order."""
    with evaluation_mode(model):
        batches = evaluation_batches(images, EVALUATION_BATCH, "cpu")
        return torch.cat([model(x).softmax(1) for x, _ in batches])


@torch.no_grad()
def leaked_shares(
    model: SwinTransformer, images: Float[Tensor, "b rgb h w"], place: tuple[int, int]
) -> tuple[Float[Tensor, "heads"], float]:
    """Return what share of its attention a query gives to tokens that the mask forbids.

    The mask of the block at ``place`` (stage, block) is off; the blocks before it are as they were.
    Averaged over the images and over the queries that have forbidden keys.  Padding does not count,
    neither as a query nor as a key.  Also returns the share that uniform attention would give.

    Raises ValueError if the block's mask forbids no token.
    """
    stage, number = place
    block = model.layers[stage].blocks[number]
    with evaluation_mode(model), switched_off("mask", [block]):
        weights = model.attention_maps(images, [place])[place]
        height, width = model.features(images)[stage].shape[1:3]
    ones = torch.ones(1, height, width, 1)
    grid = block.grid(ones)
    is_real = grid.partition(ones)[0, :, :, 0] > 0  # n t
    forbidden = ~grid.mask() & is_real[:, None]
    is_query = forbidden.any(-1) & is_real
    if not is_query.any():
        raise ValueError(f"the mask of block {place} forbids no token of {height} x {width}")
    leaked = (weights * forbidden[:, None]).sum(-1)  # b n heads q
    of_queries = rearrange(leaked, "b n heads q -> n q b heads")[is_query]
    return of_queries.mean((0, 1)), forbidden[is_query].double().mean().item()


@torch.no_grad()
def unmasked_attention(
    model: SwinTransformer,
    image: Float[Tensor, "rgb h w"],
    place: tuple[int, int],
    query: tuple[int, int],
) -> tuple[Float[Tensor, "rows columns"], Bool[Tensor, "rows columns"]]:
    """Return how much a query attends to each token of the map while its block has no mask.

    The weights are means over the heads, each at the place where its key stands in the map, and 0
    for the tokens of other windows.  Also returns which of these tokens the mask forbids.

    Args:
        model: its other blocks keep their masks.
        image: normalized.
        place: the block, (stage, block).
        query: row and column of a token of the stage's map.
    """
    stage, number = place
    block = model.layers[stage].blocks[number]
    with evaluation_mode(model), switched_off("mask", [block]):
        weights = model.attention_maps(image[None], [place])[place][0].mean(1)  # n t t
        height, width = model.features(image[None])[stage].shape[1:3]
    grid = block.grid(torch.empty(1, height, width, 1))
    window, index = grid.locate(query)
    # Fill one window of an empty map, and put it back to where its tokens stood.
    windows = torch.zeros(2, grid.num_windows, grid.tokens_per_window, 1)
    windows[0, window, :, 0] = weights[window, index]
    windows[1, window, :, 0] = ~grid.mask()[window, index]
    on_map, forbidden = grid.merge(windows)[..., 0]
    return on_map, forbidden.bool()
