"""idx files and CIFAR archives are read as they are, and anything else is refused by name."""

import gzip
import io
import struct
import tarfile
import threading
import tracemalloc

import numpy as np
import pytest
from data_files import cifar_records, files_in, idx_file, random_bytes, tar_file, write

from swin_tutorial.data.formats import TAR_OVERHEAD, read_cifar, read_gzip, read_idx, read_tar


def test_an_idx_file_gives_its_array(tmp_path):
    array = random_bytes(3, 2, 5)
    write(tmp_path, {"a.gz": idx_file(array)})
    assert np.array_equal(read_idx(tmp_path / "a.gz", (3, 2, 5)).numpy(), array)


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
            read_idx(tmp_path / name, (4, 2, 5))


def test_a_truncated_or_corrupt_gzip_file_is_named(tmp_path):
    whole = idx_file(random_bytes(50, 4, 6))
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # in the checksum
    scrambled = whole[:40] + bytes(80) + whole[120:]
    write(tmp_path, {"cut.gz": whole[:-9], "flip.gz": bytes(flipped), "bad.gz": scrambled})
    write(tmp_path, {"page.gz": b"<html>404</html>"})
    with pytest.raises(ValueError, match=r"cut\.gz is truncated"):
        read_gzip(tmp_path / "cut.gz", 10_000)
    for name in ("flip.gz", "bad.gz", "page.gz"):
        with pytest.raises(ValueError, match=f"{name} is corrupt"):
            read_gzip(tmp_path / name, 10_000)


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
    splits, classes = read_cifar(archive, split_files, "in/names.txt", 1, 5)
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
    splits, _ = read_cifar(tmp_path / "a.tar.gz", {"test": ("a.bin",)}, "names.txt", 2, 2)
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
            read_cifar(tmp_path / name, {"train": ("a.bin",)}, "names.txt", 1, 2)


# --- what unpacks to more than it should ---


@pytest.fixture
def unpacked_megabytes():
    """Return a function that calls another, which must fail, and returns the memory it took."""
    tracemalloc.start()

    def measure(function, *arguments, match):
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        with pytest.raises(ValueError, match=match):
            function(*arguments)
        return (tracemalloc.get_traced_memory()[1] - before) / 2**20

    yield measure
    tracemalloc.stop()


def zeros(megabytes):
    """Return a small gzip file that unpacks to many zeros."""
    file = io.BytesIO()
    with gzip.open(file, "wb", 1) as packed:
        for _ in range(megabytes):
            packed.write(bytes(2**20))
    return file.getvalue()


@pytest.fixture(scope="module")
def bomb():
    return zeros(100)


def test_a_gzip_file_is_unpacked_up_to_a_limit(tmp_path):
    write(tmp_path, {"a.gz": gzip.compress(bytes(1000))})
    assert len(read_gzip(tmp_path / "a.gz", 1000)) == 1000
    message = r"a\.gz unpacks to more than the 999 bytes expected$"
    with pytest.raises(ValueError, match=message):
        read_gzip(tmp_path / "a.gz", 999)


def test_a_bomb_is_not_unpacked(tmp_path, bomb, unpacked_megabytes):
    assert len(bomb) < 500_000
    # The second has its zeros in 100 files, one after the other.
    write(tmp_path, {"a.gz": bomb, "b.gz": zeros(1) * 100})
    limit = TAR_OVERHEAD + 2 * 3073
    for name in ("a.gz", "b.gz"):
        path = tmp_path / name
        for function, arguments in (
            (read_idx, [(60, 28, 28)]),
            (read_tar, [("names.txt",), limit]),
            (read_cifar, [{"test": ("a.bin",)}, "names.txt", 1, 2]),
        ):
            message = f"{name} unpacks to more than the .* bytes expected"
            assert unpacked_megabytes(function, path, *arguments, match=message) < 10


