"""Published image sets: read as they are, found, fetched whole or not at all."""

import dataclasses
import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from datasets import archive, cifar_records, fashion_files, idx, numbered, served, write
from typer.testing import CliRunner

from swin_tutorial import data
from swin_tutorial.cli import app
from swin_tutorial.data import (
    IMAGE_SETS,
    LabelledImages,
    channel_statistics,
    fetch_images,
    find_images,
    load_images,
    read_cifar,
    read_gzip,
    read_idx,
)

FASHION = "fashion-mnist"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Let Fashion-MNIST be a set of 7 + 5 images; return a folder that has it, and nothing else."""
    small_set = dataclasses.replace(IMAGE_SETS[FASHION], sizes={"train": 7, "test": 5})
    monkeypatch.setitem(IMAGE_SETS, FASHION, small_set)
    monkeypatch.delenv("SWIN_TUTORIAL_DATA", raising=False)
    monkeypatch.setattr(data, "PROJECT_DATA", tmp_path / "project")
    monkeypatch.setattr(data, "DEBIAN_FOLDER", tmp_path / "debian")
    write(tmp_path / "whole" / FASHION, fashion_files())
    return tmp_path / "whole"


def published(monkeypatch, source, files):
    """Let Fashion-MNIST be published at an address, with the checksums of these files."""
    checksums = {
        f"{FASHION}/{name}": f"md5:{hashlib.md5(content).hexdigest()}"
        for name, content in files.items()
    }
    one = dataclasses.replace(IMAGE_SETS[FASHION], source=source, files=checksums)
    monkeypatch.setitem(IMAGE_SETS, FASHION, one)


# --- the bundled set ---


def test_the_bundled_set_is_balanced_and_small_and_in_the_datasheet():
    for split, count in (("train", 1500), ("test", 250)):
        images = load_images("fashion-mnist-subset", split)
        assert images.pixels.shape == (10 * count, 28, 28, 1)
        assert torch.bincount(images.labels).tolist() == [count] * 10
        assert len(images.classes) == 10
    datasheet = (data.data_folder() / "README.md").read_text("utf-8")
    files = [data.data_folder() / name for name in IMAGE_SETS["fashion-mnist-subset"].files]
    assert sum(file.stat().st_size for file in files) <= 8_000_000
    for file in files:
        assert file.name in datasheet
        assert hashlib.sha256(file.read_bytes()).hexdigest() in datasheet


@pytest.mark.skipif(find_images(FASHION) is None, reason="the full Fashion-MNIST is not here")
@pytest.mark.parametrize(("split", "count"), [("train", 1500), ("test", 250)])
def test_the_bundled_set_is_the_first_of_each_class_of_the_full_set(split, count):
    full, subset = load_images(FASHION, split), load_images("fashion-mnist-subset", split)
    assert full.classes == subset.classes
    one_hot = torch.nn.functional.one_hot(full.labels)
    place_in_class = (one_hot.cumsum(0) * one_hot).sum(1)
    first = place_in_class <= count
    assert torch.equal(full.labels[first], subset.labels)
    assert torch.equal(full.pixels[first], subset.pixels)


def test_test_images_are_normalised_as_the_training_images():
    train, test = (load_images("fashion-mnist-subset", split) for split in ("train", "test"))
    scaled = train.pixels.numpy() / 255
    assert train.mean == pytest.approx([scaled.mean()], rel=1e-12)
    assert train.std == pytest.approx([scaled.std()], rel=1e-12)
    assert (test.mean, test.std) == (train.mean, train.std)
    assert channel_statistics(test.pixels)[0] != train.mean


# --- formats ---


def test_an_idx_file_gives_its_array(tmp_path):
    array = numbered(3, 2, 5)
    write(tmp_path, {"a.gz": idx(array)})
    assert np.array_equal(read_idx(tmp_path / "a.gz", 3).numpy(), array)


def test_an_idx_file_that_is_another_is_refused(tmp_path):
    whole = gzip.decompress(idx(numbered(3, 2, 5)))
    files = {
        "magic.gz": gzip.compress(b"\x00\x00\x0d\x03" + whole[4:]),
        "labels.gz": idx(numbered(3)),
        "short.gz": gzip.compress(whole[:-1]),
        "long.gz": gzip.compress(whole + b"\x00"),
        "empty.gz": gzip.compress(b""),
        "header.gz": gzip.compress(whole[:10]),
    }
    write(tmp_path, files)
    refused = {
        "magic.gz": "no idx file of bytes in 3 dimensions: it begins with 00 00 0d 03 in place of "
        "00 00 08 03",
        "labels.gz": "begins with 00 00 08 01",
        "short.gz": "announces 30 bytes of data and holds 29",
        "long.gz": "announces 30 bytes of data and holds 31",
        "empty.gz": "no idx file",
        "header.gz": "no idx file",
    }
    for name, message in refused.items():
        with pytest.raises(ValueError, match=f"{name} .*{message}"):
            read_idx(tmp_path / name, 3)


def test_a_truncated_or_corrupt_gzip_file_is_named(tmp_path):
    whole = idx(numbered(50, 4, 6))
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


CIFAR_NAMES = b"owl\nfox\ncrab\n\n"


def test_a_cifar_archive_gives_its_images_and_writes_nothing(tmp_path):
    pixels, labels = numbered(5, 32, 32, 3), np.array([[2], [0], [1], [1], [2]])
    members = {
        "in/1.bin": cifar_records(labels[:2], pixels[:2]),
        "../outside.bin": b"evil",
        "in/2.bin": cifar_records(labels[2:], pixels[2:]),
        "in/names.txt": CIFAR_NAMES,
    }
    write(tmp_path / "here", {"a.tar.gz": archive(members)})
    path = tmp_path / "here" / "a.tar.gz"
    images = read_cifar(path, ("in/1.bin", "in/2.bin"), "in/names.txt", 1, 5)
    assert np.array_equal(images.pixels.numpy(), pixels)
    assert images.labels.tolist() == labels.ravel().tolist()
    assert images.classes == ("owl", "fox", "crab")
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


def test_cifar_100_takes_the_fine_label(tmp_path, monkeypatch):
    pixels, labels = numbered(4, 32, 32, 3), np.array([[1, 2], [0, 0], [1, 1], [0, 2]])
    members = {
        f"cifar-100-binary/{split}.bin": cifar_records(labels[part], pixels[part])
        for split, part in (("train", slice(0, 3)), ("test", slice(3, 4)))
    }
    members["cifar-100-binary/fine_label_names.txt"] = CIFAR_NAMES
    write(tmp_path, {"cifar-100-binary.tar.gz": archive(members)})
    small_set = dataclasses.replace(IMAGE_SETS["cifar100"], sizes={"train": 3, "test": 1})
    monkeypatch.setitem(IMAGE_SETS, "cifar100", small_set)
    train, test = (load_images("cifar100", split, tmp_path) for split in ("train", "test"))
    assert train.labels.tolist() == [2, 0, 1]
    assert test.labels.tolist() == [2]
    assert np.array_equal(test.pixels.numpy(), pixels[3:])
    assert len(test.mean) == 3
    assert test.mean == train.mean


def test_cifar_10_joins_five_batches_in_their_order(tmp_path, monkeypatch):
    pixels, labels = numbered(11, 32, 32, 3), np.arange(11)[:, None] % 3
    inner = "cifar-10-batches-bin"
    members = {
        f"{inner}/data_batch_{n}.bin": cifar_records(
            labels[2 * n - 2 : 2 * n], pixels[2 * n - 2 : 2 * n]
        )
        for n in (3, 1, 5, 2, 4)
    }
    members[f"{inner}/test_batch.bin"] = cifar_records(labels[10:], pixels[10:])
    members[f"{inner}/batches.meta.txt"] = CIFAR_NAMES
    write(tmp_path, {"cifar-10-binary.tar.gz": archive(members)})
    small_set = dataclasses.replace(IMAGE_SETS["cifar10"], sizes={"train": 10, "test": 1})
    monkeypatch.setitem(IMAGE_SETS, "cifar10", small_set)
    train = load_images("cifar10", "train", tmp_path)
    assert np.array_equal(train.pixels.numpy(), pixels[:10])
    assert train.labels.tolist() == labels[:10].ravel().tolist()
    assert load_images("cifar10", "test", tmp_path).labels.tolist() == [1]


def test_a_cifar_archive_that_is_another_is_refused(tmp_path):
    records = cifar_records(np.array([[0], [1]]), numbered(2, 32, 32, 3))
    names = {"names.txt": CIFAR_NAMES}
    whole = archive({"a.bin": records} | names)
    folder = archive({"a.bin": records})
    cut_inside = gzip.compress(gzip.decompress(whole)[:3000])
    write(
        tmp_path,
        {
            "odd.tar.gz": archive({"a.bin": records[:-1]} | names),
            "label.tar.gz": archive({"a.bin": b"\x03" + records[1:]} | names),
            "count.tar.gz": archive({"a.bin": records[:3073]} | names),
            "none.tar.gz": folder,
            "cut.tar.gz": whole[:-100],
            "inside.tar.gz": cut_inside,
            "page.tar.gz": gzip.compress(b"<html>404</html>" * 100),
        },
    )
    refused = {
        "odd": r"a\.bin in .*odd.tar.gz has 6145 bytes: .*of 3073 bytes",
        "label": r"label.tar.gz: label 3 is out of range: there are 3 classes",
        "count": r"count.tar.gz: 1 images in place of 2",
        "none": r"none.tar.gz is not the archive expected: it has no names.txt",
        "cut": r"cut.tar.gz is truncated",
        "inside": r"inside.tar.gz is corrupt",
        "page": r"page.tar.gz is corrupt",
    }
    for name, message in refused.items():
        with pytest.raises(ValueError, match=message):
            read_cifar(tmp_path / f"{name}.tar.gz", ("a.bin",), "names.txt", 1, 2)


# --- finding ---


def test_a_set_is_looked_for_in_one_place_after_the_other(small, monkeypatch, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"swin-tutorial data fetch fashion-mnist$"
    ) as caught:
        load_images(FASHION, "train")
    assert str(tmp_path / "project") in str(caught.value)
    assert str(tmp_path / "debian") in str(caught.value)

    monkeypatch.setattr(data, "DEBIAN_FOLDER", small)
    assert find_images(FASHION) == small
    (tmp_path / "project").mkdir()
    monkeypatch.setattr(data, "PROJECT_DATA", write(tmp_path / "project", {}))
    assert find_images(FASHION) == small
    write(tmp_path / "project" / FASHION, fashion_files())
    assert find_images(FASHION) == tmp_path / "project"
    monkeypatch.setenv("SWIN_TUTORIAL_DATA", str(tmp_path / "named"))
    assert find_images(FASHION) == tmp_path / "project"
    write(tmp_path / "named" / FASHION, fashion_files())
    assert find_images(FASHION) == tmp_path / "named"
    assert find_images(FASHION, small) == small
    # A folder that is given is the only one.
    with pytest.raises(FileNotFoundError, match=r"elsewhere; .*--folder .*elsewhere"):
        load_images(FASHION, "test", tmp_path / "elsewhere")


def test_a_set_of_which_a_file_is_missing_is_not_there(small):
    (small / FASHION / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find_images(FASHION, small) is None


def test_images_come_with_their_labels(small):
    train = load_images(FASHION, "train", small)
    assert np.array_equal(train.pixels[..., 0].numpy(), numbered(7, 4, 6))
    assert train.labels.tolist() == list(range(7))
    assert train.classes[5] == "Sandal"
    assert load_images(FASHION, "test", small).pixels.shape == (5, 4, 6, 1)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("images-idx3", idx(numbered(6, 4, 6)), "6 images but 7 labels"),
        ("labels-idx1", idx(np.full(7, 10, np.uint8)), "label 10 is out of range: .* 10 classes"),
        ("labels-idx1", idx(np.arange(7, dtype=np.uint8))[:-5], "truncated"),
    ],
    ids=["too few images", "a label too large", "cut off"],
)
def test_bad_files_are_named_with_the_remedy(small, file, content, message):
    (small / FASHION / f"train-{file}-ubyte.gz").write_bytes(content)
    remedy = f"run: swin-tutorial data fetch fashion-mnist --folder {small}$"
    with pytest.raises(ValueError, match=f"train-{file}-ubyte.gz.*{message}.*; {remedy}"):
        load_images(FASHION, "train", small)


def test_a_part_of_a_set_is_not_taken_for_the_set(small):
    write(small / FASHION, fashion_files(train=6))
    with pytest.raises(ValueError, match="6 images in place of 7; run: swin-tutorial data fetch"):
        load_images(FASHION, "train", small)


@pytest.mark.usefixtures("unchecked")
def test_bad_names_and_images_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"no image set 'mnist': choose one of \['fashion-mnist-sub"
    ):
        load_images("mnist", "train")
    with pytest.raises(ValueError, match="no split 'val': choose 'train' or 'test'"):
        load_images(FASHION, "val")
    with pytest.raises(FileNotFoundError, match=r"git checkout -- data$"):
        load_images("fashion-mnist-subset", "train", tmp_path)
    pixels = torch.zeros(2, 3, 4, 1, dtype=torch.uint8)
    with pytest.raises(ValueError, match="2 images but 3 labels"):
        LabelledImages(pixels, torch.zeros(3, dtype=torch.int64), ("a",))
    with pytest.raises(ValueError, match="label -1 is out of range"):
        LabelledImages(pixels, torch.tensor([0, -1]), ("a",))
    with pytest.raises(ValueError, match="no images"):
        LabelledImages(pixels[:0], torch.zeros(0, dtype=torch.int64), ("a",))


def test_a_channel_that_never_changes_is_divided_by_one():
    pixels = torch.tensor([[51, 0], [51, 255]], dtype=torch.uint8).view(2, 1, 1, 2)
    assert channel_statistics(pixels) == ((0.2, 0.5), (1.0, 0.5))


# --- fetching ---


def test_a_set_is_fetched_whole_and_what_is_there_is_kept(small, monkeypatch, tmp_path):
    files = fashion_files()
    with served(files) as address:
        published(monkeypatch, address, files)
        assert fetch_images(FASHION, tmp_path / "got", progress=False) == tmp_path / "got"
    for name, content in files.items():
        assert (tmp_path / "got" / FASHION / name).read_bytes() == content
    assert len(list((tmp_path / "got").rglob("*.*"))) == 4
    fetch_images(FASHION, tmp_path / "got", progress=False)  # nobody serves any more
    assert len(load_images(FASHION, "train", tmp_path / "got")) == 7


def test_a_corrupt_file_is_fetched_again(small, monkeypatch):
    files = fashion_files()
    bad = small / FASHION / "train-images-idx3-ubyte.gz"
    bad.write_bytes(b"bad")
    with served(files) as address:
        published(monkeypatch, address, files)
        fetch_images(FASHION, small, progress=False)
    assert bad.read_bytes() == files[bad.name]


def everything_in(folder):
    return [one for one in folder.rglob("*") if one.is_file()]


def test_a_wrong_checksum_keeps_nothing(small, monkeypatch, tmp_path):
    files = fashion_files()
    others = {name: content + b"\0" for name, content in files.items()}
    with served(others) as address:
        published(monkeypatch, address, files)
        with pytest.raises(
            ValueError, match=r"/train-images-idx3-ubyte.gz is not what it should be"
        ):
            fetch_images(FASHION, tmp_path / "got", progress=False)
        # Nor does it replace what is there, be it as wrong.
        old = small / FASHION / "train-images-idx3-ubyte.gz"
        old.write_bytes(b"old")
        with pytest.raises(ValueError, match="not kept"):
            fetch_images(FASHION, small, progress=False)
    assert everything_in(tmp_path / "got") == []
    assert old.read_bytes() == b"old"


def test_a_truncated_transfer_keeps_nothing(small, monkeypatch, tmp_path):
    files = fashion_files()
    with served(files, sent=20) as address:
        published(monkeypatch, address, files)
        with pytest.raises(
            ConnectionError, match=f"^{address}/.* could not be fetched.*by other means"
        ):
            fetch_images(FASHION, tmp_path / "got", progress=False)
    assert everything_in(tmp_path / "got") == []


def test_a_missing_file_and_a_silent_server_are_named(small, monkeypatch, tmp_path):
    with served({}) as address:
        published(monkeypatch, address, fashion_files())
        with pytest.raises(ConnectionError, match="could not be fetched: 404"):
            fetch_images(FASHION, tmp_path / "got", progress=False)
    with pytest.raises(ConnectionError, match=f"^{address}/train-images.* could not be fetched"):
        fetch_images(FASHION, tmp_path / "got", progress=False)


FETCH = """
import dataclasses, sys
from swin_tutorial import data
address, folder, files = sys.argv[1], sys.argv[2], eval(sys.argv[3])
one = dataclasses.replace(data.IMAGE_SETS["fashion-mnist"], source=address, files=files)
data.IMAGE_SETS["fashion-mnist"] = one
data.fetch_images("fashion-mnist", folder)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_is_never_taken_for_whole(small, monkeypatch, tmp_path, how):
    files, got = fashion_files(train=4000, test=5), tmp_path / "got"
    with served(files, sent=70_000, stalls=True) as address:
        published(monkeypatch, address, files)
        process = subprocess.Popen(
            [sys.executable, "-c", FETCH, address, got, repr(IMAGE_SETS[FASHION].files)],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while sum(one.stat().st_size for one in everything_in(got)) < 65_536:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, how)
        assert process.wait(30) != 0
    assert find_images(FASHION, got) is None
    assert not {one.name for one in everything_in(got)} & set(files)
    if how is signal.SIGINT:
        assert everything_in(got) == []
    with served(files) as address:
        published(monkeypatch, address, files)
        fetch_images(FASHION, got, progress=False)
    assert find_images(FASHION, got) == got
    path = got / FASHION / "train-images-idx3-ubyte.gz"
    assert path.read_bytes() == files[path.name]


