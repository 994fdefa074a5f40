"""The public implementations, with random weights, for the tests; and the table of parity.

``python tests/peers.py`` prints the table that the documentation shows.  Each library is imported
when it is first needed, so that a test can skip one that is not installed.
"""

import functools
import tempfile
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from swin_tutorial.bench.peers import PEERS, make_torchvision_importable
from swin_tutorial.model import SwinTransformer
from swin_tutorial.presets import PRESETS, create_model
from swin_tutorial.weights import load_weights, save_weights

make_torchvision_importable()  # before any of them imports it

# Our preset -> its name there, and the image side that it was published for.
TIMM = {
    "swin_tiny": "swin_tiny_patch4_window7_224",
    "swin_small": "swin_small_patch4_window7_224",
    "swin_base": "swin_base_patch4_window7_224",
    "swin_large": "swin_large_patch4_window7_224",
    "swin_base_384": "swin_base_patch4_window12_384",
    "swin_v2_tiny": "swinv2_tiny_window8_256",
    "swin_v2_small": "swinv2_small_window8_256",
    "swin_v2_base": "swinv2_base_window8_256",
    "swin_v2_tiny_window16": "swinv2_tiny_window16_256",
}
TORCHVISION = {
    "swin_tiny": "swin_t",
    "swin_small": "swin_s",
    "swin_base": "swin_b",
    "swin_v2_tiny": "swin_v2_t",
    "swin_v2_small": "swin_v2_s",
    "swin_v2_base": "swin_v2_b",
}

# As published: parameters, and multiply-adds in units of 10 ** 9 where the papers' counter gave
# them to this precision.
PARAMETERS = {
    "swin_tiny": 28_288_354,
    "swin_small": 49_606_258,
    "swin_base": 87_768_224,
    "swin_large": 196_532_476,
    "swin_base_384": 87_903_584,
    "swin_v2_tiny": 28_347_154,
}
MULTIPLY_ADDS = {
    "swin_tiny": 4.494,
    "swin_small": 8.747,
    "swin_base": 15.438,
    "swin_large": 34.487,
}


def image_side(preset: str) -> int:
    """Return the side in pixels of the images that a preset was published for."""
    if PRESETS[preset].version == 2:
        return 256
    return 384 if preset.endswith("384") else 224


def has(library: str, preset: str) -> bool:
    """Say whether a library has a preset by name; transformers builds any of them."""
    return preset in {"timm": TIMM, "torchvision": TORCHVISION, "transformers": PRESETS}[library]


def peer(library: str, preset: str) -> nn.Module:
    """Build another implementation of a preset."""
    if library == "timm":
        import timm

        return timm.create_model(TIMM[preset])
    if library == "torchvision":
        import torchvision.models

        return getattr(torchvision.models, TORCHVISION[preset])()
    model, config = transformers_parts(preset)
    return model(config)


def transformers_parts(preset: str) -> tuple:
    """Return the class and the configuration, as it has no presets but files on the hub."""
    import transformers

    transformers.logging.disable_progress_bar()
    config = PRESETS[preset]
    if config.version == 1:
        model, make = transformers.SwinForImageClassification, transformers.SwinConfig
    else:
        model, make = transformers.Swinv2ForImageClassification, transformers.Swinv2Config
    return model, make(
        image_size=image_side(preset),
        window_size=config.stage_window_size(0),
        embed_dim=config.embed_dim,
        depths=list(config.depths),
        num_heads=list(config.num_heads),
        num_labels=config.num_classes,
    )