@pytest.mark.parametrize(
    "shape", [(4, 2, 5), (3, 3, 5), (3, 2, 6), (2**32 - 1,) * 3, (0, 2**32 - 1, 2**32 - 1)]
)
def test_an_idx_file_that_announces_too_much_is_refused(tmp_path, shape):
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, *shape)
    write(tmp_path, {"a.gz": gzip.compress(header + bytes(30))})
    with pytest.raises(
        ValueError, match=r"a\.gz announces an array of \(.*, larger than \(3, 2, 5"
    ):
        read_idx(tmp_path / "a.gz", (3, 2, 5))


def sparse_tar(size, style):
    """Return a tar file whose member ``a.bin`` announces a size and holds nothing."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("a.bin")
        if style == "pax":
            member.pax_headers = {"GNU.sparse.size": str(size), "GNU.sparse.map": f"{size},0"}
            tar.addfile(member)
        else:
            member.type = tarfile.GNUTYPE_SPARSE
            header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
            header[386:410] = b"%011o\0%011o\0" % (size, 0)  # where data lies: at the end, none
            header[483:495] = b"%011o\0" % size
            tar.fileobj.write(with_checksum(header))
        names = tarfile.TarInfo("names.txt")
        names.size = 3
        tar.addfile(names, io.BytesIO(b"owl"))
    return file.getvalue()


def with_checksum(header):
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("style", ["pax", "gnu"])
def test_a_sparse_member_is_not_unpacked(tmp_path, style, unpacked_megabytes):
    content = sparse_tar(50 * 2**20, style)
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert len(tar.extractfile("a.bin").read()) == 50 * 2**20
    write(tmp_path, {"a.tar.gz": gzip.compress(content)})
    message = r"a\.tar\.gz is not the archive expected: it has no a\.bin"
    names = ("a.bin", "names.txt")
    assert unpacked_megabytes(read_tar, tmp_path / "a.tar.gz", names, 10**6, match=message) < 10


def test_an_archive_that_leads_back_to_itself_ends(tmp_path):
    """tarfile of some versions of Python reads such a member again and again."""
    header = bytearray(tarfile.TarInfo("b.bin").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 4 + struct.pack(">q", -512)
    first = tarfile.TarInfo("a.bin").tobuf(tarfile.GNU_FORMAT)
    write(tmp_path, {"a.tar.gz": gzip.compress(first + with_checksum(header) + bytes(1024))})
    errors = []

    def read():
        try:
            read_tar(tmp_path / "a.tar.gz", ("a.bin", "c.bin"), 10_000)
        except ValueError as error:
            errors.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    assert len(errors) == 1
    assert f"{tmp_path / 'a.tar.gz'} is " in errors[0]


def test_a_damaged_archive_is_named(tmp_path):
    """With the checksums right, so that what is behind them is read."""
    whole = gzip.decompress(tar_file({"a.bin": bytes(700), "é" * 90: b"fox", "names.txt": b"owl"}))
    headers = [place for place in range(0, len(whole), 512) if whole[place + 257 :][:5] == b"ustar"]
    assert len(headers) >= 3
    rng, path, outcomes = np.random.default_rng(0), tmp_path / "a.tar.gz", []
    for _ in range(300):
        content = bytearray(whole)
        for place in rng.choice(headers, 2):
            first = place + rng.choice([0, 124, 156, 257, 345, 386])
            content[first + rng.integers(12)] = rng.choice([0, 0x80, 0xFF, 55, 76, 83, 120])
        for place in headers:
            content[place : place + 512] = with_checksum(content[place : place + 512])
        path.write_bytes(gzip.compress(bytes(content), 1))
        try:
            read_tar(path, ("a.bin", "names.txt"), 20_000)
            outcomes.append("read")
        except ValueError as error:
            outcomes.append("refused" if str(error).startswith(f"{path} is ") else str(error))
    assert set(outcomes) == {"read", "refused"}
