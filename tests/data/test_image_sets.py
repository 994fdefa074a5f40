"""Published image sets: found, loaded once, fetched whole or not at all."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from data_files import (
    cifar_records,
    fashion_files,
    files_in,
    idx_file,
    random_bytes,
    served,
    tar_file,
    write,
)

from swin_tutorial import cli
from swin_tutorial.data import formats, image_sets, paths
from swin_tutorial.data.image_sets import IMAGE_SETS, fetch_images, find_images, load_images
from swin_tutorial.data.labelled import channel_statistics

FASHION = "fashion-mnist"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Make Fashion-MNIST a set of 7 + 5 images; return the only folder that has it."""
    small_set = dataclasses.replace(IMAGE_SETS[FASHION], sizes={"train": 7, "test": 5})
    monkeypatch.setitem(IMAGE_SETS, FASHION, small_set)
    monkeypatch.delenv("SWIN_TUTORIAL_DATA", raising=False)
    monkeypatch.setattr(paths, "PROJECT_DATA", tmp_path / "project")
    monkeypatch.setattr(image_sets, "DEBIAN_FOLDER", tmp_path / "debian")
    write(tmp_path / "whole" / FASHION, fashion_files())
    return tmp_path / "whole"


def publish(monkeypatch, url, files):
    """Have Fashion-MNIST published at an address, with the checksums of these files."""
    checksums = {
        f"{FASHION}/{name}": f"md5:{hashlib.md5(content).hexdigest()}"
        for name, content in files.items()
    }
    published = dataclasses.replace(IMAGE_SETS[FASHION], url=url, files=checksums)
    monkeypatch.setitem(IMAGE_SETS, FASHION, published)


# --- the bundled set ---


def test_the_bundled_set_is_balanced_and_small_and_in_the_datasheet():
    for split, count in (("train", 1500), ("test", 250)):
        images = load_images("fashion-mnist-subset", split)
        assert images.pixels.shape == (10 * count, 28, 28, 1)
        assert torch.bincount(images.labels).tolist() == [count] * 10
        assert len(images.classes) == 10
    datasheet = (paths.data_folder() / "README.md").read_text("utf-8")
    files = [paths.data_folder() / name for name in IMAGE_SETS["fashion-mnist-subset"].files]
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
    is_first = place_in_class <= count
    assert torch.equal(full.labels[is_first], subset.labels)
    assert torch.equal(full.pixels[is_first], subset.pixels)


def test_test_images_are_normalized_like_the_training_images():
    train, test = (load_images("fashion-mnist-subset", split) for split in ("train", "test"))
    scaled = train.pixels.numpy() / 255
    assert train.mean == pytest.approx([scaled.mean()], rel=1e-12)
    assert train.std == pytest.approx([scaled.std()], rel=1e-12)
    assert (test.mean, test.std) == (train.mean, train.std)
    assert channel_statistics(test.pixels)[0] != train.mean


# --- CIFAR ---


def small_cifar(monkeypatch, tmp_path, name, members, sizes):
    """Write a CIFAR archive of a few images, and have the set announce that many."""
    write(tmp_path, {IMAGE_SETS[name].files.copy().popitem()[0]: tar_file(members)})
    monkeypatch.setitem(IMAGE_SETS, name, dataclasses.replace(IMAGE_SETS[name], sizes=sizes))


def test_cifar_100_has_the_fine_labels(tmp_path, monkeypatch):
    pixels, labels = random_bytes(4, 32, 32, 3), np.array([[1, 2], [0, 0], [1, 1], [0, 2]])
    members = {
        f"cifar-100-binary/{split}.bin": cifar_records(labels[part], pixels[part])
        for split, part in (("train", slice(0, 3)), ("test", slice(3, 4)))
    }
    members["cifar-100-binary/fine_label_names.txt"] = b"owl\nfox\ncrab\n\n"
    small_cifar(monkeypatch, tmp_path, "cifar100", members, {"train": 3, "test": 1})
    train, test = (load_images("cifar100", split, tmp_path) for split in ("train", "test"))
    assert train.labels.tolist() == [2, 0, 1]
    assert test.labels.tolist() == [2]
    assert test.classes == ("owl", "fox", "crab")
    assert np.array_equal(test.pixels.numpy(), pixels[3:])
    assert len(test.mean) == 3
    assert test.mean == train.mean


def test_cifar_10_joins_five_batches_in_order(tmp_path, monkeypatch):
    pixels, labels = random_bytes(11, 32, 32, 3), np.arange(11)[:, None] % 3
    top = "cifar-10-batches-bin"
    members = {
        f"{top}/data_batch_{n}.bin": cifar_records(
            labels[2 * n - 2 : 2 * n], pixels[2 * n - 2 : 2 * n]
        )
        for n in (3, 1, 5, 2, 4)
    }
    members[f"{top}/test_batch.bin"] = cifar_records(labels[10:], pixels[10:])
    members[f"{top}/batches.meta.txt"] = b"owl\nfox\ncrab\n\n"
    small_cifar(monkeypatch, tmp_path, "cifar10", members, {"train": 10, "test": 1})
    train = load_images("cifar10", "train", tmp_path)
    assert np.array_equal(train.pixels.numpy(), pixels[:10])
    assert train.labels.tolist() == labels[:10].ravel().tolist()
    assert load_images("cifar10", "test", tmp_path).labels.tolist() == [1]


