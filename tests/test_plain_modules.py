"""Modules of the model are ordinary ``nn.Module``s called as such: what users attach takes effect.

Hooks, adapters, pruning, quantization, ``torch.func``, the meta device, threads.  And what is kept
between calls, masks and indices, comes out plain whatever the first call was made in.
"""

import copy
import itertools
import pickle
import threading
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import parametrizations, prune
from torch.utils.flop_counter import FlopCounterMode

from swin_tutorial.grid import WindowGrid
from swin_tutorial.model import SwinConfig, SwinTransformer
from swin_tutorial.position_bias import log_spaced_offsets, relative_position_index
from swin_tutorial.reference import brute_force_mask

FIELDS = {"embed_dim": 8, "depths": (2, 1), "num_heads": (1, 2), "num_classes": 5}
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:.*{words}")
    for words in ("performance drop", "`torch.jit.script`", "Full backward hook is firing")
]
versions = pytest.mark.parametrize("version", [1, 2])
backends = pytest.mark.parametrize("backend", ["eager", "sdpa"])
ADAPTED = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


def make(version=1, backend="sdpa", window_size=4):
    """A small model in single precision in which no parameter is 0 or 1."""
    model = SwinTransformer(
        SwinConfig(version, window_size=window_size, backend=backend, **FIELDS)
    ).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, mean=0.1, std=0.2, generator=generator)
    return model


def images(height=20, width=25, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, height, width, generator=generator)


def adapted_layers(model):
    """The linear layers that people adapt, by name: four in each block."""
    return {n: m for n, m in model.named_modules() if n.endswith(ADAPTED)}


# Hooks, adapters, pruning, quantization.


@versions
@backends
def test_every_hook_fires_once(version, backend):
    model, fired, backward = make(version, backend), Counter(), Counter()
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm)
    }
    for name, module in layers.items():
        module.register_forward_hook(lambda *_, name=name: fired.update([name]))
        module.register_full_backward_hook(lambda *_, name=name: backward.update([name]))
    model(images()).sum().backward()
    assert fired == dict.fromkeys(layers, 1)
    assert backward == dict.fromkeys(layers, 1)
    # What a hook returns is what the model goes on with.
    for name in adapted_layers(model):
        hook = layers[name].register_forward_hook(lambda *_: torch.full_like(_[-1], torch.nan))
        assert model(images()).isnan().all(), name
        hook.remove()


class LowRank(nn.Module):
    """LoRA, in the way that most write it by hand: a frozen layer and a product of two matrices."""

    def __init__(self, layer, rank=2):
        super().__init__()
        self.layer = layer
        self.down = nn.Parameter(torch.randn(rank, layer.in_features) / 10)
        self.up = nn.Parameter(torch.randn(layer.out_features, rank) / 10)

    def forward(self, x):
        return self.layer(x) + x @ self.down.T @ self.up.T


@versions
@backends
def test_an_adapter_around_a_linear_layer_takes_effect_and_gets_the_gradient(version, backend):
    torch.manual_seed(0)
    model, merged = make(version, backend).requires_grad_(False), make(version, backend)
    before = model(images())
    for name, layer in adapted_layers(model).items():
        parent, _, attribute = name.rpartition(".")
        adapter = LowRank(layer)
        setattr(model.get_submodule(parent), attribute, adapter)
        merged.get_submodule(name).weight.data += adapter.up.data @ adapter.down.data
    out = model(images())
    assert (out - before).abs().max() > 1e-3
    torch.testing.assert_close(out, merged(images()), rtol=1e-4, atol=1e-5)
    out.square().sum().backward()
    for name, parameter in model.named_parameters():
        if name.endswith((".down", ".up")):
            assert parameter.grad.abs().max() > 0, name
        else:
            assert parameter.grad is None, name


@versions
def test_pruning_takes_effect(version):
    model, expected = make(version), make(version)
    for name, layer in adapted_layers(model).items():
        prune.l1_unstructured(layer, "weight", amount=0.5)
        expected.get_submodule(name).weight.data *= layer.weight_mask
        assert (layer.weight_mask == 0).float().mean() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(model(images()), expected(images()))
    assert not torch.allclose(model(images()), make(version)(images()), atol=1e-3)


@versions
def test_weight_norm_takes_effect(version):
    model, expected = make(version), make(version)
    for name, layer in adapted_layers(model).items():
        parametrizations.weight_norm(layer)
        layer.parametrizations.weight.original0.data *= 1.5  # the length of each row
        expected.get_submodule(name).weight.data *= 1.5
    torch.testing.assert_close(model(images()), expected(images()), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(images()), make(version)(images()), atol=1e-3)


