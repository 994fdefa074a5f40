"""Weights in and out: every layout both ways, tables resized, and files that must be refused."""

import pickle
import re
from pathlib import Path

import pytest
import torch
from small_model import assert_same_bits, bits, model

from swin_tutorial.weight_layouts import LAYOUTS
from swin_tutorial.weights import load_weights, resize_bias_table, save_weights

VERSIONS = (1, 2)
HEADS = {
    "official": ("head.weight", "head.bias"),
    "timm": ("head.fc.weight", "head.fc.bias"),
    "torchvision": ("head.weight", "head.bias"),
    "transformers": ("classifier.weight", "classifier.bias"),
}
DAMAGED = (
    r"read as weights: it is empty, damaged, cut short or not a \w+ file"
    r"|was refused: it is damaged, or"
)


def state_in(layout, source, folder):
    """The tensors that a layout's file holds, to be tampered with."""
    save_weights(source, folder / "state.pth", layout)
    state = torch.load(folder / "state.pth", weights_only=True)
    return state["model"] if layout == "official" else state


# There and back.


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_round_trip_is_exact_to_the_bit(layout, version, suffix, tmp_path):
    source, target = model(version), model(version, seed=1)
    source.norm.bias.data[0] = -0.0
    save_weights(source, tmp_path / f"weights{suffix}", layout)
    report = load_weights(target, tmp_path / f"weights{suffix}")
    assert_same_bits(bits(target), bits(source))
    assert report.layout == layout
    assert sorted(report.loaded) == sorted(source.state_dict())
    assert report.missing == report.left_out == report.resized == report.notes == ()
    assert str(report).startswith(f"{tmp_path / f'weights{suffix}'}, {layout} layout: loaded ")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", ["official", "timm", "transformers"])
def test_a_model_without_qkv_bias_makes_the_round_trip(layout, version, tmp_path):
    source, target = model(version, qkv_bias=False), model(version, seed=1, qkv_bias=False)
    save_weights(source, tmp_path / "weights.pth", layout)
    load_weights(target, tmp_path / "weights.pth")
    assert_same_bits(bits(target), bits(source))


def test_each_layout_has_its_names(tmp_path):
    source = model()
    ours = source.state_dict()
    merging, qkv = (
        ours["layers.0.downsample.reduction.weight"],
        ours["layers.1.blocks.2.attn.qkv.bias"],
    )
    timm = state_in("timm", source, tmp_path)
    assert torch.equal(timm["layers.1.downsample.reduction.weight"], merging)
    torchvision = state_in("torchvision", source, tmp_path)
    assert torch.equal(torchvision["features.2.reduction.weight"], merging)
    assert torch.equal(torchvision["features.3.2.attn.qkv.bias"], qkv)
    assert torch.equal(
        torchvision["features.3.2.mlp.3.bias"], ours["layers.1.blocks.2.mlp.fc2.bias"]
    )
    transformers = state_in("transformers", source, tmp_path)
    attention = "swin.encoder.layers.1.blocks.2.attention.self"
    assert torch.equal(transformers[f"{attention}.query.bias"], qkv[:16])
    assert torch.equal(transformers[f"{attention}.key.bias"], qkv[16:32])
    assert torch.equal(transformers[f"{attention}.value.bias"], qkv[32:])
    second = state_in("transformers", model(2), tmp_path)
    assert "swinv2.encoder.layers.0.blocks.0.attention.self.query.bias" in second
    assert "swinv2.encoder.layers.0.blocks.0.attention.self.key.bias" not in second


@pytest.mark.parametrize(
    ("layout", "version", "shapes"),
    [
        ("official", 2, {}),
        ("timm", 2, {}),
        ("torchvision", 1, {"index": (256,)}),
        ("torchvision", 2, {"index": (256,), "table": (1, 7, 7, 2)}),
        ("transformers", 1, {"index": (16, 16)}),  # versions before 5 miss it
        ("transformers", 2, {}),
    ],
)
def test_derived_buffers_are_written_for_the_readers_that_demand_them(
    layout, version, shapes, tmp_path
):
    state = state_in(layout, model(version), tmp_path)
    kinds = {"relative_position_index": "index", "relative_coords_table": "table"}
    found = [(kinds[n.split(".")[-1]], t) for n, t in state.items() if n.split(".")[-1] in kinds]
    assert {kind: tuple(tensor.shape) for kind, tensor in found} == shapes
    assert len(found) == 6 * len(shapes)


