"""Switch the mask or the shift off in a trained model, and see what it gets right (chapter 08)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Bool
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
def is_right(model: nn.Module, images: LabelledImages) -> Bool[Tensor, "n"]:
    """Return for each image whether the model classifies it correctly, in the order of the set."""
    with evaluation_mode(model):
        batches = evaluation_batches(images, EVALUATION_BATCH, "cpu")
        return torch.cat([model(x).argmax(1) == labels for x, labels in batches])