@versions
def test_dynamic_quantization_takes_effect(version):
    """PyTorch announces its end in favor of torchao, but still has it."""
    quantize_dynamic = getattr(torch.ao.quantization, "quantize_dynamic", None)
    if quantize_dynamic is None or torch.backends.quantized.engine == "none":
        pytest.skip("this PyTorch does not quantize")
    model = make(version)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = quantize_dynamic(model, {nn.Linear})
    layers = [m for m in quantized.modules() if isinstance(m, torch.ao.nn.quantized.dynamic.Linear)]
    assert len(layers) == sum(isinstance(module, nn.Linear) for module in model.modules())
    exact, found = model(images()), quantized(images())
    assert 1e-4 < (found - exact).norm() / exact.norm() < 0.1


# torch.func.


def right_or_raises(check, backend):
    """Fused attention on a CPU lacks some derivatives and must say so; the plain one has all."""
    try:
        check()
    except RuntimeError:
        assert backend == "sdpa"
    with sdpa_kernel(SDPBackend.MATH):
        check()


def by_jvp(model, x, direction):
    return torch.func.jvp(model, (x,), (direction,))[1]


def by_jacfwd(model, x, direction):
    return torch.func.jacfwd(lambda step: model(x + step * direction))(torch.tensor(0.0))


def by_dual_numbers(model, x, direction):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(model(forward_ad.make_dual(x, direction))).tangent


@versions
@backends
@pytest.mark.parametrize("derivative", [by_jvp, by_jacfwd, by_dual_numbers])
def test_forward_mode_gives_the_derivative_or_raises(derivative, version, backend):
    """With everything frozen, it must not be 0 in silence."""
    model, x, direction = make(version, backend).requires_grad_(False), images(), images(seed=2)
    weight, one = torch.arange(1.0, 11.0).view(2, 5), x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((model(one) * weight).sum(), one)
    expected = (gradient * direction).sum()
    assert expected.abs() > 0.01

    def check():
        found = (derivative(model, x, direction) * weight).sum()
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)

    right_or_raises(check, backend)


@versions
@backends
def test_grad_jacrev_and_vmap(version, backend):
    model, x = make(version, backend).requires_grad_(False), images()
    one = x.clone().requires_grad_()
    out = model(one)
    rows = [torch.autograd.grad(out[:, i].sum(), one, retain_graph=True)[0] for i in range(5)]
    jacobian = torch.stack(rows, dim=1)
    assert jacobian.abs().max() > 1e-4
    per_image = torch.func.vmap(torch.func.jacrev(lambda image: model(image[None])[0]))(x)
    torch.testing.assert_close(per_image, jacobian, rtol=1e-4, atol=1e-6)

    def check():
        found = torch.func.grad(lambda x: model(x)[:, 3].sum())(x)
        torch.testing.assert_close(found, jacobian[:, 3], rtol=1e-4, atol=1e-6)

    check()
    model.requires_grad_(True)
    right_or_raises(check, backend)


@versions
@backends
def test_gradients_per_image_and_ensembles(version, backend):
    """As in PyTorch's tutorials: ``vmap`` over the images, and over the weights of two models."""
    model = make(version, backend)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss(weights, image):
        return torch.func.functional_call(model, weights, (image[None],)).square().sum()

    per_image = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, images())
    for i, image in enumerate(images()):
        gradient = torch.autograd.grad(loss({}, image), list(model.parameters()))
        for found, expected in zip(per_image.values(), gradient, strict=True):
            torch.testing.assert_close(found[i], expected, rtol=1e-3, atol=1e-5)
    both = {name: torch.stack([weight, 1.1 * weight]) for name, weight in weights.items()}
    found = torch.func.vmap(loss, (0, None))(both, images()[0])
    expected = [loss({n: weight[i] for n, weight in both.items()}, images()[0]) for i in (0, 1)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)
    assert not torch.isclose(*expected, rtol=1e-2)


# The meta device, copies, threads.


@versions
@pytest.mark.parametrize("assign", [False, True])
def test_a_model_made_on_the_meta_device_and_filled_is_the_model(version, assign):
    source = make(version)
    with torch.device("meta"):
        model = SwinTransformer(source.config).eval()
    assert list(model.buffers()) == []  # which to_empty would fill with whatever memory holds
    if not assign:
        model.to_empty(device="cpu")
        for parameter in model.parameters():
            parameter.data.fill_(torch.nan)
    model.load_state_dict(source.state_dict(), assign=assign)
    assert torch.equal(model(images()), source(images()))


@versions
@pytest.mark.parametrize(
    "name", ["attn.proj.bias", "mlp.fc1.bias", "mlp.fc2.bias", "norm2.weight", "norm1.bias"]
)
def test_a_parameter_left_on_the_meta_device_raises(name, version):
    model = make(version)
    module, _, attribute = f"layers.0.blocks.1.{name}".rpartition(".")
    parameter = getattr(model.get_submodule(module), attribute)
    setattr(model.get_submodule(module), attribute, nn.Parameter(parameter.to("meta")))
    with pytest.raises(RuntimeError, match="meta"):
        model(images())


