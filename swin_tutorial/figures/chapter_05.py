"""The figures of chapter 05: four masks to tell apart, and a window's mask sorted by region."""

import matplotlib.pyplot as plt
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from swin_tutorial.figures.masks import draw_mask, mask_legend
from swin_tutorial.figures.style import show
from swin_tutorial.masks import look_ahead_mask, padding_mask, shifted_window_mask


def four_masks() -> None:
    """Show four masks of 16 tokens under letters, without their names: the reader guesses."""
    place = torch.arange(16)
    masks = {
        "A": look_ahead_mask(16),
        "B": padding_mask(torch.tensor([8]), 16)[0],
        "C": shifted_window_mask((8, 12), 4, 2)[5],
        "D": (place[:, None] - place).abs() <= 2,
    }
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.5))
    for one, (letter, mask) in zip(axes, masks.items(), strict=True):
        draw_mask(one, mask)
        one.set_title(letter, size=14, weight="bold")
    mask_legend(figure, loc="outside lower center", ncols=2)
    show(
        figure,
        "Four matrices of 16 by 16, light where a query may attend to a key. A: the lower "
        "triangle. B: two blocks of 8 on the diagonal. C: two blocks of 8 on the diagonal, each a "
        "checkerboard of 2 by 2 squares. D: a band along the diagonal.",
    )


def sorted_by_region(mask: Bool[Tensor, "t t"], regions: Int[Tensor, "t"]) -> None:
    """Show a window's mask, its tokens row by row and then sorted by region."""
    order = regions.argsort(stable=True)
    figure, axes = plt.subplots(1, 2, figsize=(8.8, 4.4))
    draw_mask(axes[0], mask, "tokens row by row", regions)
    draw_mask(axes[1], mask[order][:, order], "the same tokens, sorted by region", regions[order])
    for one in axes:
        one.set_xlabel("key, by region")
        one.set_ylabel("query, by region")
    show(
        figure,
        "The same 16 by 16 mask twice, its axes labelled with regions. Row by row it is a "
        "checkerboard inside two blocks. Sorted by region it is four 4 by 4 blocks on the "
        "diagonal, one a region.",
    )
