"""The picture under the explorer's tokens, from whatever a reader has."""

import base64
import io
import math
import re
import reprlib

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from swin_tutorial.data import photographs

LARGEST = 640  # pixels along either side, which keeps an exported page small
MOST_PIXELS = 100_000_000  # of what it is reduced from
LONGEST = 2_000_000  # characters of an address, which no picture of that size needs
# js/state.js says both, and the same of an address.
ADDRESS = re.compile("data:image/jpeg;base64,([A-Za-z0-9+/]+={0,2})")

Picture = str | Image.Image | Tensor | np.ndarray | None


def as_picture(image: Picture) -> Image.Image | None:
    """Return a photograph by its name, an image, or an array (h w 3) of values in 0 to 1, as RGB.

    It is reduced to at most 640 pixels along either side.  None stays None.
    Raises ValueError for an unknown name, for an array of another shape or range, and for an image
    that is empty or too large; TypeError for anything else.
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
    if not min(image.size):
        raise ValueError(f"an image must have pixels, got the size {image.size}")
    if math.prod(image.size) > MOST_PIXELS:
        raise ValueError(
            f"an image of {image.size} is too large: at most {MOST_PIXELS / 1e6:.0f} million pixels"
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


def check_address(address: str) -> str:
    """Return an address that is "" or holds a whole JPEG picture, small enough to be shown.

    Raises ValueError for any other, above all one from which a page would fetch something.
    """
    if not address:
        return address
    found = ADDRESS.fullmatch(address) if len(address) <= LONGEST else None
    if found is None:
        raise ValueError(
            "must be an address that holds a JPEG picture itself, data:image/jpeg;base64,..., of "
            f"at most {LONGEST:,} characters, got {reprlib.repr(address)}"
        )
    try:
        data = io.BytesIO(base64.b64decode(found[1], validate=True))
        with Image.open(data, formats=("JPEG",)) as picture:
            if max(picture.size) > LARGEST:
                raise ValueError(f"is of {picture.size} pixels, at most {LARGEST} a side are shown")
            picture.load()
    except OSError as error:
        raise ValueError(f"holds no whole JPEG picture: {error}") from None
    return address


def _from_array(array: Tensor) -> Image.Image:
    if array.ndim != 3 or array.shape[-1] != 3:
        raise ValueError(f"an image array must have the shape (h w 3), got {tuple(array.shape)}")
    if not array.numel():
        raise ValueError(f"an image array must have pixels, got the shape {tuple(array.shape)}")
    array = array.detach().cpu().float()
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(
            f"an image array must lie between 0 and 1, got {array.min():.3g} to {array.max():.3g}: "
            "divide bytes by 255"
        )
    return Image.fromarray((array * 255).round().byte().numpy())
