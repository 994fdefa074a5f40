"""The public implementations of Swin that ours is held against: timm, torchvision, transformers."""

import functools
import importlib
import importlib.metadata
import sys
import types
from collections.abc import Callable

from torch import Tensor, nn

PEERS = ("timm", "torchvision", "transformers")


def import_peer(name: str) -> types.ModuleType:
    """Import timm, torchvision, transformers or a module of theirs.

    Raises ImportError if it is not installed.
    """
    make_torchvision_importable()  # timm and transformers import it too
    return importlib.import_module(name)


@functools.cache
def make_torchvision_importable() -> None:
    """Stand in for torchvision's compiled operators, if and only if they are missing.

    torchvision from PyPI lacks them beside a PyTorch built for CPUs, and fails when it describes
    them to the compiler.  Its models need none of them.
    """
    try:
        importlib.import_module("torchvision")
    except ImportError:
        pass  # not installed; whoever needs it will say so
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        descriptions = "torchvision._meta_registrations"
        sys.modules[descriptions] = types.ModuleType(descriptions)


def swin_tiny_builders(any_size: bool = False) -> dict[str, Callable[[], nn.Module]]:
    """Return a function for each installed peer that builds its Swin-T, with no stochastic depth.

    Says which are not installed.  timm's model takes images of another size only if it is told
    beforehand, by ``any_size``.
    """
    options = {"drop_path_rate": 0.0} | ({"strict_img_size": False} if any_size else {})
    builders = {
        "timm": lambda library: library.create_model("swin_tiny_patch4_window7_224", **options),
        "torchvision": lambda library: _without_stochastic_depth(library.models.swin_t()),
        "transformers": lambda library: _Logits(
            library.SwinForImageClassification(
                library.SwinConfig(num_labels=1000, drop_path_rate=0.0)
            )
        ),
    }
    installed = {}
    for name in PEERS:
        try:
            installed[name] = functools.partial(builders[name], import_peer(name))
        except ImportError:
            print(f"{name} is not installed and left out")
    return installed


def versions(names: tuple[str, ...] = PEERS) -> dict[str, str]:
    """Return the versions of those libraries that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _without_stochastic_depth(model: nn.Module) -> nn.Module:
    """Set it to 0 in torchvision's model, whose builder has no argument for it."""
    for module in model.modules():
        if type(module).__name__ == "StochasticDepth":
            module.p = 0.0
    return model


class _Logits(nn.Module):
    """transformers' models return an object; the others return the logits."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits
