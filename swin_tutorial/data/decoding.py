"""One image file: opened with care, decoded to RGB, cropped and scaled.

A folder of images may come from anywhere.  So only the usual formats are opened, only regular
files, and no image that is larger than Pillow's limit.
"""

import stat
import warnings
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT
from torch import Tensor

from swin_tutorial.data.augmentation import crop_box
from swin_tutorial.data.randaugment import Color, Operation, apply_operations

# Pillow's names of the formats, and how the names of such files end.  A file may have the ending of
# another of these formats, as some of ImageNet's have.
IMAGE_FORMATS = {
    "BMP": {".bmp"},
    "JPEG": {".jpeg", ".jpg"},
    "PNG": {".png"},
    "PPM": {".pgm", ".ppm"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}
IMAGE_SUFFIXES = set().union(*IMAGE_FORMATS.values())
MAX_FILE_BYTES = 1 << 30  # Pillow reads some formats whole, before it knows the size of the image


def decode_image(
    file: Path,
    size: tuple[int, int],
    crop: list[float] | None = None,
    operations: tuple[Operation, ...] = (),
    fill: Color = (0, 0, 0),
) -> UInt8[Tensor, "3 h w"]:
    """Return the image in a file, cropped, scaled and augmented.

    Args:
        file: an image in one of IMAGE_FORMATS; of several images, the first is taken.
        size: height and width of the result, in pixels.
        crop: a row of ``augmentation.draw_crops``.  None takes the center, 7/8 of the image's
            height or width, as in the official recipe of Swin.
        operations, fill: as in ``randaugment.apply_operations``.

    Raises ValueError, naming the file, as ``open_rgb`` does.
    """
    height, width = size
    image = open_rgb(file)
    if crop is None:
        image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC, bleed=1 / 16)
    else:
        box = crop_box(crop, image.height, image.width)
        image = image.resize((width, height), Image.Resampling.BICUBIC, box)
    image = apply_operations(image, operations, fill)
    return rearrange(torch.from_numpy(np.array(image)), "h w c -> c h w")


def open_rgb(file: str | Path) -> Image.Image:
    """Return the image in a file, upright and in RGB with 8 bits.

    It is turned as its EXIF data says.  Of 16 bits the higher 8 are kept.  Transparency is dropped.

    Raises ValueError, naming the file, unless it is a regular file that holds a whole image in one
    of IMAGE_FORMATS, with no more pixels than ``PIL.Image.MAX_IMAGE_PIXELS`` and a known white
    level, which floating-point values lack.
    """
    file = Path(file)
    try:
        _check_file(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=tuple(IMAGE_FORMATS)) as image:
                return _upright_rgb(image)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        problem = f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels: scale it down or remove it"
    except _UnsuitableError as error:
        problem = str(error)
    except MemoryError:
        raise
    except Exception as error:  # for a damaged image, Pillow may raise nearly any
        if isinstance(error, OSError) and error.errno:  # the system's: the image may be whole
            problem = f"cannot be read: {error.strerror}"
        else:
            problem = f"cannot be read as an image ({error}): repair or remove it"
    raise ValueError(f"{file} {problem}")


class _UnsuitableError(Exception):
    """What is wrong with a file, and what to do, in words that follow its name."""


def _check_file(file: Path) -> None:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise _UnsuitableError("is not a regular file: remove it")
    if status.st_size > MAX_FILE_BYTES:
        raise _UnsuitableError(
            f"has {status.st_size:,} bytes, more than {MAX_FILE_BYTES:,}: make it smaller"
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    if not _is_white_known(image):
        raise _UnsuitableError(
            f"has no known white level (Pillow's mode {image.mode}): "
            "save it with 8 or 16 bits per value"
        )
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):  # gray with 16 bits; convert would cut it off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _is_white_known(image: Image.Image) -> bool:
    """Return whether white is 255, or 65,535 for a mode that begins with I."""
    if image.format != "TIFF":
        return image.mode != "F"
    tags = image.tag_v2
    if set(tags.get(SAMPLEFORMAT, (1,))) != {1}:  # signed or floating-point numbers
        return False
    is_16_bit_gray = tags.get(BITSPERSAMPLE) == (16,) and tags.get(PHOTOMETRIC_INTERPRETATION) == 1
    return is_16_bit_gray or not image.mode.startswith("I")
