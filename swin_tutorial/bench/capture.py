"""Capture of a whole model for images of every size, beside the public implementations."""

import functools
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.fx.experimental import _config as symbolic_shapes

from swin_tutorial.bench.peers import swin_tiny_builders, versions
from swin_tutorial.bench.timing import machine, record
from swin_tutorial.presets import create_model


def run(json_file: Path | None = None) -> dict:
    """Time torch.export of Swin-T with height and width left open, beside the public ones.

    Each captured graph is then given images of another size, and the result compared with the
    model's own: a graph that was bound to the traced size, silently or with an error, is named.
    Prints a table and returns it.

    Args:
        json_file: Write the results to this file too.
    """
    torch.manual_seed(0)
    traced, other = torch.randn(1, 3, 224, 288), torch.randn(1, 3, 200, 333)
    open_sizes = {2: Dim("height", min=2), 3: Dim("width", min=2)}
    seconds, at_another_size = {}, {}
    ours = {"swin_tutorial": functools.partial(create_model, "swin_tiny")}
    for name, make in (ours | swin_tiny_builders(any_size=True)).items():
        model = make().eval()
        torch.compiler.reset()
        start = time.perf_counter()
        try:
            with torch.no_grad(), symbolic_shapes.patch(backed_size_oblivious=True):
                graph = torch.export.export(model, (traced,), dynamic_shapes=(open_sizes,)).module()
        except Exception as error:  # whatever the tracer trips over is the result
            graph = None
            at_another_size[name] = f"not captured: {type(error).__name__}"
        seconds[name] = round(time.perf_counter() - start, 1)
        if graph is not None:
            at_another_size[name] = agreement(graph, model, other)
        print(f"  {name:16} {seconds[name]:7.1f} s  {at_another_size[name]}")
    result = {
        "what": "torch.export of Swin-T, height and width open, traced at 224 x 288 pixels",
        "seconds": seconds,
        "at_200_x_333": at_another_size,
        **machine(),
        "versions": versions(),
    }
    record(result, json_file)
    return result


def agreement(graph: Callable, model: nn.Module, images: Tensor) -> str:
    """Say whether a captured graph does what its model does."""
    with torch.no_grad():
        expected = model(images)
        try:
            found = graph(images)
        except Exception as error:
            return f"refused: {type(error).__name__}"
    return "equal" if torch.allclose(found, expected, atol=1e-4) else "different result"