def test_nan_and_infinity_make_the_round_trip_and_are_named(tmp_path):
    source, target = model(), model(seed=1)
    source.norm.bias.data[:2] = torch.tensor([float("-inf"), float("nan")])
    save_weights(source, tmp_path / "weights.pth")
    report = load_weights(target, tmp_path / "weights.pth")
    assert_same_bits(bits(target), bits(source))
    assert report.notes == ("the file holds NaN or infinity in norm.bias",)


# Wrappers and older and newer names.


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "model."])
@pytest.mark.parametrize("nest", [(), ("model",), ("state_dict",), ("state_dict", "model")])
def test_wrappers_of_training_are_looked_through(nest, prefix, tmp_path):
    source, target = model(), model(seed=1)
    content = {prefix + name: tensor for name, tensor in source.state_dict().items()}
    for key in nest:
        content = {key: content, "epoch": 3, "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "weights.pth")
    load_weights(target, tmp_path / "weights.pth")
    assert_same_bits(bits(target), bits(source))


def test_names_that_transformers_5_has_in_memory(tmp_path):
    source, target = model(), model(seed=1)
    state = state_in("transformers", source, tmp_path)
    block = "swin.encoder.layers.0.blocks.0."
    for old, new in {
        "attention.self.query.": "attention.q_proj.",
        "attention.self.key.": "attention.k_proj.",
        "attention.self.value.": "attention.v_proj.",
        "attention.output.dense.": "attention.o_proj.",
        "attention.self.relative": "attention.relative_position_bias.relative",
        "intermediate.dense.": "mlp.fc1.",
        ".output.dense.": ".mlp.fc2.",
    }.items():
        state = {name.replace(old, new): tensor for name, tensor in state.items()}
    assert block + "attention.q_proj.weight" in state
    assert block + "mlp.fc2.bias" in state
    torch.save(state, tmp_path / "weights.pth")
    assert load_weights(target, tmp_path / "weights.pth").layout == "transformers"
    assert_same_bits(bits(target), bits(source))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_backbone_without_a_head_or_prefix_is_recognized(layout, tmp_path):
    source, target = model(), model(seed=1)
    head = bits(target)["head.weight"]
    state = state_in(layout, source, tmp_path)
    state = {n.removeprefix("swin."): t for n, t in state.items() if n not in HEADS[layout]}
    torch.save(state, tmp_path / "weights.pth")
    report = load_weights(target, tmp_path / "weights.pth")
    assert report.layout == layout
    assert report.missing == ("head.weight", "head.bias")
    assert torch.equal(bits(target)["head.weight"], head)
    assert torch.equal(target.norm.weight, source.norm.weight)


def test_derived_buffers_are_dropped_and_reported(tmp_path):
    state = model(2).state_dict()
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(4, 16, 16)
    state["layers.0.blocks.1.attn.relative_position_index"] = torch.zeros(16, 16).long()
    state["layers.0.blocks.1.attn.relative_coords_table"] = torch.zeros(1, 7, 7, 2)
    torch.save(state, tmp_path / "weights.pth")
    target = model(2, seed=1)
    report = load_weights(target, tmp_path / "weights.pth")
    assert len(report.recomputed) == 3
    assert "attn_mask" in str(report)
    image = torch.randn(1, 3, 40, 24)
    assert torch.equal(target(image), model(2)(image))


def test_a_key_bias_is_dropped_and_said_unless_it_is_zero(tmp_path):
    source, target = model(2), model(2, seed=1)
    state = state_in("torchvision", source, tmp_path)
    bias = state["features.1.0.attn.qkv.bias"]
    assert torch.equal(bias[8:16], torch.zeros(8))
    bias[9] = 0.25
    torch.save(state, tmp_path / "weights.pth")
    report = load_weights(target, tmp_path / "weights.pth")
    assert "key bias" in report.notes[0]
    assert_same_bits(bits(target), bits(source))


# Another window.


def table_of(values):
    """A bias table from an image per head, ``heads row column``."""
    return values.flatten(1).T.contiguous()


def test_a_table_of_the_same_window_is_left_alone():
    table = torch.randn(49, 3)
    assert torch.equal(resize_bias_table(table, 4), table)


@pytest.mark.parametrize("window_size", [2, 7, 12])
def test_a_constant_table_stays_constant_for_each_head(window_size):
    table = torch.tensor([0.5, -2.0, 3.0]).expand(49, 3)
    resized = resize_bias_table(table, window_size)
    assert resized.shape == ((2 * window_size - 1) ** 2, 3)
    torch.testing.assert_close(resized, table[:1].expand_as(resized))


def test_a_resized_table_keeps_rows_columns_and_heads_apart():
    down = torch.linspace(-1, 1, 7)[:, None].expand(7, 7)
    across = torch.linspace(-5, 5, 7)[None, :].expand(7, 7)
    resized = resize_bias_table(table_of(torch.stack([down, across])), 7)
    down, across = resized.T.reshape(2, 13, 13)
    assert (down.diff(dim=0) > 0).all()
    torch.testing.assert_close(down.diff(dim=1), torch.zeros(13, 12), rtol=0, atol=1e-6)
    assert (across.diff(dim=1) > 0).all()
    # Offset 0 stays in the middle.
    torch.testing.assert_close(resized[84], torch.zeros(2), rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_v1_tables_are_resized_to_the_window_of_each_stage(layout, tmp_path):
    source, target = model(), model(seed=1, window_sizes=(6, 6, 4))
    save_weights(source, tmp_path / "weights.pth", layout)
    report = load_weights(target, tmp_path / "weights.pth")
    assert len(report.resized) == 5
    assert "resized to this model's window" in str(report)
    name = "layers.1.blocks.2.attn.relative_position_bias_table"
    ours, theirs = target.state_dict(), source.state_dict()
    assert torch.equal(ours[name], resize_bias_table(theirs[name], 6))
    assert [
        n for n in ours if n not in report.resized and not torch.equal(ours[n], theirs[n])
    ] == []


def test_a_table_is_resized_to_a_window_that_is_not_square(tmp_path):
    down = torch.linspace(-1, 1, 7)[:, None].expand(7, 7)
    across = torch.linspace(-5, 5, 7)[None, :].expand(7, 7)
    resized = resize_bias_table(table_of(torch.stack([down, across])), (8, 2))
    down, across = resized.T.reshape(2, 15, 3)
    assert (down.diff(dim=0) > 0).all()
    torch.testing.assert_close(down.diff(dim=1), torch.zeros(15, 2), rtol=0, atol=1e-6)
    assert (across.diff(dim=1) > 0).all()
    source, target = model(), model(seed=1, window_size=(8, 2))
    save_weights(source, tmp_path / "weights.pth")
    assert len(load_weights(target, tmp_path / "weights.pth").resized) == 6
    name = "layers.0.blocks.1.attn.relative_position_bias_table"
    expected = resize_bias_table(source.state_dict()[name], (8, 2))
    assert torch.equal(target.state_dict()[name], expected)


@pytest.mark.parametrize(
    ("rows", "window_size"), [(48, 4), (36, 4), (0, 4), (49, (4,)), (49, (4, 4, 4))]
)
def test_only_a_square_windows_table_is_resized_and_only_to_two_axes(rows, window_size):
    message = re.escape(f"table of {rows} rows cannot be resized to window_size {window_size}")
    with pytest.raises(ValueError, match=message):
        resize_bias_table(torch.zeros(rows, 2), window_size)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_that_are_not_square_make_the_round_trip(layout, version, tmp_path):
    source, target = (model(version, seed, window_size=(4, 2)) for seed in (0, 1))
    save_weights(source, tmp_path / "weights.safetensors", layout)
    report = load_weights(target, tmp_path / "weights.safetensors")
    assert report.resized == report.notes == ()
    assert_same_bits(bits(target), bits(source))
    if version == 1:
        save_weights(source, tmp_path / "weights.pth", layout)
        refused(tmp_path / "weights.pth", r"\(21, 1\) in the file, as .* is \(49, 1\) in the model")


def test_v2_says_which_window_it_was_trained_with_on_each_axis(tmp_path):
    save_weights(model(2, window_size=(4, 2)), tmp_path / "weights.pth", "torchvision")
    report = load_weights(model(2, window_size=(4, 8)), tmp_path / "weights.pth")
    trained = "((4, 2), (4, 2), (4, 2))"
    assert f"windows of {trained} and" in report.notes[0]
    assert "scaled for ((4, 8), (4, 8), (4, 8)): " in report.notes[0]


def test_v2_needs_no_resizing_and_says_which_window_it_was_trained_with(tmp_path):
    source = model(2, window_sizes=(4, 4, 3))
    file = tmp_path / "weights.pth"
    save_weights(source, file, "torchvision")  # the layout whose files hold the coordinates
    target = model(2, seed=1, window_size=8)
    report = load_weights(target, file)
    assert report.resized == ()
    assert "pretrained_window_sizes=(4, 4, 3)" in report.notes[0]
    assert_same_bits(bits(target), bits(source))
    told = model(2, seed=1, window_size=8, pretrained_window_sizes=(4, 4, 3))
    assert load_weights(told, file).notes == ()
    # A larger window knows the bias of the smaller one at the offsets that both have.
    small = source.layers[0].blocks[0].attn.relative_position_bias()
    large = told.layers[0].blocks[0].attn.relative_position_bias()
    torch.testing.assert_close(large[:, 8 * 3 + 3, 0], small[:, 4 * 3 + 3, 0])


# Another head.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_head_for_other_classes_is_left_out(layout, version, tmp_path):
    source, target = model(version), model(version, seed=1, num_classes=7)
    before = bits(target)
    save_weights(source, tmp_path / "weights.pth", layout)
    report = load_weights(target, tmp_path / "weights.pth")
    assert report.missing == ("head.weight", "head.bias")
    assert report.left_out == HEADS[layout]
    expected = bits(source) | {name: before[name] for name in report.missing}
    assert_same_bits(bits(target), expected)
    assert "in the file and left out: " in str(report)


def test_a_model_without_a_head_leaves_the_files_head_out(tmp_path):
    save_weights(model(), tmp_path / "weights.pth")
    report = load_weights(model(seed=1, num_classes=0), tmp_path / "weights.pth")
    assert report.left_out == ("head.weight", "head.bias")
    assert report.missing == ()


# Files that must be refused, and leave the model as it was.


class Malicious:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (Path.touch, (self.target,))


def pickled(content, file):
    file.write_bytes(pickle.dumps(content, protocol=2))


def saved_as_before_torch_1_6(content, file):
    torch.save(content, file, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, saved_as_before_torch_1_6, pickled])
def test_a_malicious_pickle_is_refused_and_never_run(save, tmp_path):
    target, file, touched = model(), tmp_path / "weights.pth", tmp_path / "touched"
    before = bits(target)
    save({"extra": Malicious(touched), "model": target.state_dict()}, file)
    with pytest.raises(ValueError, match=r"was refused: .* could run any code") as error:
        load_weights(target, file)
    assert str(file) in str(error.value)
    assert not touched.exists()
    assert_same_bits(bits(target), before)
    # It would have run.
    pickle.loads(file.read_bytes()) if save is pickled else torch.load(file, weights_only=False)
    assert touched.exists()


def refused(file, match, version=1):
    target = model(version)
    before = bits(target)
    with pytest.raises(ValueError, match=match) as error:
        load_weights(target, file)
    assert str(file) in str(error.value)
    assert_same_bits(bits(target), before)
    return str(error.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0, 1, 30, 0.5, 0.999])
