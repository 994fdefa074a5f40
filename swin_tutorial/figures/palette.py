"""Pictures with transparency in at most 255 colors, which keeps notebooks small.

A PNG with a palette may give each of its colors an opacity of its own, and so may the frames of an
animated PNG, which share one palette.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

SEE_THROUGH = 255  # a frame's number for "as in the frame before"; no picture's own color
_CLEAR = 1 << 24  # the code of all that is fully transparent
_TRANSLUCENT = 32  # colors for what is partly transparent, edges of letters above all
_ROOM = SEE_THROUGH - _TRANSLUCENT


def in_one_palette(pictures: Sequence[Image.Image], exact: int) -> list[Image.Image]:
    """Return RGBA pictures in one palette, their opacities in ``info["transparency"]``.

    The ``exact`` most frequent colors, which fill areas, are kept; the others are approximated.
    Color number ``SEE_THROUGH`` is unused and transparent.
    """
    codes = [_codes(np.asarray(one)) for one in pictures]
    counts = np.bincount(np.concatenate([one.ravel() for one in codes]), minlength=2 * _CLEAR)
    found = np.flatnonzero(counts)
    found = found[counts[found].argsort()[::-1]]
    colors = _decode(found)
    palette = np.concatenate([colors[:exact], _approximate(colors[exact:], _ROOM - exact)])
    number_of = np.zeros(2 * _CLEAR, np.uint8)
    number_of[found] = _nearest(colors, palette)
    unused = np.zeros((256 - len(palette), 4), np.uint8)
    palette = np.concatenate([palette, unused])
    quantized = [Image.fromarray(number_of[one], "P") for one in codes]
    for one in quantized:
        one.putpalette(palette[:, :3].tobytes())
        one.info["transparency"] = palette[:, 3].tobytes()
    return quantized


def _codes(picture: UInt8[np.ndarray, "h w 4"]) -> Int[np.ndarray, "h w"]:
    """Number the colors: opaque ones exactly, partly transparent ones by their leading bits."""
    red, green, blue, alpha = np.moveaxis(picture.astype(np.int32), -1, 0)
    opaque = red << 16 | green << 8 | blue
    partly = _CLEAR | alpha >> 2 << 15 | red >> 3 << 10 | green >> 3 << 5 | blue >> 3
    return np.where(alpha == 255, opaque, np.where(alpha < 4, _CLEAR, partly))


def _decode(codes: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "n 4"]:
    """Return the red, green, blue and opacity that each code stands for."""
    opaque = [codes >> 16, codes >> 8 & 255, codes & 255, np.full_like(codes, 255)]
    red, green, blue = (codes >> bits & 31 for bits in (10, 5, 0))
    alpha = codes >> 15 & 63
    partly = [*(one << 3 | one >> 2 for one in (red, green, blue)), alpha << 2 | alpha >> 4]
    # A color of its own for what is clear, or a frame could not erase: see ``animation._smaller``.
    partly = np.where(codes == _CLEAR, [[255], [255], [255], [0]], partly)
    return np.where(codes < _CLEAR, opaque, partly).T.astype(np.uint8)


def _approximate(colors: UInt8[np.ndarray, "n 4"], most: int) -> UInt8[np.ndarray, "few 4"]:
    """Return a few colors that stand for many, at most ``most`` opaque ones and some others."""
    opaque = colors[:, 3] == 255
    chosen = [np.zeros((0, 4), np.uint8)]
    for part, number, method in (
        (colors[opaque], most, Image.Quantize.MEDIANCUT),
        (colors[~opaque], _TRANSLUCENT, Image.Quantize.FASTOCTREE),
    ):
        if len(part):
            strip = Image.fromarray(part[None])
            strip = strip.convert("RGB") if method == Image.Quantize.MEDIANCUT else strip
            few = strip.quantize(number, method, dither=Image.Dither.NONE).convert("RGBA")
            chosen.append(np.unique(np.asarray(few)[0], axis=0))
    return np.concatenate(chosen)


def _nearest(
    colors: UInt8[np.ndarray, "n 4"], palette: UInt8[np.ndarray, "m 4"]
) -> Int[np.ndarray, "n"]:
    """Return for each color the number of the nearest in the palette, as both look on black."""
    one, two = (_premultiplied(part) for part in (colors, palette))
    return ((two**2).sum(1) - 2 * one @ two.T).argmin(1)


def _premultiplied(colors: UInt8[np.ndarray, "n 4"]) -> np.ndarray:
    alpha = colors[:, 3:].astype(np.float32)
    return np.concatenate([colors[:, :3] * alpha / 255, alpha], 1)
