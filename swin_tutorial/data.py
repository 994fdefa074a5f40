"""Where the data stands, and the photographs that the chapters cut, roll and mask."""

import os
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from swin_tutorial.windows import size_pair

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


def data_folder() -> Path:
    """Return the project's ``data`` folder, or the one that SWIN_TUTORIAL_DATA names.

    Raises FileNotFoundError if there is none, as when the package was installed without its
    repository.
    """
    named = os.environ.get("SWIN_TUTORIAL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parent.parent / "data"
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no data folder {folder}: install the package from a clone of its repository "
            "(pip install -e .), or set SWIN_TUTORIAL_DATA to the clone's data folder"
        )
    return folder


def open_photograph(name: str) -> Image.Image:
    """Return a whole photograph as it was taken, in RGB.

    Raises ValueError for an unknown name, FileNotFoundError if the file is missing.
    """
    if name not in PHOTOGRAPHS:
        raise ValueError(f"there is no photograph {name!r}: choose one of {sorted(PHOTOGRAPHS)}")
    with Image.open(data_folder() / PHOTOGRAPHS[name][0]) as image:
        return image.convert("RGB")


def photograph(name: str, height: int, width: int) -> Float[Tensor, "height width 3"]:
    """Return a photograph, cropped about its centre and scaled to ``height`` x ``width`` pixels.

    Values lie between 0 and 1.  Raises ValueError for an unknown name, FileNotFoundError if the
    file is missing.
    """
    image = open_photograph(name)
    height, width = size_pair("(height, width)", (height, width))
    image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image, dtype=np.float32) / 255)


def photograph_tokens(
    name: str, height: int, width: int, patch_size: int = 24
) -> Float[Tensor, "1 height width c"]:
    """Return a photograph as a feature map: a token is a square patch, its channels the pixels.

    ``patch_size`` is in pixels, so c = 3 * patch_size**2.  Whatever is done to such a map can be
    looked at: ``plotting.picture`` turns it into an image again.
    """
    image = photograph(name, height * patch_size, width * patch_size)
    return rearrange(image, "(h p) (w q) rgb -> 1 h w (p q rgb)", p=patch_size, q=patch_size)
