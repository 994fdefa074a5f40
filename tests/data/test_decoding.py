"""An image file is shown as it is meant, or refused by name: never changed without a word."""

import errno
import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
import torch
from data_files import random_bytes
from PIL import Image

from swin_tutorial.data import decoding
from swin_tutorial.data.decoding import IMAGE_FORMATS, IMAGE_SUFFIXES, decode_image, open_rgb
from swin_tutorial.data.folders import image_folder

SIZE = (6, 10)
ORIENTATION = 0x112


def gray_levels(dtype=np.uint16, top=65535):
    """Return rising values from 0 to ``top``, in 5 rows of 7."""
    return np.linspace(0, top, 35).reshape(5, 7).astype(dtype)


def brightness(file):
    """Return the values of a gray image; its three channels must be equal."""
    pixels = np.asarray(open_rgb(file)).astype(int)
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


# --- what is read ---


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_each_format_is_read(tmp_path, suffix):
    file = tmp_path / f"a{suffix}"
    mode = "L" if suffix == ".pgm" else "RGB"
    image = Image.fromarray(np.full((5, 7, 3), 200, np.uint8)).convert(mode)
    image.save(file)
    assert np.abs(np.asarray(open_rgb(file)).astype(int) - 200).max() <= 2
    assert Image.open(file).format in IMAGE_FORMATS


def test_a_name_may_belong_to_another_of_the_formats(tmp_path):
    pixels = random_bytes(1, 5, 7, 3)[0]
    Image.fromarray(pixels).save(tmp_path / "a.jpeg", "PNG")
    assert np.array_equal(np.asarray(open_rgb(tmp_path / "a.jpeg")), pixels)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_gray_of_16_bits_keeps_its_brightness(tmp_path, suffix):
    file = tmp_path / f"a.{suffix}"
    Image.fromarray(gray_levels()).save(file)
    assert np.array_equal(brightness(file), gray_levels() >> 8)


def tiff(values, *, bits, photometric=1, sample_format=None, order="<"):
    """Return an uncompressed TIFF of gray values."""
    tags = {256: values.shape[1], 257: values.shape[0], 258: bits, 259: 1, 262: photometric}
    tags |= {273: 8, 277: 1, 278: values.shape[0], 279: values.nbytes}
    tags |= {339: sample_format} if sample_format else {}
    directory = struct.pack(order + "H", len(tags))
    for tag, value in sorted(tags.items()):
        is_long = tag in (273, 279)
        field = struct.pack(order + "I", value) if is_long else struct.pack(order + "HH", value, 0)
        directory += struct.pack(order + "HHI", tag, 4 if is_long else 3, 1) + field
    header = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8 + values.nbytes)
    return header + values.tobytes() + directory + bytes(4)


def test_gray_of_16_bits_is_read_in_either_byte_order(tmp_path):
    for order in "<>":
        file = tmp_path / "a.tif"
        file.write_bytes(tiff(gray_levels().astype(order + "u2"), bits=16, order=order))
        assert np.array_equal(brightness(file), gray_levels() >> 8)


@pytest.mark.parametrize("highest", [255, 1023, 4095, 65535])
def test_a_pgm_says_what_is_white(tmp_path, highest):
    rows = gray_levels(int, highest)
    text = "\n".join(" ".join(map(str, row)) for row in rows.tolist())
    (tmp_path / "a.pgm").write_text(f"P2\n7 5\n{highest}\n{text}\n")
    assert np.abs(brightness(tmp_path / "a.pgm") - rows * 255 / highest).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_an_image_is_turned_as_its_exif_data_says(tmp_path, suffix, orientation):
    """Red rises to the right and green downwards; then we store them as a camera held askew."""
    x, y = np.meshgrid(np.arange(48), np.arange(24))
    upright = np.stack([4 * x, 8 * y, 0 * x], 2).astype(np.uint8)
    # How the stored image is turned, to undo what the orientation asks for.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    quality = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    if suffix == "webp":
        quality = {"lossless": True}
    Image.fromarray(np.ascontiguousarray(stored)).save(
        tmp_path / f"a.{suffix}", exif=exif, **quality
    )
    shown = np.asarray(open_rgb(tmp_path / f"a.{suffix}")).astype(int)
    assert shown.shape == upright.shape
    assert np.abs(shown - upright).max() <= 6


