"""torch.compile, torch.export and ONNX take the whole model without a break, one graph for images
of every size.

A map of a single window is a case of its own to PyTorch, whose strides agree with more than one
layout, unless ``backed_size_oblivious`` is set, as ``torch.onnx.export`` does by itself.
"""

import importlib
import sys

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.export import Dim
from torch.fx.experimental import _config as symbolic_shapes

# Window 4, patch 4, two stages: above 32 pixels each axis has two windows or more in either stage.
# The first two sizes divide into windows everywhere, the others do not, and differently.
SIZES = [(64, 96), (96, 64), (68, 52), (45, 100), (127, 33)]
SINGLE_WINDOWS = [(16, 80), (61, 9), (3, 5)]
ANY_SIZE = ({2: Dim("height", min=2), 3: Dim("width", min=2)},)


def is_ours(module_name):
    return module_name.split(".")[0] == "swin_tutorial"


@pytest.fixture(scope="module")
def models():
    """Import ``swin_tutorial.model`` as a reader does: no tracer can follow conftest's checks."""
    finders = list(sys.meta_path)
    checked = {name: module for name, module in sys.modules.items() if is_ours(name)}
    sys.meta_path[:] = [one for one in finders if not type(one).__module__.startswith("jaxtyping")]
    for name in checked:
        del sys.modules[name]
    yield importlib.import_module("swin_tutorial.model")
    for name in filter(is_ours, list(sys.modules)):
        del sys.modules[name]
    sys.modules.update(checked)
    sys.meta_path[:] = finders


@pytest.fixture
def make(models):
    """Make a small model in which no parameter is 0 or 1, with nothing compiled before."""
    torch.compiler.reset()

    def make(version=1, padding="mask", depths=(2, 2), heads=(1, 2)):
        torch.manual_seed(0)
        fields = {"channels": 8, "depths": depths, "heads": heads, "window_size": 4}
        config = models.SwinConfig(version, padding=padding, num_classes=5, **fields)
        model = models.SwinTransformer(config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, mean=0.1, std=0.2)
        return model

    return make


def images(height, width):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def output_and_gradients(model, run, one):
    model.zero_grad()
    one = one.clone().requires_grad_()
    out = run(one)
    out.square().sum().backward()
    return [out, one.grad, *(parameter.grad.clone() for parameter in model.parameters())]


@pytest.mark.parametrize(
    ("version", "padding", "size"), [(1, "mask", (45, 100)), (2, "attend", (64, 96))]
)
def test_one_graph_forward_and_backward(make, version, padding, size):
    model = make(version, padding)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=False)
    found = output_and_gradients(model, compiled, images(*size))
    expected = output_and_gradients(model, model, images(*size))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_inductor_compiles_a_shifted_block_on_a_padded_map(make):
    model = make(depths=(2,), heads=(1,))
    compiled = torch.compile(model, fullgraph=True, dynamic=False)
    with torch.inference_mode():
        torch.testing.assert_close(
            compiled(images(45, 30)), model(images(45, 30)), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("version", [1, 2])
def test_export_and_onnx(make, version, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, one = make(version, "mask"), images(45, 30)
    with torch.no_grad():
        expected = model(one)
        exported = torch.export.export(model, (one,))
        torch.testing.assert_close(exported.module()(one), expected)
        file = tmp_path / "swin.onnx"
        torch.onnx.export(exported, (one,), dynamo=True, verbose=False).save(str(file))
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: one.numpy()})
    assert (torch.from_numpy(found) - expected).abs().max() <= 1e-4


def dynamic_images(*size):
    """Images that a compiler is told to expect in other heights and widths too."""
    x = images(*size)
    torch._dynamo.mark_dynamic(x, 2)
    torch._dynamo.mark_dynamic(x, 3)
    return x


@pytest.mark.parametrize(("version", "padding"), [(1, "mask"), (2, "attend")])
def test_one_graph_for_many_sizes(make, version, padding):
    model = make(version, padding, depths=(1, 2))
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    parameters = list(model.parameters())
    for size in SIZES:
        found, expected = compiled(dynamic_images(*size)), model(images(*size))
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(
            torch.autograd.grad(found.square().sum(), parameters),
            torch.autograd.grad(expected.square().sum(), parameters),
            rtol=1e-3,
            atol=1e-4,
        )
    assert counter.frame_count == 1


@torch.no_grad()
@pytest.mark.parametrize("oblivious", [True, False])
def test_single_windows_need_a_graph_of_their_own_unless_told_otherwise(make, oblivious):
    model = make(depths=(2,), heads=(2,))
    counter = CompileCounterWithBackend("eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    with symbolic_shapes.patch(backed_size_oblivious=oblivious):
        for size in [SIZES[0], SINGLE_WINDOWS[0]]:
            torch.testing.assert_close(compiled(dynamic_images(*size)), model(images(*size)))
    assert counter.frame_count == (1 if oblivious else 2)


@torch.no_grad()
def test_inductor_compiles_one_graph_for_several_sizes(make):
    model = make(depths=(2,), heads=(2,))
    counter = CompileCounterWithBackend("inductor")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for size in [(45, 100), (64, 36)]:
        torch.testing.assert_close(
            compiled(dynamic_images(*size)), model(images(*size)), rtol=1e-4, atol=1e-5
        )
    assert counter.frame_count == 1


@torch.no_grad()
@pytest.mark.parametrize(("version", "padding"), [(1, "mask"), (2, "attend")])
def test_export_and_onnx_of_any_size(make, version, padding, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, one = make(version, padding, depths=(1, 2)), images(64, 96)
    with symbolic_shapes.patch(backed_size_oblivious=True):
        exported = torch.export.export(model, (one,), dynamic_shapes=ANY_SIZE)
    file = tmp_path / "swin.onnx"
    torch.onnx.export(exported, (one,), dynamo=True, verbose=False).save(str(file))
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    run = exported.module()
    for size in SIZES + SINGLE_WINDOWS:
        x = images(*size)
        expected = model(x)
        torch.testing.assert_close(run(x), expected, rtol=1e-4, atol=1e-5)
        (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        assert (torch.from_numpy(found) - expected).abs().max() <= 1e-4, size
