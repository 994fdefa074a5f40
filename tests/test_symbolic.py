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
# The first divides into windows everywhere, the others do not, and differently.
SIZES = [(64, 96), (45, 100), (127, 33)]
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


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()


def filled(module):
    """Fill a module such that no parameter is 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, mean=0.1, std=0.2, generator=generator)
    return module.eval()


@pytest.fixture
def make(models):
    """Make a small model: of its two or three blocks the last is shifted."""

    def make(version, padding, depths=(1, 2)):
        fields = {"embed_dim": 8, "depths": depths, "num_heads": (1, 2)[: len(depths)]}
        config = models.SwinConfig(version, window_size=4, padding=padding, num_classes=5, **fields)
        return filled(models.SwinTransformer(config))

    return make


@pytest.fixture
def make_block(models):
    def make_block(window_size=4, shift_size=2, **options):
        return filled(models.SwinTransformerBlock(8, 2, window_size, shift_size, **options))

    return make_block


def images(height, width):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))


def feature_map(*size):
    return torch.randn(2, *size, 8, generator=torch.Generator().manual_seed(1))


def of_any_size(x, dims):
    """Tell a compiler to expect other sizes too."""
    for dim in dims:
        torch._dynamo.mark_dynamic(x, dim)
    return x


def assert_same_output_and_gradients(compiled, model, x):
    parameters = list(model.parameters())
    found, expected = compiled(x), model(x.clone())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
        rtol=1e-3,
        atol=1e-4,
    )


# torch.compile.


def test_one_graph_for_many_sizes(make):
    model = make(1, "mask", depths=(2,))
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for size in SIZES:
        assert_same_output_and_gradients(compiled, model, of_any_size(images(*size), (2, 3)))
    assert counter.frame_count == 1


def test_one_graph_for_merging_maps_of_even_and_odd_sides(models):
    merging = filled(models.PatchMerging(8))
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(merging, fullgraph=True, backend=counter)
    for size in [(8, 6), (7, 12), (9, 5)]:
        x = of_any_size(feature_map(*size), (1, 2))
        assert_same_output_and_gradients(compiled, merging, x)
    assert counter.frame_count == 1


def test_by_default_one_graph_for_the_first_size_and_one_for_all_others(make_block):
    block = make_block(version=2, padding=("attend", "mask"), periodic=(False, True))
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(block, fullgraph=True, backend=counter)
    for size in [(11, 8), (16, 12), (9, 16)]:
        assert_same_output_and_gradients(compiled, block, feature_map(*size))
    assert counter.frame_count == 2


@torch.no_grad()
@pytest.mark.parametrize("oblivious", [True, False])
def test_single_windows_need_a_graph_of_their_own_unless_told_otherwise(make_block, oblivious):
    counter = CompileCounterWithBackend("eager")
    with symbolic_shapes.patch(backed_size_oblivious=oblivious):
        assert_same_output_on_maps(make_block(), counter, [(16, 24), (4, 20)])
    assert counter.frame_count == (1 if oblivious else 2)


@torch.no_grad()
@pytest.mark.parametrize(
    ("window", "shift", "periodic", "sizes"),
    [
        ((4,), (2,), False, [(11,), (16,), (9,)]),
        ((2, 3, 4), (1, 1, 2), (False, False, True), [(3, 6, 8), (5, 7, 12), (4, 8, 16)]),
    ],
    ids=["signal", "video"],
)
def test_one_graph_on_one_axis_and_on_three(make_block, window, shift, periodic, sizes):
    block = make_block(window, shift, periodic=periodic)
    counter = CompileCounterWithBackend("eager")
    assert_same_output_on_maps(block, counter, sizes)
    assert counter.frame_count == 1


@torch.no_grad()
def test_inductor_compiles_one_graph_for_shifted_blocks_on_padded_maps(make_block):
    counter = CompileCounterWithBackend("inductor")
    assert_same_output_on_maps(make_block(), counter, [(11, 9), (16, 10), (13, 25)])
    assert counter.frame_count == 1


def assert_same_output_on_maps(block, backend, sizes):
    compiled = torch.compile(block, fullgraph=True, backend=backend)
    for size in sizes:
        x = feature_map(*size)
        found = compiled(of_any_size(x.clone(), range(1, x.ndim - 1)))
        torch.testing.assert_close(found, block(x), rtol=1e-4, atol=1e-5)


# torch.export and ONNX.


def onnx_session(exported, x, file):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    torch.onnx.export(exported, (x,), dynamo=True, verbose=False).save(str(file))
    session = runtime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


@torch.no_grad()
@pytest.mark.parametrize(("version", "padding"), [(1, "attend"), (2, "mask")])
def test_export_of_any_size(make, version, padding, tmp_path):
    model, x = make(version, padding), images(64, 96)
    with symbolic_shapes.patch(backed_size_oblivious=True):
        exported = torch.export.export(model, (x,), dynamic_shapes=ANY_SIZE)
    runs = [exported.module()]
    if version == 2:  # V1's own part does not depend on the size
        runs.append(onnx_session(exported, x, tmp_path / "swin.onnx"))
    for size in SIZES + SINGLE_WINDOWS:
        x = images(*size)
        for run in runs:
            torch.testing.assert_close(run(x), model(x), rtol=1e-3, atol=1e-4, msg=str(size))


@torch.no_grad()
def test_export_of_one_size(make, tmp_path):
    model, x = make(1, "mask"), images(45, 30)
    exported = torch.export.export(model, (x,))
    torch.testing.assert_close(exported.module()(x), model(x))
    run = onnx_session(exported, x, tmp_path / "swin.onnx")
    torch.testing.assert_close(run(x), model(x), rtol=1e-3, atol=1e-4)