def test_gray_of_16_bits_is_turned_too(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(np.ascontiguousarray(gray_levels().T[::-1])).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(brightness(tmp_path / "a.png"), gray_levels() >> 8)


def test_metadata_that_is_odd_warns_of_nothing(tmp_path, recwarn):
    image = Image.new("RGB", (9, 5), "teal")
    image.save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01")
    open_rgb(tmp_path / "a.jpg")
    palette = image.quantize(4)
    palette.save(tmp_path / "b.png", transparency=b"\0\xff")
    open_rgb(tmp_path / "b.png")
    assert not recwarn.list


def test_the_smallest_and_the_thinnest_images_are_scaled(tmp_path):
    for shape in ((1, 1), (1, 3000), (3000, 1)):
        Image.new("RGB", shape, (10, 20, 30)).save(tmp_path / "a.png")
        for crop in (None, [0.08, 0.75, 0.0, 1.0], [1.0, 4 / 3, 1.0, 0.0]):
            pixels = decode_image(tmp_path / "a.png", SIZE, crop)
            assert pixels.float().mean((1, 2)).tolist() == [10, 20, 30]


# --- what is refused ---


def refused(file):
    """Return the error of a file, without its name."""
    with pytest.raises(ValueError, match=f"^{re.escape(str(file))} ") as caught:
        open_rgb(file)
    return str(caught.value).removeprefix(f"{file} ")


UNKNOWN_WHITE = {
    "floating-point TIFF": tiff(gray_levels(np.float32, 1), bits=32, sample_format=3),
    "floating-point TIFF, large": tiff(gray_levels(np.float32, 65535), bits=32, sample_format=3),
    "floating-point PFM": b"Pf\n7 5\n-1.0\n" + gray_levels(np.float32, 1).tobytes(),
    "TIFF of 32 bits": tiff(gray_levels(np.uint32, 2**31 - 1), bits=32),
    "signed TIFF of 32 bits": tiff(gray_levels(np.int32, 2**31 - 1), bits=32, sample_format=2),
    "signed TIFF of 16 bits": tiff(gray_levels(np.int16, 2**15 - 1), bits=16, sample_format=2),
    "signed TIFF of 8 bits": tiff(gray_levels(np.int8, 2**7 - 1), bits=8, sample_format=2),
    "inverted TIFF of 16 bits": tiff(gray_levels(), bits=16, photometric=0),
    "TIFF of 12 bits": tiff(random_bytes(1, 5, 11)[0], bits=12).replace(
        struct.pack("<HHIHH", 256, 3, 1, 11, 0), struct.pack("<HHIHH", 256, 3, 1, 7, 0)
    ),
}


@pytest.mark.parametrize("what", UNKNOWN_WHITE)
def test_an_unknown_white_level_is_refused(tmp_path, what):
    file = tmp_path / ("a.pgm" if "PFM" in what else "a.tif")
    file.write_bytes(UNKNOWN_WHITE[what])
    with Image.open(file) as image:
        image.load()  # Pillow reads it
    assert "no known white level" in refused(file)
    assert refused(file).endswith("save it with 8 or 16 bits per value")


def saved(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["EPS", "GIF", "ICO", "PDF", "TGA", "PCX", "SGI", "JPEG2000"])
def test_other_formats_are_not_even_opened(tmp_path, kind):
    """Some of Pillow's readers start other programs, as that of EPS starts Ghostscript."""
    file = tmp_path / "x.png"
    try:
        file.write_bytes(saved(Image.new("RGB", (32, 48), "teal"), kind))
    except OSError:
        pytest.skip(f"Pillow was built without {kind}")
    opened = []
    formats, Image.OPEN = Image.OPEN, {}
    try:
        for name, (factory, accept) in formats.items():
            Image.OPEN[name] = (
                lambda *arguments, name=name, factory=factory: (
                    opened.append(name) or factory(*arguments)
                ),
                accept,
            )
        assert "cannot be read as an image" in refused(file)
    finally:
        Image.OPEN = formats
    assert set(opened) <= set(IMAGE_FORMATS)


def png_header(width, height, depth=8, color=0):
    """Return a PNG of a few bytes that announces any size."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


BOMBS = {
    "png of 169 megapixels": png_header(13_000, 13_000, 1),
    "png of 4 gigapixels": png_header(2**16, 2**16),
    "thin png": png_header(2**31 - 1, 1, 1),
    "pgm": b"P5\n13000 13000\n255\n",
    "tif": tiff(np.zeros((1, 1), np.uint8), bits=8)
    .replace(struct.pack("<HHIHH", 256, 3, 1, 1, 0), struct.pack("<HHII", 256, 4, 1, 13_000))
    .replace(struct.pack("<HHIHH", 257, 3, 1, 1, 0), struct.pack("<HHII", 257, 4, 1, 13_000)),
}


@pytest.mark.parametrize("what", BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, monkeypatch, recwarn, what):
    file = tmp_path / "x.png"
    file.write_bytes(BOMBS[what])
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    message = "has more than 89,478,485 pixels: scale it down or remove it"
    assert refused(file) == message
    assert not recwarn.list


def test_pillows_limit_can_be_changed(tmp_path, monkeypatch):
    Image.new("L", (60, 70)).save(tmp_path / "a.png")
    for limit in (4199, 2000):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert refused(tmp_path / "a.png").startswith(f"has more than {limit:,} pixels")
    for limit in (4200, None):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert open_rgb(tmp_path / "a.png").size == (60, 70)


def test_a_huge_file_is_not_read(tmp_path):
    """Pillow would read a WebP whole."""
    file = tmp_path / "x.webp"
    file.write_bytes(saved(Image.new("RGB", (9, 5)), "WEBP"))
    os.truncate(file, decoding.MAX_FILE_BYTES + 1)  # sparse: it takes no space on the disk
    assert refused(file) == "has 1,073,741,825 bytes, more than 1,073,741,824: make it smaller"


IRREGULAR = {
    "a FIFO": os.mkfifo if hasattr(os, "mkfifo") else None,
    "a folder": os.mkdir,
    "a device": lambda path: os.symlink("/dev/zero", path),
    "an endless link": lambda path: os.symlink(path, path),
    "a link to nothing": lambda path: os.symlink("gone.png", path),
}


@pytest.mark.parametrize("what", IRREGULAR)
def test_only_regular_files_are_opened(tmp_path, what):
    file = tmp_path / "a" / "x.png"
    file.parent.mkdir()
    Image.new("L", (9, 5)).save(file.with_name("y.png"))
    IRREGULAR[what](file)
    message = "cannot be read: " if "link" in what else "is not a regular file: remove it"
    assert refused(file).startswith(message)
    with pytest.raises(ValueError, match=f"^{file} is not a regular file: remove it$"):
        image_folder(tmp_path, SIZE, workers=0)


def test_a_link_to_an_image_is_followed(tmp_path):
    pixels = random_bytes(1, 5, 7, 3)[0]
    Image.fromarray(pixels).save(tmp_path / "1.png")
    (tmp_path / "set" / "a").mkdir(parents=True)
    (tmp_path / "set" / "a" / "x.png").symlink_to(tmp_path / "1.png")
    images = image_folder(tmp_path / "set", SIZE, workers=0)
    assert torch.equal(decode_image(images.files[0], SIZE), decode_image(tmp_path / "1.png", SIZE))


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_permission_is_not_called_damaged(tmp_path):
    Image.new("L", (9, 5)).save(tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    assert refused(tmp_path / "a.png") == "cannot be read: Permission denied"


@pytest.mark.parametrize("number", ["EIO", "EMFILE", "EACCES", "ESTALE"])
def test_an_error_of_the_system_is_not_called_damage(tmp_path, monkeypatch, number):
    Image.new("L", (9, 5)).save(tmp_path / "a.png")
    code = getattr(errno, number)

    def fail(*_, **__):
        raise OSError(code, os.strerror(code), "a.png")

    monkeypatch.setattr(Image, "open", fail)
    assert refused(tmp_path / "a.png") == f"cannot be read: {os.strerror(code)}"


@pytest.mark.parametrize(
    "kind", [struct.error, zlib.error, IndexError, KeyError, TypeError, EOFError, OverflowError]
)
def test_whatever_a_reader_raises_the_file_is_named(tmp_path, monkeypatch, kind):
    def fail(*_, **__):
        raise kind("of a reader")

    Image.new("L", (9, 5)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "open", fail)
    message = r"cannot be read as an image \('?of a reader'?\): repair or remove it"
    assert re.fullmatch(message, refused(tmp_path / "a.png"))


def test_a_file_that_has_gone_is_named(tmp_path):
    assert refused(tmp_path / "gone.png") == "cannot be read: No such file or directory"


def test_lack_of_memory_is_not_called_damage(tmp_path, monkeypatch):
    Image.new("L", (9, 5)).save(tmp_path / "a.png")

    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(MemoryError):
        open_rgb(tmp_path / "a.png")


def damaged(content, rng):
    """Return a file cut off, or with a few of its first bytes changed."""
    content = bytearray(content)
    if rng.random() < 0.2:
        return bytes(content[: rng.integers(len(content))])
    for place in rng.integers(0, min(len(content), rng.choice([40, 300])), rng.integers(1, 9)):
        content[place] = rng.integers(256)
    return bytes(content)


@pytest.mark.parametrize("kind", IMAGE_FORMATS)
def test_a_damaged_file_gives_an_image_or_its_name(tmp_path, kind):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    options = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    whole = saved(Image.fromarray(random_bytes(1, 23, 37, 3)[0]), kind, **options)
    rng, file, outcomes = np.random.default_rng(0), tmp_path / "x.png", []
    for _ in range(300):
        file.write_bytes(damaged(whole, rng))
        try:
            outcomes.append(open_rgb(file).mode)
        except ValueError as error:
            outcomes.append("refused" if str(error).startswith(f"{file} ") else "not named")
    assert outcomes.count("refused") > 20
    assert set(outcomes) <= {"RGB", "refused"}


def test_a_path_may_be_text(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    assert open_rgb(str(tmp_path / "x.png")).size == (4, 4)
