"""How four public libraries name and store the same weights: the layouts (chapters 06 and 11).

A layout is a way of naming, and sometimes of joining, the tensors of the model.  Ours is the
official code's.  Each layout is one table that turns our names into its own; loading reads it
backwards.  No weight is ever permuted: all four join the 2 x 2 tokens of a merging layer column
before row, and number the offsets of a bias table row by row.
"""

import re
from collections.abc import Collection, Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from swin_tutorial.attention import WindowAttention, WindowAttentionV2
from swin_tutorial.model import SwinTransformer
from swin_tutorial.position_bias import log_spaced_offsets, relative_position_index
from swin_tutorial.windows import Size

# --- names ---

# Our name -> the layout's: each pattern is replaced in turn.
LAYOUTS = {
    "official": (),
    "timm": (
        # A merging layer belongs to the stage after it.
        (r"^layers\.(\d+)\.downsample\.", lambda m: f"layers.{int(m[1]) + 1}.downsample."),
        (r"^head\.", "head.fc."),
    ),
    "torchvision": (
        # One sequence: embedding, then stages and merging layers in turn.
        (r"^patch_embed\.proj\.", "features.0.0."),
        (r"^patch_embed\.norm\.", "features.0.2."),
        (r"^layers\.(\d+)\.blocks\.", lambda m: f"features.{2 * int(m[1]) + 1}."),
        (r"^layers\.(\d+)\.downsample\.", lambda m: f"features.{2 * int(m[1]) + 2}."),
        (r"\.mlp\.fc1\.", ".mlp.0."),
        (r"\.mlp\.fc2\.", ".mlp.3."),
    ),
    "transformers": (
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"^patch_embed\.norm\.", "embeddings.norm."),
        (r"^layers\.", "encoder.layers."),
        (r"\.attn\.proj\.", ".attention.output.dense."),
        (r"\.attn\.cpb_mlp\.", ".attn.continuous_position_bias_mlp."),
        (r"\.attn\.q_bias$", ".attn.query.bias"),
        (r"\.attn\.v_bias$", ".attn.value.bias"),
        (r"\.attn\.", ".attention.self."),
        (r"\.norm1\.", ".layernorm_before."),
        (r"\.norm2\.", ".layernorm_after."),
        (r"\.mlp\.fc1\.", ".intermediate.dense."),
        (r"\.mlp\.fc2\.", ".output.dense."),
        (r"^norm\.", "layernorm."),
        (r"^head\.", "classifier."),
    ),
}

