"""A model's attention weights, with its mask and without, for the explorer to show."""

import torch
from jaxtyping import Float
from torch import Tensor

from swin_tutorial.grid import WindowGrid
from swin_tutorial.model import SwinTransformer


@torch.no_grad()
def attention_weights(
    model: SwinTransformer, image: Float[Tensor, "1 rgb hi wi"], block: tuple[int, int]
) -> tuple[WindowGrid, Float[Tensor, "2 n heads t t"]]:
    """Return the geometry of a block's windows and its weights under the mask and without it.

    ``block`` is (stage, block), both from 0.  The model is run as in evaluation and left as it was.
    Raises ValueError for a block that the model does not have.
    """
    stage, number = block
    depths = model.config.depths
    if not (0 <= stage < len(depths) and 0 <= number < depths[stage]):
        raise ValueError(f"there is no block {block}: depths are {depths}")
    chosen = model.layers[stage].blocks[number]
    seen = []
    hook = chosen.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    was_training = model.training
    model.eval()
    try:
        model.features(image)
    finally:
        hook.remove()
        model.train(was_training)

    (x,) = seen
    grid = chosen.grid(x)
    normed = x if chosen.norm_last else chosen.norm1(x)
    windows = grid.partition(normed)
    masks = grid.mask(x.device), None
    weights = [chosen.attn.attention_weights(windows, mask)[0] for mask in masks]
    return grid, torch.stack(weights).float().cpu()
