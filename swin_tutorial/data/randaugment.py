"""RandAugment: two small changes to an image, drawn from fifteen (Cubuk et al. 2020).

As in the official recipe of Swin, which has timm's ``rand-m9-mstd0.5-inc1``.  Two operations are
drawn for each image and each is applied with a probability of one half.  Its magnitude is drawn
around the one asked for; a larger magnitude means a larger change.  timm and torchvision draw from
global generators, image by image, so a batch would depend on the worker process that made it; here
everything is drawn first, from one generator per batch.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

MAX_MAGNITUDE = 10
MAGNITUDE_STD = 0.5
OPERATIONS_PER_IMAGE = 2
APPLY_PROB = 0.5

Color = tuple[int, int, int]
# A name in OPERATIONS and a strength from -1 to 1; the sign is a direction, where there is one.
Operation = tuple[str, float]


# --- what is drawn ---


def draw_operations(
    batch_size: int, magnitude: float, rng: np.random.Generator
) -> list[tuple[Operation, ...]]:
    """Draw the operations for each image of a batch, in the order of their application.

    The magnitude, from 0 to 10, decides how strong the operations are, not which; 0 means none.
    """
    shape = (batch_size, OPERATIONS_PER_IMAGE)
    coin, choice, sign = rng.random((3, *shape))
    magnitudes = magnitude + MAGNITUDE_STD * rng.standard_normal(shape)
    strengths = np.clip(magnitudes / MAX_MAGNITUDE, 0, 1) * np.where(sign < 0.5, 1, -1)
    is_applied = coin < (APPLY_PROB if magnitude else 0)
    names = list(OPERATIONS)
    choice = (choice * len(names)).astype(int)
    return [
        tuple(
            (names[number], strength)
            for applied, number, strength in zip(*of_image, strict=True)
            if applied
        )
        for of_image in zip(is_applied, choice.tolist(), strengths.tolist(), strict=True)
    ]


# --- what it does ---


def apply_operations(
    image: Image.Image, operations: tuple[Operation, ...], fill: Color
) -> Image.Image:
    """Return an RGB image after the operations; ``fill`` replaces what lies outside the image."""
    for name, strength in operations:
        image = OPERATIONS[name](image, strength, fill)
    return image


def _affine(
    image: Image.Image,
    fill: Color,
    x: float = 0.0,
    y: float = 0.0,
    x_per_row: float = 0.0,
    y_per_column: float = 0.0,
) -> Image.Image:
    """Return the image whose pixel (column, row) comes from another place in ``image``.

    That place is ``x + x_per_row * row`` pixels to the right and ``y + y_per_column * column``
    pixels below.
    """
    matrix = (1, x_per_row, x, y_per_column, 1, y)
    affine, bicubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    return image.transform(image.size, affine, matrix, bicubic, fillcolor=fill)


def _rotate(image: Image.Image, strength: float, fill: Color) -> Image.Image:
    """Rotate by up to 30 degrees, counterclockwise for a positive strength."""
    return image.rotate(30 * strength, Image.Resampling.BICUBIC, fillcolor=fill)


def _posterize(image: Image.Image, strength: float, _: Color) -> Image.Image:
    """Keep the 4 highest bits of each value, or fewer: none at full strength, which is black."""
    dropped = 4 + int(4 * abs(strength))
    return image.point(lambda value: value >> dropped << dropped)  # Pillow's own keeps at least 1


def _solarize(image: Image.Image, strength: float, _: Color) -> Image.Image:
    """Invert the values at or above a threshold, which falls from 256 to 0."""
    return ImageOps.solarize(image, 256 - int(256 * abs(strength)))


def _solarize_add(image: Image.Image, strength: float, _: Color) -> Image.Image:
    """Add up to 110 to the values below 128."""
    added = int(110 * abs(strength))
    return image.point(lambda value: value + added * (value < 128))


def _enhance(enhancer: type) -> Callable[[Image.Image, float, Color], Image.Image]:
    """Return an operation: below 0 towards a gray, flat, black or blurred image, above 0 away."""
    return lambda image, strength, _: enhancer(image).enhance(1 + 0.9 * strength)


OPERATIONS = {
    "autocontrast": lambda image, *_: ImageOps.autocontrast(image),
    "equalize": lambda image, *_: ImageOps.equalize(image),
    "invert": lambda image, *_: ImageOps.invert(image),
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "color": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "shear_x": lambda image, strength, fill: _affine(image, fill, x_per_row=0.3 * strength),
    "shear_y": lambda image, strength, fill: _affine(image, fill, y_per_column=0.3 * strength),
    "translate_x": lambda image, strength, fill: _affine(
        image, fill, x=0.45 * strength * image.width
    ),
    "translate_y": lambda image, strength, fill: _affine(
        image, fill, y=0.45 * strength * image.height
    ),
}