# transformers 5 has new names in memory, though its files keep the old ones: new -> old.
_TRANSFORMERS_5 = (
    (r"\.attention\.q_proj\.", ".attention.self.query."),
    (r"\.attention\.k_proj\.", ".attention.self.key."),
    (r"\.attention\.v_proj\.", ".attention.self.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.attention\.relative_position_bias\.", ".attention.self."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)

# What a name may begin with: training on several processes, compiled, by Lightning; transformers.
_PREFIXES = re.compile(r"^((module|_orig_mod|model|swin|swinv2)\.)*")

# Buffers that follow from the window size or the image's: the model computes its own.
_DERIVED = ("attn_mask", "relative_position_index", "relative_coords_table")

# Stands for zeros where a layout stores a bias that the model does not have.
ZEROS = "zeros"


def layout_name(name: str, layout: str) -> str:
    """Return the layout's name for the tensor that we call ``name``."""
    return _replace(name, LAYOUTS[layout])


def without_prefixes(name: str) -> str:
    """Return a tensor's name without what training or transformers put before it."""
    return _PREFIXES.sub("", name)


def recognize_layout(names: Collection[str]) -> str | None:
    """Return the layout whose names these are, or None."""
    if "features.0.0.weight" in names:
        return "torchvision"
    if "embeddings.patch_embeddings.projection.weight" in names:
        return "transformers"
    if "patch_embed.proj.weight" not in names:
        return None
    # Without a head only the merging layers tell: timm's first stage has none.
    merging = {name.split(".downsample.")[0] for name in names if ".downsample." in name}
    is_timm = "head.fc.weight" in names or (merging and "layers.0" not in merging)
    return "timm" if is_timm else "official"


def file_name(name: str, layout: str) -> str:
    """Return the name that a tensor has in the layout's files, given the one it has in memory."""
    return _replace(name, _TRANSFORMERS_5) if layout == "transformers" else name


def paired_names(
    names: Iterable[str], layout: str
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pair our names with the layout's: laid end to end, both sides hold the same numbers.

    Most pairs are one to one.  transformers stores queries, keys and values apart; torchvision
    stores V2's biases as one, with zeros for the key, which our side calls ``ZEROS``.
    """
    pairs = []
    for name in names:
        ours = theirs = (name,)
        if layout == "transformers" and ".qkv." in name:
            theirs = tuple(name.replace("qkv", part) for part in ("query", "key", "value"))
        elif layout == "torchvision" and name.endswith(".q_bias"):
            ours = (name, ZEROS, name.replace("q_bias", "v_bias"))
            theirs = (name.replace("q_bias", "qkv.bias"),)
        elif layout == "torchvision" and name.endswith(".v_bias"):
            continue
        pairs.append((ours, tuple(layout_name(part, layout) for part in theirs)))
    return pairs


def redivide(tensors: list[Tensor], parts: int) -> tuple[Tensor, ...]:
    """Turn one side of a pair into the other: lay it end to end, and cut it into equal parts."""
    if len(tensors) == parts == 1:
        return (tensors[0],)
    return torch.cat(tensors).tensor_split(parts)


def _replace(name: str, table: Iterable) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


# --- buffers that follow from the window ---


def is_derived(name: str) -> bool:
    """Return whether a tensor of a file is one that the model computes for itself."""
    return name.rsplit(".", 1)[-1] in _DERIVED


def demanded_buffers(model: SwinTransformer, layout: str) -> dict[str, Tensor]:
    """Return the derived buffers without which the layout's reader does not load strictly."""
    buffers = {}
    for ours, attention in attentions(model):
        index = relative_position_index(attention.window_size).clone()  # safetensors shares nothing
        index_name = layout_name(f"{ours}.relative_position_index", layout)
        if layout == "torchvision":
            buffers[index_name] = index.flatten()
            if isinstance(attention, WindowAttentionV2):
                name = layout_name(f"{ours}.relative_coords_table", layout)
                buffers[name] = _coordinates(attention)
        elif layout == "transformers" and model.config.version == 1:  # by versions before 5
            buffers[index_name] = index
    return buffers


def attentions(model: SwinTransformer) -> Iterator[tuple[str, WindowAttention]]:
    """Yield the name and the attention of each block."""
    for name, module in model.named_modules():
        if isinstance(module, WindowAttention):
            yield name, module


def pretrained_windows(
    model: SwinTransformer, buffers: dict[str, Tensor], layout: str
) -> tuple[Size, ...] | None:
    """Return the window that each stage's V2 coordinates are scaled for; None without such."""
    windows = []
    for stage in range(len(model.layers)):
        name = f"layers.{stage}.blocks.0.attn.relative_coords_table"
        coordinates = buffers.get(layout_name(name, layout))
        if coordinates is None or not _are_coordinates(coordinates):
            return None
        windows.append(_pretrained_window(coordinates))
    return tuple(windows)


def _coordinates(attention: WindowAttentionV2) -> Float[Tensor, "1 offsets_h offsets_w 2"]:
    """Return what V2's network is fed for each offset, as a map of offsets."""
    offsets = log_spaced_offsets(attention.window_size, attention.pretrained_window_size)
    return offsets.clone().view(1, *(2 * window - 1 for window in attention.window_size), 2)


def _are_coordinates(tensor: Tensor) -> bool:
    """Return whether a file's tensor can be what ``_coordinates`` returns for some window."""
    if tensor.is_meta or tensor.layout != torch.strided or not tensor.is_floating_point():
        return False
    is_map = tensor.ndim == 4 and tensor.shape[-1] == 2 and tensor.numel() > 0
    return is_map and bool((tensor.abs() < 10).all())  # 10 stands for an offset of 2 ** 30


def _pretrained_window(coordinates: Float[Tensor, "1 offsets_h offsets_w 2"]) -> Size:
    """Undo ``log_spaced_offsets``: the largest offset, M - 1, stands for 8 (M - 1) / (P - 1)."""
    window = []
    for axis, offsets in enumerate(coordinates.shape[1:3]):
        largest = 2 ** (3 * coordinates[..., axis].max().item()) - 1
        window.append(round(1 + 8 * (offsets // 2) / largest) if largest else 1)
    return window[0] if window[0] == window[1] else tuple(window)