def test_a_file_cut_short_is_refused(kept, suffix, tmp_path):
    file = tmp_path / f"weights{suffix}"
    save_weights(model(seed=1), file)
    content = file.read_bytes()
    file.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    refused(file, DAMAGED)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_of_another_kind_is_refused(suffix, tmp_path):
    file = tmp_path / f"weights{suffix}"
    file.write_text("<html>404: not found</html>")
    refused(file, DAMAGED)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ([torch.zeros(2)], "holds no tensors by name"),
        ({}, "holds no tensors by name"),
        ({"model": torch.zeros(2), "epoch": 3}, r"more than tensors by name \(epoch\)"),
        ({"conv1.weight": torch.zeros(2)}, "no Swin Transformer in a layout known here.*conv1"),
        ({"features.0.0.weight": torch.zeros(2)}, "does not fit this model.*and 87 more"),
        ({"patch_embed.proj.weight": torch.tensor(1.0)}, "does not fit this model"),
    ],
)
def test_foreign_contents_are_refused(content, match, tmp_path):
    torch.save(content, tmp_path / "weights.pth")
    refused(tmp_path / "weights.pth", match)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "fields",
    [
        {"depths": (2, 4, 1)},
        {"depths": (2, 2, 1)},
        {"embed_dim": 16},
        {"num_heads": (2, 2, 4)},
        {"version": 2},
        {"patch_size": 2},
        {"in_chans": 1},
        {"mlp_ratio": 2.0},
        {"depths": (2, 3), "num_heads": (1, 2)},
    ],
    ids=str,
)
def test_another_models_weights_are_refused(fields, layout, tmp_path):
    save_weights(model(**fields), tmp_path / "weights.pth", layout)
    message = refused(tmp_path / "weights.pth", re.escape(f"({layout} layout, Swin V"))
    assert "Nothing was loaded; create the model that the file was made from" in message


