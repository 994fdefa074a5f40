"""idx files and CIFAR archives are read as they are, and anything else is refused by name."""

import gzip

import numpy as np
import pytest
from data_files import cifar_records, files_in, idx_file, random_bytes, tar_file, write

from swin_tutorial.data.formats import read_cifar, read_gzip, read_idx


def test_an_idx_file_gives_its_array(tmp_path):
    array = random_bytes(3, 2, 5)
    write(tmp_path, {"a.gz": idx_file(array)})
    assert np.array_equal(read_idx(tmp_path / "a.gz", 3).numpy(), array)


def test_a_file_that_is_not_the_idx_file_expected_is_refused(tmp_path):
    whole = gzip.decompress(idx_file(random_bytes(3, 2, 5)))
    files = {
        "magic.gz": gzip.compress(b"\x00\x00\x0d\x03" + whole[4:]),
        "labels.gz": idx_file(random_bytes(3)),
        "short.gz": gzip.compress(whole[:-1]),
        "long.gz": gzip.compress(whole + b"\x00"),
        "empty.gz": gzip.compress(b""),
        "header.gz": gzip.compress(whole[:10]),
    }
    write(tmp_path, files)
    messages = {
        "magic.gz": "not an idx file of bytes with 3 axes: it begins with 00 00 0d 03 instead of "
        "00 00 08 03",
        "labels.gz": "begins with 00 00 08 01",
        "short.gz": "announces 30 bytes of data and holds 29",
        "long.gz": "announces 30 bytes of data and holds 31",
        "empty.gz": "not an idx file",
        "header.gz": "not an idx file",
    }
    for name, message in messages.items():
        with pytest.raises(ValueError, match=f"{name} .*{message}"):
            read_idx(tmp_path / name, 3)


def test_a_truncated_or_corrupt_gzip_file_is_named(tmp_path):
    whole = idx_file(random_bytes(50, 4, 6))
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # in the checksum
    scrambled = whole[:40] + bytes(80) + whole[120:]
    write(tmp_path, {"cut.gz": whole[:-9], "flip.gz": bytes(flipped), "bad.gz": scrambled})
    write(tmp_path, {"page.gz": b"<html>404</html>"})
    with pytest.raises(ValueError, match=r"cut\.gz is truncated"):
        read_gzip(tmp_path / "cut.gz")
    for name in ("flip.gz", "bad.gz", "page.gz"):
        with pytest.raises(ValueError, match=f"{name} is corrupt"):
            read_gzip(tmp_path / name)


def test_a_cifar_archive_gives_its_images_and_writes_nothing(tmp_path):
    pixels, labels = random_bytes(5, 32, 32, 3), np.array([[2], [0], [1], [1], [2]])
    members = {
        "in/1.bin": cifar_records(labels[:2], pixels[:2]),
        "../outside.bin": b"evil",
        "in/2.bin": cifar_records(labels[2:4], pixels[2:4]),
        "in/3.bin": cifar_records(labels[4:], pixels[4:]),
        "in/names.txt": b"owl\nfox\ncrab\n\n",
    }
    write(tmp_path / "here", {"a.tar.gz": tar_file(members)})
    archive = tmp_path / "here" / "a.tar.gz"
    split_files = {"train": ("in/1.bin", "in/2.bin"), "test": ("in/3.bin",)}
    splits, classes = read_cifar(archive, split_files, "in/names.txt", 1)
    assert classes == ("owl", "fox", "crab")
    assert set(splits) == {"train", "test"}
    for split, part in (("train", slice(0, 4)), ("test", slice(4, 5))):
        assert np.array_equal(splits[split][0].numpy(), pixels[part])
        assert splits[split][1].tolist() == labels[part].ravel().tolist()
    assert files_in(tmp_path) == [archive]


def test_the_last_label_byte_is_the_class(tmp_path):
    pixels, labels = random_bytes(2, 32, 32, 3), np.array([[1, 7], [0, 5]])
    members = {"a.bin": cifar_records(labels, pixels), "names.txt": b"owl"}
    write(tmp_path, {"a.tar.gz": tar_file(members)})
    splits, _ = read_cifar(tmp_path / "a.tar.gz", {"test": ("a.bin",)}, "names.txt", 2)
    assert splits["test"][1].tolist() == [7, 5]
    assert np.array_equal(splits["test"][0].numpy(), pixels)


def test_an_archive_that_is_not_the_one_expected_is_refused(tmp_path):
    records = cifar_records(np.array([[0], [1]]), random_bytes(2, 32, 32, 3))
    whole = tar_file({"a.bin": records, "names.txt": b"owl\nfox"})
    files = {
        "odd.tar.gz": tar_file({"a.bin": records[:-1], "names.txt": b"owl\nfox"}),
        "none.tar.gz": tar_file({"a.bin": records}),
        "cut.tar.gz": whole[:-100],
        "inside.tar.gz": gzip.compress(gzip.decompress(whole)[:3000]),
        "page.tar.gz": gzip.compress(b"<html>404</html>" * 100),
    }
    write(tmp_path, files)
    messages = {
        "odd.tar.gz": r"a\.bin in .*odd.tar.gz has 6145 bytes: .*of 3073 bytes",
        "none.tar.gz": r"none.tar.gz is not the archive expected: it has no names.txt",
        "cut.tar.gz": r"cut.tar.gz is truncated",
        "inside.tar.gz": r"inside.tar.gz is corrupt",
        "page.tar.gz": r"page.tar.gz is corrupt",
    }
    assert set(messages) == set(files)
    for name, message in messages.items():
        with pytest.raises(ValueError, match=message):
            read_cifar(tmp_path / name, {"train": ("a.bin",)}, "names.txt", 1)
