"""A figure that a notebook draws anew must look as it is stored.  nbval compares text alone.

Registered as a plugin (see conftest.py), this looks at the outputs of each cell that nbval has run,
so nothing is run twice.  Frames of an animation are compared one by one.
"""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

BLOCK = 8  # pixels a side: about the size of a digit, and more than the width of a letter's edge
TOLERANCE = 12  # of 255: how far a block's mean color may be off; a small gray digit is off by 25


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fail if nbval found nothing wrong with a cell's text, but a figure of it has changed."""
    result = yield
    outputs = getattr(item, "test_outputs", None)  # nbval's cells have them
    if outputs is not None and item.options["check"]:
        complaints = changed_figures(item.cell.outputs, outputs)
        if complaints:
            name = f"{item.path.name}, cell {item.cell.get('id', item.name)}"
            pytest.fail("\n".join([f"{name}:", *complaints, "If that is right: make notebooks"]))
    return result


def changed_figures(stored: list[dict], drawn: list[dict]) -> list[str]:
    """Return what differs between the images of two lists of outputs."""
    before, after = (
        [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
        for outputs in (stored, drawn)
    )
    if len(before) != len(after):
        return [f"{len(before)} images are stored, {len(after)} were drawn"]
    pairs = enumerate(zip(before, after, strict=True))
    found = ((number, difference(*map(base64.b64decode, pair))) for number, pair in pairs)
    return [f"image {number}: {words}" for number, words in found if words]


def difference(before: bytes, after: bytes) -> str:
    """Say where two PNGs differ by more than a reader would overlook, or return ''."""
    old, new = _frames(before), _frames(after)
    if len(old) != len(new) or old[0].size != new[0].size:
        return f"{len(old)} frames of {old[0].size} are stored, {len(new)} of {new[0].size} drawn"
    for number, (one, two) in enumerate(zip(old, new, strict=True)):
        off = np.abs(_blocks(one) - _blocks(two)).max(-1)
        if (off > TOLERANCE).any():
            y, x = np.unravel_index(off.argmax(), off.shape)
            where = f"worst by {off.max():.0f} of 255 around pixel ({BLOCK * x}, {BLOCK * y})"
            changed = f"{(off > TOLERANCE).sum()} of {off.size} blocks"
            return f"frame {number}: {changed} have changed, {where}"
    return ""


def _frames(png: bytes) -> list[Image.Image]:
    with Image.open(io.BytesIO(png)) as image:
        return [frame.convert("RGBA") for frame in ImageSequence.Iterator(image)]


def _blocks(image: Image.Image) -> np.ndarray:
    """Return the mean color and opacity of each block; what is transparent has no color."""
    return np.asarray(image.convert("RGBa").reduce(BLOCK)).astype(int)