@pytest.mark.parametrize(
    ("query", "key", "value"),
    [((8, 8), (7, 8), (8, 8)), ((9, 8), (7, 8), (8, 8)), ((8, 8), (8, 7), (8, 8)), ((), (), ())],
)
def test_parts_that_do_not_join_are_refused(query, key, value, tmp_path):
    state = state_in("transformers", model(), tmp_path)
    attention = "encoder.layers.0.blocks.0.attention.self"
    for name, shape in {"query": query, "key": key, "value": value}.items():
        state[f"swin.{attention}.{name}.weight"] = torch.zeros(shape)
    torch.save(state, tmp_path / "weights.pth")
    refused(tmp_path / "weights.pth", re.escape(f"{attention}.query.weight + {attention}.key.wei"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f"no file {tmp_path / 'none.pth'}")):
        load_weights(model(), tmp_path / "none.pth")


# Writing.


def test_an_unknown_layout_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="no layout 'keras': choose one of official, timm"):
        save_weights(model(), tmp_path / "weights.pth", "keras")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "writer"), [(".pth", "torch.save"), (".safetensors", "safetensors.torch.save_file")]
)
def test_a_save_that_breaks_off_leaves_the_old_file_and_nothing_else(
    suffix, writer, tmp_path, monkeypatch
):
    file = tmp_path / f"weights{suffix}"
    save_weights(model(), file)
    before = file.read_bytes()

    def full_disk(tensors, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(writer, full_disk)
    with pytest.raises(OSError, match="no space"):
        save_weights(model(seed=1), file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_a_reader_of_the_old_file_never_sees_the_new_one(tmp_path):
    file = tmp_path / "weights.pth"
    save_weights(model(), file)
    before = file.read_bytes()
    with file.open("rb") as reader:
        save_weights(model(seed=1), file)
        assert reader.read() == before
    assert file.read_bytes() != before
