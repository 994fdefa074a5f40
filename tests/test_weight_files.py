"""Files of weights: what is in them is checked, and what is wrong with them is what is said."""

import errno
import os
import stat
import zipfile

import pytest
import torch
from small_model import assert_same_bits, bits, model

from swin_tutorial.weights import load_weights, save_weights

SUFFIXES = (".pth", ".safetensors")


def refused(content, file, words):
    """The content is refused in these words, and the model is as before."""
    torch.save(content, file)
    target = model()
    before = bits(target)
    with pytest.raises(ValueError, match=words) as error:
        load_weights(target, file)
    assert str(file) in str(error.value)
    assert_same_bits(bits(target), before)


# What a file may hold.


def holding_itself(depth):
    content = innermost = {}
    for _ in range(depth):
        innermost["model"] = innermost = {}
    innermost["state_dict"] = content
    return content


def nested(content, times):
    return nested({"model": content}, times - 1) if times else content


@pytest.mark.parametrize(
    "content",
    [
        holding_itself(0),
        holding_itself(1),
        holding_itself(7),
        nested(model().state_dict(), 50),
    ],
    ids=["itself", "itself in a model", "itself deep inside", "deep"],
)
def test_wrappings_without_an_end_are_refused(content, tmp_path):
    refused(content, tmp_path / "weights.pth", "more than tensors by name")


@pytest.mark.parametrize("name", [0, None, ("a", 1), b"norm.weight", 1.5, True])
def test_names_that_are_no_names_are_refused(name, tmp_path):
    content = {**model().state_dict(), name: torch.zeros(2)}
    refused(content, tmp_path / "weights.pth", "holds more than tensors by name")


FLAWS = {
    "sparse_coo tensor": lambda tensor: tensor.to_sparse(),
    "sparse_csr tensor": lambda tensor: tensor.view(1, -1).to_sparse_csr(),
    "on the meta device": lambda tensor: tensor.to("meta"),
    "holds torch.qint8": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    **{
        f"holds torch.{dtype}": lambda tensor, dtype=dtype: tensor.to(getattr(torch, dtype))
        for dtype in ("bool", "int8", "uint8", "int16", "int64", "complex64", "complex128")
    },
}


@pytest.mark.parametrize("words", FLAWS)
@pytest.mark.parametrize(
    "name", ["patch_embed.proj.bias", "norm.weight", "layers.1.blocks.0.mlp.fc2.bias"]
)
def test_tensors_that_are_no_weights_are_refused_by_name(name, words, tmp_path):
    """The model would be filled up to there, or take 0 and 1, or the real parts."""
    content = model(seed=1).state_dict()
    content[name] = FLAWS[words](content[name])
    refused(content, tmp_path / "weights.pth", f"no weights: {name} .*{words}")


@pytest.mark.parametrize("other", ["module.", "_orig_mod.", "model.", "swin.", "module.model."])
@pytest.mark.parametrize("other_first", [True, False])
def test_two_tensors_for_one_name_are_refused(other, other_first, tmp_path):
    state = model(seed=1).state_dict()
    twice = {f"{other}norm.weight": state["norm.weight"] + 1}
    content = twice | state if other_first else state | twice
    refused(content, tmp_path / "weights.pth", "holds norm.weight twice")


def test_two_tensors_for_one_name_of_transformers_are_refused(tmp_path):
    save_weights(model(seed=1), tmp_path / "weights.pth", "transformers")
    content = torch.load(tmp_path / "weights.pth")
    block = "swin.encoder.layers.0.blocks.0.attention."
    content[f"{block}q_proj.weight"] = content[f"{block}self.query.weight"] + 1
    refused(content, tmp_path / "weights.pth", "query.weight twice")


def test_numbers_too_large_for_the_model_are_refused(tmp_path):
    content = model(seed=1).double().state_dict()
    content["norm.weight"][3] = 1e300
    refused(content, tmp_path / "weights.pth", r"norm.weight: .* too large for torch.float32")