@versions
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_the_model_and_has_its_own_weights(copied, version):
    model = make(version)
    before = model(images())  # what is kept between calls must not get into the copy's way
    other = copied(model)
    assert torch.equal(other(images()), before)
    other.layers[0].blocks[1].mlp.fc1.weight.data.zero_()
    assert torch.equal(model(images()), before)
    assert not torch.equal(other(images()), before)


@versions
def test_threads_may_call_a_model_at_once(version):
    model, together = make(version, window_size=unseen_window()), threading.Barrier(4)
    sizes = [(45, 30), (45, 30), (30, 61), (30, 61)]

    def call(size):
        together.wait()
        return [model(images(*size)) for _ in range(3)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, sizes))
    for outputs, size in zip(found, sizes, strict=True):
        for out in outputs:
            torch.testing.assert_close(out, model(images(*size)), rtol=1e-5, atol=1e-6)


# What is kept between calls.

_WIDTHS = itertools.count(3)


def unseen_window():
    """A window that no test had before: nothing is kept for it."""
    return (2, next(_WIDTHS))


def in_inference_mode(model, x):
    with torch.inference_mode():
        model(x)


def among_fake_tensors(model, x):
    with FakeTensorMode(allow_non_fake_inputs=True):
        model(torch.empty_like(x))


def while_counting(model, x):
    with FlopCounterMode(display=False) as counter:
        model(x)
    first = counter.get_total_flops()
    with counter:
        model(x)
    assert counter.get_total_flops() == first > 0


def on_the_meta_device(model, x):
    copy.deepcopy(model).to("meta")(x.to("meta"))
    with torch.device("meta"):
        relative_position_index(model.config.window_size)


def in_other_types(model, x):
    copy.deepcopy(model).double()(x.double())
    copy.deepcopy(model).bfloat16()(x.bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(x)


def under_grad(model, x):
    with sdpa_kernel(SDPBackend.MATH):
        torch.func.grad(lambda x: model(x).sum())(x)


def under_jvp(model, x):
    with sdpa_kernel(SDPBackend.MATH):
        torch.func.jvp(model, (x,), (x,))


def under_vmap(model, x):
    torch.func.vmap(lambda image: model(image[None]))(x)


def while_training(model, x):
    model.train()(x).sum().backward()
    model.zero_grad()


FIRST_CALLS = [
    in_inference_mode,
    among_fake_tensors,
    while_counting,
    on_the_meta_device,
    in_other_types,
    under_grad,
    under_jvp,
    under_vmap,
    while_training,
]


@versions
@pytest.mark.parametrize("first_call", FIRST_CALLS, ids=lambda call: call.__name__)
def test_what_is_kept_is_plain_whatever_the_first_call_was_made_in(first_call, version):
    window = unseen_window()
    model, x = make(version, window_size=window), images(25, 50)
    first_call(model, x)
    grid = model.layers[0].blocks[1].grid(torch.empty(1, 7, 13, 8))
    mask = grid.mask()
    kept = [mask, relative_position_index(window), log_spaced_offsets(window, window)]
    for tensor in kept:
        assert type(tensor) is torch.Tensor
        assert tensor.device.type == "cpu"
        assert not tensor.is_inference()
        assert not tensor.requires_grad
        assert not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    assert [tensor.dtype for tensor in kept] == [torch.bool, torch.int64, torch.float32]
    assert torch.equal(mask, brute_force_mask(grid.size, window, grid.shift_size))
    # A training step afterwards.
    model.train()(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@torch.no_grad()
def test_who_writes_into_what_is_kept_does_not_spoil_the_next_call():
    window = unseen_window()
    model, x = make(2, window_size=window), images(25, 50)
    expected = model(x)
    grid = model.layers[0].blocks[1].grid(torch.empty(1, 7, 13, 8))
    grid.mask().fill_(False)
    assert torch.equal(model(x), expected)
    grid.mask()[0][1:, 0] = True
    assert torch.equal(model(x), expected)
    with torch.inference_mode():
        grid.mask().logical_not_()
    assert torch.equal(model(x), expected)
    relative_position_index(window).zero_()
    log_spaced_offsets(window, window).zero_()
    assert torch.equal(model(x), expected)


def test_what_is_kept_is_shared_until_then():
    grid = WindowGrid((7, 13), unseen_window(), 1)
    assert grid.mask() is grid.mask()
    assert grid.mask() is WindowGrid([7, 13], list(grid.window_size), (1, 1)).mask("cpu")