# --- finding and loading ---


def test_places_are_searched_in_order(small, monkeypatch, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"swin-tutorial data fetch fashion-mnist$"
    ) as caught:
        load_images(FASHION, "train")
    assert str(tmp_path / "project") in str(caught.value)
    assert str(tmp_path / "debian") in str(caught.value)

    monkeypatch.setattr(image_sets, "DEBIAN_FOLDER", small)
    assert find_images(FASHION) == small
    (tmp_path / "project").mkdir()
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


def test_a_set_that_lacks_a_file_is_not_found(small):
    (small / FASHION / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find_images(FASHION, small) is None


def test_images_come_with_their_labels(small):
    train = load_images(FASHION, "train", small)
    assert np.array_equal(train.pixels[..., 0].numpy(), random_bytes(7, 4, 6))
    assert train.labels.tolist() == list(range(7))
    assert train.classes[5] == "Sandal"
    assert load_images(FASHION, "test", small).pixels.shape == (5, 4, 6, 1)


def count_reads(monkeypatch):
    """Return a list that grows by the name of each file that is read."""
    names, original = [], formats.read_gzip
    monkeypatch.setattr(
        formats,
        "read_gzip",
        lambda path, max_bytes: names.append(path.name) or original(path, max_bytes),
    )
    return names


def test_each_file_is_read_once_until_it_changes(small, monkeypatch):
    names = count_reads(monkeypatch)
    first = [load_images(FASHION, split, small) for split in ("test", "train", "test")]
    assert sorted(names) == sorted(fashion_files())
    # A relative path names the same files.
    monkeypatch.chdir(small)
    again = load_images(FASHION, "train", paths.Path())
    assert len(names) == 4
    assert again.pixels is first[1].pixels

    images = small / FASHION / "train-images-idx3-ubyte.gz"
    images.write_bytes(idx_file(255 - random_bytes(7, 4, 6)))
    os.utime(images, ns=(0, 0))
    changed = load_images(FASHION, "train", small)
    assert torch.equal(changed.pixels, 255 - first[1].pixels)
    assert load_images(FASHION, "test", small).mean == changed.mean != first[1].mean


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "images-idx3",
            idx_file(random_bytes(6, 4, 6)),
            "train split in {}.* 6 images but 7 labels",
        ),
        (
            "labels-idx1",
            idx_file(np.full(7, 10, np.uint8)),
            "train split .*label 10 is .* 10 classes",
        ),
        ("labels-idx1", idx_file(np.arange(7, dtype=np.uint8))[:-5], "{}/.*labels.* is truncated"),
    ],
    ids=["too few images", "a label too large", "cut off"],
)
def test_bad_files_are_named_with_the_remedy(small, file, content, message):
    (small / FASHION / f"train-{file}-ubyte.gz").write_bytes(content)
    remedy = f"run: swin-tutorial data fetch fashion-mnist --folder {small}$"
    message = f"^fashion-mnist: .*{message.format(small)}.*; {remedy}"
    for _ in range(2):  # the second time too: no half-read set is kept
        with pytest.raises(ValueError, match=message):
            load_images(FASHION, "train", small)


@pytest.mark.parametrize(("train", "test"), [(6, 5), (7, 4)])
def test_a_part_of_a_set_is_not_taken_for_the_set(small, train, test):
    write(small / FASHION, fashion_files(train, test))
    split, found, size = ("train", 6, 7) if train == 6 else ("test", 4, 5)
    message = (
        f"the {split} split .* {found} images instead of {size}; run: swin-tutorial data fetch"
    )
    with pytest.raises(ValueError, match=message):
        load_images(FASHION, "train", small)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_name_or_split_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"no image set 'mnist': choose one of \['fashion-mnist-sub"
    ):
        load_images("mnist", "train")
    with pytest.raises(ValueError, match="no split 'val': choose 'train' or 'test'"):
        load_images(FASHION, "val")
    with pytest.raises(FileNotFoundError, match=r"git checkout -- data$"):
        load_images("fashion-mnist-subset", "train", tmp_path)


# --- fetching ---


def test_a_set_is_fetched_whole_and_what_is_there_is_kept(small, monkeypatch, tmp_path):
    files = fashion_files()
    with served(files) as address:
        publish(monkeypatch, address, files)
        assert fetch_images(FASHION, tmp_path / "got", progress=False) == tmp_path / "got"
    for name, content in files.items():
        assert (tmp_path / "got" / FASHION / name).read_bytes() == content
    assert len(list((tmp_path / "got").rglob("*.*"))) == 4
    fetch_images(FASHION, tmp_path / "got", progress=False)  # the server is gone
    assert len(load_images(FASHION, "train", tmp_path / "got")) == 7


