"""The three photographs that the chapters cut into tokens."""

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from swin_tutorial.axis import check_size
from swin_tutorial.data.decoding import open_rgb
from swin_tutorial.data.paths import data_folder, how_to_restore

# The file of each photograph and the SHA-256 of its bytes; data/README.md says who took them.
PHOTOGRAPHS = {
    "chelsea": (
        "photographs/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    "coffee": (
        "photographs/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    "rocket": (
        "photographs/rocket.jpg",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
}


def open_photograph(name: str) -> Image.Image:
    """Return a photograph at its full size, in RGB.

    Raises ValueError for an unknown name or a damaged file, FileNotFoundError if it is missing.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"there is no photograph {name!r}: choose one of {sorted(PHOTOGRAPHS)}")
    file = data_folder() / PHOTOGRAPHS[name][0]
    if not file.exists():
        raise FileNotFoundError(f"there is no file {file}: {how_to_restore('data')}")
    return open_rgb(file)


def photograph(name: str, height: int, width: int) -> Float[Tensor, "height width 3"]:
    """Return a photograph, center-cropped and scaled to ``height`` x ``width`` pixels.

    Values are between 0 and 1.

    Raises ValueError for an unknown name or a size below 1, FileNotFoundError if the file is
    missing.
    """
    check_size("height", height)
    check_size("width", width)
    image = ImageOps.fit(open_photograph(name), (width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image, dtype=np.float32) / 255)


def photograph_tokens(
    name: str, height: int, width: int, patch_size: int = 24
) -> Float[Tensor, "1 height width c"]:
    """Return a photograph as a feature map of ``height`` x ``width`` tokens.

    A token is a square patch of ``patch_size`` pixels a side; its channels are the patch's pixels,
    so c = 3 * patch_size**2.  Such a map can be turned back into an image after anything is done
    to it.
    """
    image = photograph(name, height * patch_size, width * patch_size)
    return rearrange(image, "(h ph) (w pw) rgb -> 1 h w (ph pw rgb)", ph=patch_size, pw=patch_size)
