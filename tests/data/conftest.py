"""A folder of small images that the tests of this folder share."""

import itertools

import pytest
from data_files import random_bytes
from PIL import Image


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Write 50 images of different sizes and kinds, none of them square, in 4 classes."""
    top = tmp_path_factory.mktemp("images")
    kinds = itertools.cycle([("RGB", "png"), ("L", "PNG"), ("RGBA", "webp"), ("RGB", "JPEG")])
    for number, (mode, suffix) in zip(range(50), kinds, strict=False):
        file = top / "dcba"[number % 4] / f"{number:02}.{suffix}"
        file.parent.mkdir(exist_ok=True)
        pixels = random_bytes(1, 12 + number, 30, 4)[0]
        Image.fromarray(pixels).convert(mode).save(file)
    (top / "a" / "notes.txt").write_text("no image")
    (top / "a" / "._00.png").write_bytes(b"left behind by a file manager")
    (top / ".hidden").mkdir()
    return top