def test_a_corrupt_file_is_fetched_again(small, monkeypatch):
    files = fashion_files()
    bad = small / FASHION / "train-images-idx3-ubyte.gz"
    bad.write_bytes(b"bad")
    with served(files) as address:
        publish(monkeypatch, address, files)
        fetch_images(FASHION, small, progress=False)
    assert bad.read_bytes() == files[bad.name]


def test_a_wrong_checksum_keeps_nothing(small, monkeypatch, tmp_path):
    files = fashion_files()
    others = {name: content + b"\0" for name, content in files.items()}
    with served(others) as address:
        publish(monkeypatch, address, files)
        with pytest.raises(
            ValueError, match=r"/train-images-idx3-ubyte.gz is not what it should be"
        ):
            fetch_images(FASHION, tmp_path / "got", progress=False)
        # A file that is there is not replaced, though it is wrong too.
        old = small / FASHION / "train-images-idx3-ubyte.gz"
        old.write_bytes(b"old")
        with pytest.raises(ValueError, match="not kept"):
            fetch_images(FASHION, small, progress=False)
    assert files_in(tmp_path / "got") == []
    assert old.read_bytes() == b"old"


def test_a_truncated_transfer_keeps_nothing(small, monkeypatch, tmp_path):
    files = fashion_files()
    with served(files, sent_bytes=20) as address:
        publish(monkeypatch, address, files)
        with pytest.raises(
            ConnectionError, match=f"^{address}/.* could not be fetched.*by other means"
        ):
            fetch_images(FASHION, tmp_path / "got", progress=False)
    assert files_in(tmp_path / "got") == []


def test_a_missing_file_and_a_silent_server_are_named(small, monkeypatch, tmp_path):
    with served({}) as address:
        publish(monkeypatch, address, fashion_files())
        with pytest.raises(ConnectionError, match="could not be fetched: 404"):
            fetch_images(FASHION, tmp_path / "got", progress=False)
    with pytest.raises(ConnectionError, match=f"^{address}/train-images.* could not be fetched"):
        fetch_images(FASHION, tmp_path / "got", progress=False)


FETCH = """
import dataclasses, sys
from swin_tutorial.data.image_sets import IMAGE_SETS, fetch_images
address, folder, files = sys.argv[1], sys.argv[2], eval(sys.argv[3])
published = dataclasses.replace(IMAGE_SETS["fashion-mnist"], url=address, files=files)
IMAGE_SETS["fashion-mnist"] = published
fetch_images("fashion-mnist", folder)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_is_never_taken_for_whole(small, monkeypatch, tmp_path, how):
    files, got = fashion_files(train=4000, test=5), tmp_path / "got"
    with served(files, sent_bytes=70_000, stalls=True) as address:
        publish(monkeypatch, address, files)
        process = subprocess.Popen(
            [sys.executable, "-c", FETCH, address, got, repr(IMAGE_SETS[FASHION].files)],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while sum(file.stat().st_size for file in files_in(got)) < 65_536:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid, how)
        assert process.wait(30) != 0
    assert find_images(FASHION, got) is None
    assert not {file.name for file in files_in(got)} & set(files)
    if how is signal.SIGINT:
        assert files_in(got) == []
    with served(files) as address:
        publish(monkeypatch, address, files)
        fetch_images(FASHION, got, progress=False)
    assert find_images(FASHION, got) == got
    path = got / FASHION / "train-images-idx3-ubyte.gz"
    assert path.read_bytes() == files[path.name]


def test_every_set_names_a_published_checksum_or_is_bundled():
    for name, image_set in IMAGE_SETS.items():
        bundled = name == "fashion-mnist-subset"
        assert bool(image_set.url) != bundled
        for checksum in image_set.files.values():
            assert checksum == "" if bundled else len(checksum) == len("md5:") + 32


# --- the command ---


def test_the_command_fetches_and_lists(small, monkeypatch, tmp_path, capsys):
    files, project = fashion_files(), tmp_path / "project"
    project.mkdir()
    cli.main(["data", "list"])
    hint = "not here; to get it: swin-tutorial data fetch fashion-mnist\n"
    assert hint in capsys.readouterr().out
    with served(files) as address:
        publish(monkeypatch, address, files)
        cli.main(["data", "fetch", FASHION])
    assert f"fashion-mnist is whole, in {project}\n" in capsys.readouterr().out
    cli.main(["data", "list"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "7 + 5" in line]
    assert len(lines) == 1
    assert lines[0].endswith(str(project))


def test_the_command_says_what_went_wrong_in_one_line(capsys):
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "fetch", "fashion-mnist-subset"])
    error = capsys.readouterr().err
    assert error.startswith("error: fashion-mnist-subset comes with the project")
    assert error.count("\n") == 1