@pytest.mark.parametrize(
    "coordinates",
    [
        torch.zeros(1, 7, 7, 2, device="meta"),
        torch.zeros(1, 7, 7, 2).to_sparse(),
        torch.full((1, 7, 7, 2), torch.nan),
        torch.full((1, 7, 7, 2), 1e30),
        torch.ones(1, 7, 7, 1),
        torch.zeros(1, 0, 0, 2),
        torch.ones(1, 7, 7, 2).bool(),
        torch.zeros(3),
    ],
)
def test_what_the_model_computes_for_itself_may_be_anything(coordinates, tmp_path):
    source, target = model(2), model(2, seed=1)
    content = source.state_dict()
    for stage in range(3):
        content[f"layers.{stage}.blocks.0.attn.relative_coords_table"] = coordinates
    torch.save(content, tmp_path / "weights.pth")
    assert load_weights(target, tmp_path / "weights.pth").notes == ()
    assert_same_bits(bits(target), bits(source))


# Reading.


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EIO, "Input/output error"),
        OSError(errno.EMFILE, "Too many open files"),
        MemoryError(),
    ],
    ids=str,
)
def test_trouble_of_the_machine_is_not_blamed_on_the_file(error, suffix, tmp_path, monkeypatch):
    file = tmp_path / f"weights{suffix}"
    save_weights(model(), file)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("torch.load", fail)
    monkeypatch.setattr("safetensors.torch.load_file", fail)
    with pytest.raises(type(error)) as raised:
        load_weights(model(seed=1), file)
    assert raised.value is error


def test_a_file_that_unpacks_to_more_than_it_is_is_refused(tmp_path):
    """40 kB could fill the memory with gigabytes: PyTorch reads compressed archives too."""
    torch.save({**model().state_dict(), "zeros": torch.zeros(1_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for item in plain.infolist():
            bomb.writestr(item, plain.read(item), zipfile.ZIP_DEFLATED)
    assert torch.load(tmp_path / "bomb.pth")["zeros"].shape == (1_000_000,)
    with pytest.raises(ValueError, match=r"bomb.pth is compressed and unpacks to 4\d{6} bytes"):
        load_weights(model(), tmp_path / "bomb.pth")


# Writing.


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_a_file_gets_ordinary_permissions(mask, suffix, tmp_path):
    before = os.umask(mask)
    try:
        save_weights(model(), tmp_path / f"weights{suffix}")
        (tmp_path / "ordinary").touch()
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in (f"weights{suffix}", "ordinary")]
    assert modes == [0o666 & ~mask] * 2


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_link_stays_and_what_it_points_to_is_written(suffix, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    file, link = tmp_path / "elsewhere" / f"weights{suffix}", tmp_path / f"link{suffix}"
    link.symlink_to(file)
    save_weights(model(), link)
    assert link.is_symlink()
    load_weights(model(seed=1), file)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_place_where_no_file_can_be_is_named(suffix, tmp_path):
    folder = tmp_path / f"folder{suffix}"
    folder.mkdir()
    with pytest.raises(FileExistsError, match=f"{folder} is a folder or a device: name a file"):
        save_weights(model(), folder)
    with pytest.raises(FileNotFoundError, match=f"no folder {tmp_path / 'none'} for weights"):
        save_weights(model(), tmp_path / "none" / f"weights{suffix}")
    assert list(tmp_path.iterdir()) == [folder]
    assert list(folder.iterdir()) == []


def test_what_is_not_a_regular_file_is_not_replaced(tmp_path):
    """A user who may replace anything would lose /dev/null."""
    pipe = tmp_path / "weights.pth"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match=f"{pipe} is a folder or a device"):
        save_weights(model(), pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def flip_a_bit(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[: len(content) // 2], lambda content: content[:-1], flip_a_bit],
)
def test_a_small_file_that_is_damaged_is_named(damage, tmp_path):
    """PyTorch reports a small file that is cut short as an error of the disk, a bit not at all."""
    small = model()
    file = tmp_path / "weights.pth"
    torch.save(small.state_dict(), file)
    file.write_bytes(damage(file.read_bytes()))
    before = bits(small)
    with pytest.raises(ValueError, match=f"{file} .*damaged, cut short or not a PyTorch file"):
        load_weights(small, file)
    assert_same_bits(bits(small), before)
