"""RandAugment: two small changes of a picture, drawn from fifteen (Cubuk et al. 2020).

As in the recipe of Swin, which has timm's ``rand-m9-mstd0.5-inc1``: two operations are drawn for
each picture, each is carried out with a probability of a half, its magnitude is drawn around the
one asked for, and a larger magnitude changes more.  First all the draws, then what they do.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

LARGEST_MAGNITUDE = 10
DEVIATION = 0.5  # of a magnitude from the one asked for
PER_PICTURE = 2
PROBABILITY = 0.5

Colour = tuple[int, int, int]
# A name among OPERATIONS, and a strength from -1 to 1: the sign is a direction where there is one.
Operation = tuple[str, float]


# --- what is drawn ---


def draw_operations(
    batch: int, magnitude: float, rng: np.random.Generator
) -> list[tuple[Operation, ...]]:
    """Draw what is to be done, in this order, to each of ``batch`` pictures.

    magnitude: 0 to 10, where 0 stands for no operation at all.  It decides how strong the
    operations are, and not which.
    """
    happens, which, sign = rng.random((3, batch, PER_PICTURE))
    magnitudes = magnitude + DEVIATION * rng.standard_normal((batch, PER_PICTURE))
    strengths = np.clip(magnitudes / LARGEST_MAGNITUDE, 0, 1) * np.where(sign < 0.5, 1, -1)
    happens = happens < (PROBABILITY if magnitude else 0)
    names = list(OPERATIONS)
    which = (which * len(names)).astype(int)
    return [
        tuple((names[one], strength) for does, one, strength in zip(*drawn, strict=True) if does)
        for drawn in zip(happens, which.tolist(), strengths.tolist(), strict=True)
    ]


# --- what it does ---


def randaugmented(
    image: Image.Image, operations: tuple[Operation, ...], fill: Colour
) -> Image.Image:
    """Return an RGB picture after these operations; what comes in from outside has one colour."""
    for name, strength in operations:
        image = OPERATIONS[name](image, strength, fill)
    return image


def _moved(
    image: Image.Image,
    fill: Colour,
    x: float = 0.0,
    y: float = 0.0,
    x_per_row: float = 0.0,
    y_per_column: float = 0.0,
) -> Image.Image:
    """Return the picture that shows, everywhere, what was ``x`` to the right and ``y`` below.

    In pixels; each row adds to the one, each column to the other.
    """
    matrix = (1, x_per_row, x, y_per_column, 1, y)
    affine, bicubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    return image.transform(image.size, affine, matrix, bicubic, fillcolor=fill)


def _rotated(image: Image.Image, strength: float, fill: Colour) -> Image.Image:
    """Turn by up to 30 degrees, to the left for a positive strength."""
    return image.rotate(30 * strength, Image.Resampling.BICUBIC, fillcolor=fill)


def _posterized(image: Image.Image, strength: float, _: Colour) -> Image.Image:
    """Keep the 4 highest bits of each value, or fewer: none at full strength, which is black."""
    dropped = 4 + int(4 * abs(strength))
    return image.point(lambda value: value >> dropped << dropped)  # Pillow's own keeps 1 at least


def _solarized(image: Image.Image, strength: float, _: Colour) -> Image.Image:
    """Invert the values from a threshold on, which falls from 256 to 0."""
    return ImageOps.solarize(image, 256 - int(256 * abs(strength)))


def _shadows_lifted(image: Image.Image, strength: float, _: Colour) -> Image.Image:
    """Add up to 110 to the values below 128."""
    added = int(110 * abs(strength))
    return image.point(lambda value: value + added * (value < 128))


def _enhanced(kind: type) -> Callable[[Image.Image, float, Colour], Image.Image]:
    """Return an operation that goes from a plain picture (0) through this one (1) and beyond."""
    return lambda image, strength, _: kind(image).enhance(1 + 0.9 * strength)


OPERATIONS = {
    "autocontrast": lambda image, *_: ImageOps.autocontrast(image),
    "equalize": lambda image, *_: ImageOps.equalize(image),
    "invert": lambda image, *_: ImageOps.invert(image),
    "rotate": _rotated,
    "posterize": _posterized,
    "solarize": _solarized,
    "solarize_add": _shadows_lifted,
    "color": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "shear_x": lambda image, strength, fill: _moved(image, fill, x_per_row=0.3 * strength),
    "shear_y": lambda image, strength, fill: _moved(image, fill, y_per_column=0.3 * strength),
    "translate_x": lambda image, strength, fill: _moved(
        image, fill, x=0.45 * strength * image.width
    ),
    "translate_y": lambda image, strength, fill: _moved(
        image, fill, y=0.45 * strength * image.height
    ),
}
