"""A model sees one image before anything is written, so that what cannot work ends early."""

import torch
from torch import nn

from swin_tutorial.config import SwinConfig
from swin_tutorial.data.folders import ImageFolder
from swin_tutorial.modes import evaluation_mode
from swin_tutorial.training.config import TrainingConfig
from swin_tutorial.training.datasets import Images
from swin_tutorial.windows import sizes_per_axis


def rehearse(model: nn.Module, config: TrainingConfig, images: Images) -> None:
    """Compute the scores of one black image, as the run would, and leave the model as it was.

    Raises ValueError if a window is larger than any map, or the backend cannot work here.
    """
    size = images.size if isinstance(images, ImageFolder) else images.pixels.shape[1:3]
    if isinstance(config.model, SwinConfig):
        _check_windows(config.model, size)
    device = next(model.parameters()).device
    image = torch.zeros(1, len(images.mean), *size, device=device)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=config.bf16)
    with torch.no_grad(), evaluation_mode(model), autocast:
        model(image)


def _check_windows(model: SwinConfig, image_size: tuple[int, int]) -> None:
    """Refuse a window that would hold mostly padding: one larger than the first, largest map."""
    first_map = tuple(-(-side // model.patch_size) for side in image_size)
    for stage in range(len(model.depths)):
        window = sizes_per_axis("window_size", model.stage_window_size(stage), 2)
        if any(side > available for side, available in zip(window, first_map, strict=True)):
            height, width = first_map
            raise ValueError(
                f"the window {window} in stage {stage} does not fit into the model's largest map, "
                f"{height} x {width} tokens: choose a smaller --model.window-size or "
                "--model.window-sizes, or larger images"
            )
