"""The picture under the explorer's tokens, from whatever a reader has."""

import base64
import io

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from swin_tutorial.data import photographs

LARGEST = 640  # pixels along either side, which keeps an exported page small

Picture = str | Image.Image | Tensor | np.ndarray | None


def as_picture(image: Picture) -> Image.Image | None:
    """Return a photograph by its name, an image, or an array (h w 3) of values in 0 to 1, as RGB.

    It is reduced to at most 640 pixels along either side.  None stays None.
    Raises ValueError for an unknown name or an array of another shape or range, TypeError for
    anything else.
    """
    if image is None:
        return None
    if isinstance(image, str):
        image = photographs.open_photograph(image)
    elif isinstance(image, Tensor | np.ndarray):
        image = _from_array(torch.as_tensor(image))
    elif not isinstance(image, Image.Image):
        raise TypeError(
            "image must be a photograph's name, an image, an array (h w 3) or None, "
            f"got {type(image).__name__}"
        )
    image = image.convert("RGB")
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return image


def stretched(image: Float[Tensor, "rgb h w"]) -> Float[Tensor, "h w rgb"]:
    """Return a model's input as an array of values in 0 to 1, whatever it was normalised by."""
    low, high = image.min(), image.max()
    image = (image - low) / (high - low).clamp(min=1e-6)
    return image.detach().cpu().permute(1, 2, 0)


def as_address(picture: Image.Image | None) -> str:
    """Return an address that holds the whole picture, "" for none."""
    if picture is None:
        return ""
    buffer = io.BytesIO()
    picture.save(buffer, format="jpeg", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _from_array(array: Tensor) -> Image.Image:
    if array.ndim != 3 or array.shape[-1] != 3:
        raise ValueError(f"an image array must have the shape (h w 3), got {tuple(array.shape)}")
    array = array.detach().cpu().float()
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(
            f"an image array must lie between 0 and 1, got {array.min():.3g} to {array.max():.3g}: "
            "divide bytes by 255"
        )
    return Image.fromarray((array * 255).round().byte().numpy())
