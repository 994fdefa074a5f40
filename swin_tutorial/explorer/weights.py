"""A model's attention weights, with its mask and without, for the explorer to show."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from swin_tutorial.grid import WindowGrid
from swin_tutorial.model_tensors import unwrapped
from swin_tutorial.modes import evaluation_mode


@torch.no_grad()
def attention_weights(
    model: nn.Module, image: Float[Tensor, "1 rgb hi wi"], block: tuple[int, int]
) -> tuple[WindowGrid, Float[Tensor, "2 n heads t t"]]:
    """Return the geometry of a block's windows and its weights under the mask and without it.

    ``block`` is (stage, block), both from 0.  The model is run as in evaluation and left as it was.
    Raises ValueError for a block that the model does not have, for more than one image, for
    weights that are no numbers, and for what is no ``SwinTransformer``.
    """
    model = unwrapped(model)
    stage, number = block
    depths = model.config.depths
    if not (0 <= stage < len(depths) and 0 <= number < depths[stage]):
        raise ValueError(f"there is no block {block}: depths are {depths}")
    if len(image) != 1:
        raise ValueError(f"one image can be shown, got shape {tuple(image.shape)}: pick image[:1]")
    chosen = model.layers[stage].blocks[number]
    seen = []
    hook = chosen.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with evaluation_mode(model):
            model.features(image)
    finally:
        hook.remove()

    (x,) = seen
    grid = chosen.grid(x)
    normed = x if chosen.norm_last else chosen.norm1(x)
    windows = grid.partition(normed)
    masks = grid.mask(x.device), None
    weights = [chosen.attn.attention_weights(windows, mask)[0] for mask in masks]
    if not all(one.isfinite().all() for one in weights):
        raise ValueError(f"block {block} computes NaN: look for it in the image and the weights")
    return grid, torch.stack(weights).float().cpu()