def test_every_set_names_a_published_checksum_or_is_bundled():
    for name, image_set in IMAGE_SETS.items():
        bundled = name == "fashion-mnist-subset"
        assert bool(image_set.source) != bundled
        for checksum in image_set.files.values():
            assert checksum == "" if bundled else len(checksum) == len("md5:") + 32


# --- the command ---


def test_the_command_fetches_and_lists(small, monkeypatch, tmp_path):
    files = fashion_files()
    run = CliRunner()
    listed = run.invoke(app, ["data", "list"]).output
    assert "not here; to get it: swin-tutorial data fetch fashion-mnist\n" in listed
    with served(files) as address:
        published(monkeypatch, address, files)
        monkeypatch.setattr(data, "data_folder", lambda: tmp_path / "project")
        result = run.invoke(app, ["data", "fetch", FASHION])
    assert result.exit_code == 0, result.output
    assert f"fashion-mnist is whole, in {tmp_path / 'project'}" in result.output
    line = next(
        one for one in run.invoke(app, ["data", "list"]).output.splitlines() if "7 + 5" in one
    )
    assert line.endswith(str(tmp_path / "project"))


def test_the_command_says_what_went_wrong_in_one_line():
    result = CliRunner().invoke(app, ["data", "fetch", "fashion-mnist-subset"])
    assert result.exit_code == 1
    assert result.output.startswith("error: fashion-mnist-subset is bundled and not fetched")
    assert "Traceback" not in result.output
