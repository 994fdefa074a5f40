"""Models in the wrappings of training, models that are none, and all of the weights or none."""

import pytest
import torch
from small_model import assert_same_bits, bits, model
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import distribute_tensor
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

from swin_tutorial.weight_layouts import LAYOUTS
from swin_tutorial.weights import load_weights, save_weights


@pytest.fixture
def one_process(tmp_path):
    """A group of one process, for the wrappers that need one."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


# Wrappers.

distributed = nn.parallel.DistributedDataParallel
WRAPPERS = {
    "compiled": torch.compile,
    "data parallel": nn.DataParallel,
    "distributed": distributed,
    "compiled in distributed": lambda one: distributed(torch.compile(one)),
    "distributed in compiled": lambda one: torch.compile(distributed(one)),
    "averaged": AveragedModel,
}


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wrapped_model_writes_and_takes_the_weights_of_the_model_inside(layout, wrap, tmp_path):
    source, target = model(), wrap(model(seed=1))
    save_weights(source, tmp_path / "plain.safetensors", layout)
    save_weights(wrap(source), tmp_path / "wrapped.safetensors", layout)
    plain, wrapped = ((tmp_path / f"{n}.safetensors").read_bytes() for n in ("plain", "wrapped"))
    assert wrapped == plain
    load_weights(target, tmp_path / "plain.safetensors")
    found = {n: one for n, one in target.state_dict().items() if n != "n_averaged"}
    for one, expected in zip(found.values(), source.state_dict().values(), strict=True):
        assert torch.equal(one, expected)


def compile_a_block(one):
    one.layers[0].blocks[1] = torch.compile(one.layers[0].blocks[1])


def adapt(one):
    one.layers[0].blocks[1].mlp.fc1 = nn.Sequential(one.layers[0].blocks[1].mlp.fc1)


def distribute_a_parameter(one):
    mesh = init_device_mesh("cpu", (1,))
    one.norm.weight = nn.Parameter(distribute_tensor(one.norm.weight.data, mesh))


CHANGES = {
    "its configuration": [
        compile_a_block,
        adapt,
        lambda one: prune.l1_unstructured(one.head, "weight", amount=0.5),
        lambda one: parametrizations.weight_norm(one.layers[0].blocks[0].mlp.fc1),
        lambda one: one.register_buffer("steps", torch.zeros(1)),
        lambda one: one.norm.register_parameter("bias", None),
        lambda one: setattr(one.layers[0].blocks[0].mlp, "fc1", nn.Linear(one.config.embed_dim, 5)),
    ],
    "no weights: .*norm.weight": [
        lambda one: setattr(one.norm, "weight", nn.Parameter(one.norm.weight.to("meta"))),
        distribute_a_parameter,
    ],
}


@pytest.mark.usefixtures("one_process")
@pytest.mark.parametrize(
    ("change", "words"), [(change, words) for words, many in CHANGES.items() for change in many]
)
def test_a_model_whose_modules_were_changed_is_neither_saved_nor_filled(change, words, tmp_path):
    save_weights(model(seed=1), tmp_path / "weights.pth", "timm")
    before = sorted(tmp_path.iterdir())
    changed = model()
    change(changed)
    with pytest.raises(ValueError, match=words):
        save_weights(changed, tmp_path / "changed.safetensors", "timm")
    with pytest.raises(ValueError, match=words):
        load_weights(changed, tmp_path / "weights.pth")
    assert torch.equal(changed.patch_embed.proj.weight, model().patch_embed.proj.weight)
    assert sorted(tmp_path.iterdir()) == before


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.module = model()  # named as a wrapper names it


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("other", [nn.Linear(2, 3), Holder(), model().layers, None, {}, "swin"])
def test_what_is_no_model_of_this_package_is_refused(other, tmp_path):
    words = f"the model is a {type(other).__name__} and no SwinTransformer"
    with pytest.raises(ValueError, match=words):
        save_weights(other, tmp_path / "weights.pth")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match=words):
        load_weights(other, tmp_path / "weights.pth")


def test_another_head_and_none_are_saved(tmp_path):
    one, none = model(), model()
    one.head, none.head = nn.Linear(one.head.in_features, 2), nn.Identity()
    save_weights(one, tmp_path / "two.pth", "timm")
    assert torch.load(tmp_path / "two.pth")["head.fc.weight"].shape[0] == 2
    save_weights(none, tmp_path / "none.pth", "timm")
    assert not [name for name in torch.load(tmp_path / "none.pth") if name.startswith("head")]


def test_tensors_that_share_memory_are_saved_each_on_its_own(tmp_path):
    tied, target = model(), model(seed=1)
    tied.norm.bias = tied.norm.weight
    save_weights(tied, tmp_path / "weights.safetensors")
    load_weights(target, tmp_path / "weights.safetensors")
    assert_same_bits(bits(target), bits(tied))


def test_random_numbers_are_left_alone(tmp_path):
    one, state = model(), torch.get_rng_state()
    save_weights(one, tmp_path / "weights.pth")
    load_weights(one, tmp_path / "weights.pth")
    assert torch.equal(torch.get_rng_state(), state)


# All or nothing.


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_a_copy_that_breaks_off_is_undone(error, tmp_path, monkeypatch):
    save_weights(model(seed=1), tmp_path / "weights.pth")
    target = model()
    before, copy, copied = bits(target), torch.Tensor.copy_, []

    def copy_ten(tensor, value):
        copied.extend([] if tensor.is_meta else [tensor])
        if len(copied) == 10:
            raise error
        return copy(tensor, value)

    monkeypatch.setattr(torch.Tensor, "copy_", copy_ten)
    with pytest.raises(type(error)):
        load_weights(target, tmp_path / "weights.pth")
    assert len(copied) > 10
    assert_same_bits(bits(target), before)


def test_a_parameter_that_refuses_leaves_the_others_as_they_were(tmp_path):
    save_weights(model(seed=1), tmp_path / "weights.pth")
    target = model()
    target.norm.weight = nn.Parameter(torch.ones(1).expand(target.norm.weight.shape))
    before = bits(target)
    with pytest.raises(RuntimeError, match="single memory location"):
        load_weights(target, tmp_path / "weights.pth")
    assert_same_bits(bits(target), before)


def test_frozen_and_half_precision_models_are_filled_as_they_are(tmp_path):
    source = model()
    save_weights(source, tmp_path / "weights.pth")
    target = model(seed=1).bfloat16().requires_grad_(False)
    load_weights(target, tmp_path / "weights.pth")
    assert not any(parameter.requires_grad for parameter in target.parameters())
    for name, tensor in source.bfloat16().state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor)


def test_a_model_without_memory_is_filled_once_it_has_some(tmp_path):
    source, target = model(), model(seed=1).to("meta")
    save_weights(source, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"on the meta device .*model.to_empty"):
        load_weights(target, tmp_path / "weights.pth")
    target = target.to_empty(device="cpu")
    for parameter in target.parameters():
        parameter.data.fill_(torch.nan)  # as bad as what memory may hold
    load_weights(target, tmp_path / "weights.pth")
    image = torch.randn(1, 3, 40, 24)
    assert torch.equal(target(image), source(image))