@torch.no_grad()
def randomize(model: nn.Module, seed: int) -> nn.Module:
    """Fill a model with weights of which none is 0 or 1, and put it in evaluation mode.

    Matrices keep the scale of what they multiply, so that logits are of the order of 1; tables,
    biases and norms are large enough for a misplaced one to show.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            noise = torch.randn(parameter.shape, generator=generator)
            if isinstance(module, nn.LayerNorm) and name == "weight":
                parameter.copy_(1 + 0.1 * noise)
            elif name == "logit_scale":
                parameter.copy_(torch.tensor(10.0).log() + 0.3 * noise)
            elif name == "relative_position_bias_table":
                parameter.copy_(0.5 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.1 * noise)
            else:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
    return model.eval()


@torch.no_grad()
def logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    out = model(images)
    return out if isinstance(out, torch.Tensor) else out.logits


def images_for(preset: str, height: int | None = None, width: int | None = None) -> torch.Tensor:
    side = image_side(preset)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, height or side, width or side, generator=generator)


def difference(one: nn.Module, other: nn.Module, images: torch.Tensor) -> float:
    return (logits(one, images) - logits(other, images)).abs().max().item()


# Through a file to a peer and back, as the peer's own users have it.


def to_peer(ours: SwinTransformer, library: str, preset: str, folder: Path) -> nn.Module:
    """Save our model in a peer's layout, and load the file there, strictly."""
    if library == "transformers":
        model, config = transformers_parts(preset)
        config.save_pretrained(folder)
        save_weights(ours, folder / "model.safetensors", library)
        theirs, found = model.from_pretrained(folder, output_loading_info=True)
        assert not any(found.values()), found
    else:
        save_weights(ours, folder / "ours.pth", library)
        theirs = peer(library, preset)
        theirs.load_state_dict(torch.load(folder / "ours.pth", weights_only=True), strict=True)
    return theirs.eval()


def from_peer(ours: SwinTransformer, library: str, theirs: nn.Module, folder: Path) -> None:
    """Save a peer as its users do, and load the file into our model."""
    if library == "transformers":
        theirs.save_pretrained(folder)
        load_weights(ours, folder / "model.safetensors")
    else:
        torch.save(theirs.state_dict(), folder / "theirs.pth")
        load_weights(ours, folder / "theirs.pth")


@functools.lru_cache(maxsize=1)
def our_model(preset: str) -> SwinTransformer:
    """Return our model, kept because making one takes longer than filling it anew."""
    return create_model(preset, padding="attend")


def parity(library: str, preset: str, images: torch.Tensor) -> tuple[float, float]:
    """Return the greatest difference of logits for weights taken to the peer, and from it."""
    ours = randomize(our_model(preset), seed=1)
    with tempfile.TemporaryDirectory() as folder:
        theirs = to_peer(ours, library, preset, Path(folder))
        there = difference(ours, theirs, images)
        from_peer(ours, library, randomize(theirs, seed=2), Path(folder))
        return there, difference(ours, theirs, images)


# The table.


def parameters(preset: str) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in create_model(preset).parameters())


def multiply_adds(preset: str) -> float:
    """Count a forward pass's multiply-adds as the papers do, in units of 10 ** 9.

    PyTorch's own counter counts matrix products and convolutions, an addition and a multiplication
    as two; the papers count them as one, hence the half.  They also count a norm as one per value,
    which is 0.1 % of the whole and is added here.  Neither counts softmax, GELU, bias or residual.
    It takes no memory and no arithmetic: the tensors are on the "meta" device.
    """
    side, norms = image_side(preset), []
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model = create_model(preset, backend="eager").eval()
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.register_forward_hook(lambda _, inputs, out: norms.append(out.numel()))
        model(torch.empty(1, 3, side, side))
    return (counter.get_total_flops() / 2 + sum(norms)) / 1e9


def parity_table() -> str:
    """Return the table in Markdown."""
    lines = [
        "| model | parameters | published | multiply-adds, 10⁹ | published | "
        + " | ".join(PEERS)
        + " |",
        "|---|" + "--:|" * (4 + len(PEERS)),
    ]
    for preset in TIMM:
        published = PARAMETERS.get(preset)
        cost = MULTIPLY_ADDS.get(preset)
        images = images_for(preset)
        differences = [
            max(parity(library, preset, images)) if has(library, preset) else None
            for library in PEERS
        ]
        cells = [
            f"`{preset}`",
            f"{parameters(preset):,}",
            f"{published:,}" if published else "–",
            f"{multiply_adds(preset):.3f}",
            f"{cost:.3f}" if cost else "–",
            *("–" if value is None else f"{value:.1e}" for value in differences),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(parity_table())
