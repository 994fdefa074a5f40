"""Weights in and out, in the four layouts that Swin Transformers are published in (chapters 06 and
11).

A layout is a way of naming, and sometimes of joining, the same tensors.  Ours is the official
code's.  Each layout is one table that turns our names into its own; loading reads it backwards.
No weight is ever permuted: all four join the 2 x 2 tokens of a merging layer column before row,
and number the offsets of a bias table row by row.
"""

import math
import os
import pickle
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from swin_tutorial.model import SwinTransformer

File = str | os.PathLike

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

# Version 5 of transformers has new names in memory, though its files keep the old ones.
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
_WRAPPING = re.compile(r"^((module|_orig_mod|model|swin|swinv2)\.)*")

# Buffers that follow from the window size or the image's: the model computes its own.
_DERIVED = ("attn_mask", "relative_position_index", "relative_coords_table")
_HEAD = ("head.weight", "head.bias")
_ZEROS = "zeros"


@dataclass(frozen=True)
class LoadReport:
    """What ``load_weights`` did with every tensor of the file and of the model.

    Args:
        file: the file's path.
        layout: the layout that it was recognised as.
        loaded: tensors of the model that now hold the file's values.
        resized: those of them that are bias tables resized to this model's window.
        recomputed: derived buffers of the file, which the model computes for itself.
        left_out: tensors of the file that the model has no use for: another number of classes.
        missing: tensors of the model that the file did not fill and that stay as they were.
        notes: what else a reader should know, in words.
    """

    file: str
    layout: str
    loaded: tuple[str, ...]
    resized: tuple[str, ...]
    recomputed: tuple[str, ...]
    left_out: tuple[str, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing)
        lines = [f"{self.file}, {self.layout} layout: loaded {len(self.loaded)} of {total} tensors"]
        for what, names in (
            ("resized to this model's window", self.resized),
            ("computed anew by the model", self.recomputed),
            ("in the file and left out", self.left_out),
            ("in the model and left as they were", self.missing),
        ):
            if names:
                lines.append(f"  {what}: {_first(names)}")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


def load_weights(model: SwinTransformer, file: File) -> LoadReport:
    """Fill a model with the weights of a file in any of the four public layouts, V1 or V2.

    The layout is recognised by its names.  V1's bias tables are resized where the window differs
    (bicubic, head by head); V2 computes its bias for any window, and where the file holds its
    coordinates (timm's and transformers' do not) a note says if ``pretrained_window_size`` should
    be another.  A head for another number of classes is left out.  Whatever else does not fit is
    an error, and then nothing is changed.

    Args:
        model: the model to fill, of the file's version and size.
        file: a ``.safetensors`` file, or else a PyTorch file, which may nest the weights under
            "model" or "state_dict".  Only tensors are read from it: no code in it is ever run.

    Raises FileNotFoundError if there is no such file, and ValueError naming it if it is damaged,
    holds something else than weights, is of no known layout, or does not fit the model.
    """
    found = _read(file)
    layout = _layout(found)
    if layout is None:
        raise ValueError(
            f"{file} holds no Swin Transformer in a layout known here ({', '.join(LAYOUTS)}); "
            f"its tensors are {_first(found)}"
        )
    if layout == "transformers":
        found = {_replace(name, _TRANSFORMERS_5): tensor for name, tensor in found.items()}
    state = model.state_dict()
    derived, found = _parted(found, lambda name: name.rsplit(".", 1)[-1] in _DERIVED)
    head = {_renamed(name, layout): name for name in _HEAD}
    if all(_shape(found, theirs) == _shape(state, ours) for theirs, ours in head.items()):
        wanted, left_out = state, {}
    else:
        wanted = {name: tensor for name, tensor in state.items() if name not in _HEAD}
        left_out, found = _parted(found, lambda name: name in head)
    new, resized, notes, problems = _fitted(found, wanted, layout)
    if problems:
        raise ValueError(
            f"{file} ({layout} layout, Swin V{2 if _is_v2(found) else 1}) does not fit this model "
            f"(Swin V{model.config.version}, channels {model.config.channels}, depths "
            f"{model.config.depths}): {_first(problems, '; ')}.  Nothing was loaded; "
            "create the model that the file was made from"
        )
    notes += _pretrained_window_note(model, derived, layout)
    model.load_state_dict({**state, **new})
    return LoadReport(
        file=str(file),
        layout=layout,
        loaded=tuple(new),
        resized=tuple(resized),
        recomputed=tuple(derived),
        left_out=tuple(left_out),
        missing=tuple(name for name in state if name not in new),
        notes=tuple(notes),
    )


def save_weights(model: SwinTransformer, file: File, layout: str = "official") -> None:
    """Write a model's weights, exact to the bit, so that they load in another implementation.

    The file appears whole or not at all.  What its reader demands is there too: torchvision's
    derived buffers, and the "model" that the official code looks for in a PyTorch file.
    transformers gets the names of its files, for ``from_pretrained``.

    Args:
        model: the model to save.
        file: where to; safetensors if it ends in ``.safetensors``, else a PyTorch file.
        layout: "official", "timm", "torchvision" or "transformers".

    Raises ValueError for an unknown layout.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"there is no layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    state = model.state_dict()
    tensors = {}
    for ours, theirs in _pairs(state, layout):
        zeros = torch.zeros_like(state[ours[0]])
        parts = _redivided([zeros if n == _ZEROS else state[n] for n in ours], theirs)
        tensors.update(zip(theirs, parts, strict=True))
    tensors.update(_demanded_buffers(model, layout))
    if layout == "transformers":
        base = "swin" if model.config.version == 1 else "swinv2"
        tensors = {
            name if name.startswith("classifier") else f"{base}.{name}": tensor
            for name, tensor in tensors.items()
        }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    _write(tensors, Path(file), nested=layout == "official")


def resized_bias_table(
    table: Float[Tensor, "offsets heads"], window_size: int
) -> Float[Tensor, "new_offsets heads"]:
    """Resize a V1 bias table to another (square) window: bicubic, each head as an image.

    A table of the same size comes back unchanged.
    Source: the official code's ``load_pretrained``.
    """
    old, new = 2 * _table_window(table) - 1, 2 * window_size - 1
    if old == new:
        return table
    images = rearrange(table.float(), "(row column) heads -> 1 heads row column", row=old)
    images = F.interpolate(images, size=(new, new), mode="bicubic")
    return rearrange(images, "1 heads row column -> (row column) heads").to(table.dtype)


# --- names ---


def _replace(name: str, table: Iterable) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def _renamed(name: str, layout: str) -> str:
    return _replace(name, LAYOUTS[layout])


def _pairs(names: Iterable[str], layout: str) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pair our tensors with theirs such that, laid end to end, both sides hold the same numbers.

    Most are one to one.  transformers has queries, keys and values apart; torchvision has V2's
    biases in one, with zeros for the key.
    """
    pairs = []
    for name in names:
        ours = theirs = (name,)
        if layout == "transformers" and ".qkv." in name:
            theirs = tuple(name.replace("qkv", one) for one in ("query", "key", "value"))
        elif layout == "torchvision" and name.endswith(".q_bias"):
            ours = (name, _ZEROS, name.replace("q_bias", "v_bias"))
            theirs = (name.replace("q_bias", "qkv.bias"),)
        elif layout == "torchvision" and name.endswith(".v_bias"):
            continue
        pairs.append((ours, tuple(_renamed(one, layout) for one in theirs)))
    return pairs


def _redivided(tensors: list[Tensor], names: tuple[str, ...]) -> tuple[Tensor, ...]:
    """Lay tensors end to end and cut them into as many equal parts as there are names."""
    if len(tensors) == len(names) == 1:
        return (tensors[0],)
    return torch.cat(tensors).tensor_split(len(names))


def _layout(found: dict[str, Tensor]) -> str | None:
    """Return the layout whose names these are, None if there is none."""
    if "features.0.0.weight" in found:
        return "torchvision"
    if "embeddings.patch_embeddings.projection.weight" in found:
        return "transformers"
    if "patch_embed.proj.weight" not in found:
        return None
    # Without a head only the merging layers tell: timm's first stage has none.
    merges = {name.split(".downsample.")[0] for name in found if ".downsample." in name}
    is_timm = "head.fc.weight" in found or (merges and "layers.0" not in merges)
    return "timm" if is_timm else "official"


def _is_v2(found: dict[str, Tensor]) -> bool:
    return any(name.endswith(".logit_scale") for name in found)


def _parted(
    found: dict[str, Tensor], chosen: Callable[[str], bool]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors whose names are chosen, and the others."""
    yes = {name: tensor for name, tensor in found.items() if chosen(name)}
    return yes, {name: tensor for name, tensor in found.items() if name not in yes}


def _shape(tensors: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None


def _first(items: Iterable[str], between: str = ", ") -> str:
    items = list(items)
    more = f"{between}and {len(items) - 3} more" if len(items) > 3 else ""
    return between.join(items[:3]) + more


# --- fitting a file to a model ---


def _fitted(
    found: dict[str, Tensor], wanted: dict[str, Tensor], layout: str
) -> tuple[dict[str, Tensor], list[str], list[str], list[str]]:
    """Return new values for the wanted tensors, names of resized ones, notes, and what is wrong."""
    new, resized, notes, problems = {}, [], [], []
    unused = dict(found)
    for ours, theirs in _pairs(wanted, layout):
        tensors = [unused.pop(name, None) for name in theirs]
        shapes = {_shape(found, name) for name in theirs}
        if shapes & {None, ()} or len(shapes) > 1:
            problems.append(f"{' + '.join(theirs)}: missing from the file, or of different shapes")
            continue
        for name, part in zip(ours, _redivided(tensors, ours), strict=True):
            if name == _ZEROS:
                if part.any() and not notes:
                    notes.append("the file's key biases are not zero; V2 has none, so they go")
            elif part.shape == wanted[name].shape:
                new[name] = part
            elif _resizable(name, part, wanted[name]):
                new[name] = resized_bias_table(part, _table_window(wanted[name]))
                resized.append(name)
            else:
                problems.append(
                    f"{' + '.join(theirs)}: {tuple(part.shape)} in the file, as {name} is "
                    f"{tuple(wanted[name].shape)} in the model"
                )
    problems += [f"{name}: in the file alone" for name in unused]
    return new, resized, notes, problems


def _table_window(table: Tensor) -> int:
    """Return the window size M of a bias table with (2M - 1) ** 2 rows."""
    return (math.isqrt(table.shape[0]) + 1) // 2


def _resizable(name: str, table: Tensor, like: Tensor) -> bool:
    is_table = name.endswith("relative_position_bias_table") and table.ndim == 2
    return is_table and table.shape == ((2 * _table_window(table) - 1) ** 2, like.shape[1])


def _demanded_buffers(model: SwinTransformer, layout: str) -> dict[str, Tensor]:
    """Return the derived buffers without which the layout's reader does not load strictly."""
    buffers = {}
    for name, buffer in model.named_buffers():
        if layout == "torchvision" and name.endswith("relative_position_index"):
            buffers[_renamed(name, layout)] = buffer.flatten()
        elif layout == "torchvision":
            side = math.isqrt(len(buffer))
            buffers[_renamed(name, layout)] = rearrange(buffer, "(h w) c -> 1 h w c", h=side)
        elif layout == "transformers" and model.config.version == 1:  # by versions before 5
            buffers[_renamed(name, layout)] = buffer
    return buffers


def _pretrained_window_note(model: SwinTransformer, derived: dict, layout: str) -> list[str]:
    """Say if the file's V2 coordinates are scaled for other windows than the model's."""
    files, models = [], []
    for stage in range(len(model.layers)):
        name = f"layers.{stage}.blocks.0.attn.relative_coords_table"
        coordinates = derived.get(_renamed(name, layout))
        if model.config.version == 1 or coordinates is None:
            return []
        files.append(_pretrained_window(coordinates))
        models.append(_pretrained_window(model.get_buffer(name)))
    if files == models:
        return []
    return [
        f"the position bias was trained with windows of {tuple(files)} and this model's "
        f"coordinates are scaled for {tuple(models)}: to have the bias as it was trained, "
        f"create the model with pretrained_window_size={tuple(files)}"
    ]


def _pretrained_window(coordinates: Tensor) -> int:
    """Undo ``log_spaced_offsets``: the largest offset, M - 1, stands for 8 (M - 1) / (P - 1)."""
    side = math.isqrt(coordinates.numel() // 2)
    largest = 2 ** (3 * coordinates.max().item()) - 1
    return round(1 + 8 * (side - 1) / 2 / largest) if largest else 1


# --- files ---


def _read(file: File) -> dict[str, Tensor]:
    """Return the tensors of a file by name, without the wrappings that training put around them."""
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        if path.suffix == ".safetensors":
            content = safetensors.torch.load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} was refused: it is damaged, or holds more than tensors, which could run any "
            "code when unpickled.  Only if you trust its source: read it there with torch.load, "
            "and save the model's state_dict() alone"
        ) from error
    except Exception as error:  # a damaged file can raise anything
        kind = "safetensors" if path.suffix == ".safetensors" else "PyTorch"
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as weights: it is empty, cut "
            f"short or not a {kind} file.  Fetch it again"
        ) from error
    while isinstance(content, dict):
        inner = [content[key] for key in ("model", "state_dict") if key in content]
        if not inner or isinstance(inner[0], Tensor):
            break
        content = inner[0]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path} holds no tensors by name: save a model's state_dict() in it")
    stray = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if stray:
        raise ValueError(
            f"{path} holds more than tensors by name ({_first(stray)}): "
            "save a model's state_dict() alone, or under the key 'model'"
        )
    return {_WRAPPING.sub("", name): tensor for name, tensor in content.items()}


def _write(tensors: dict[str, Tensor], path: Path, nested: bool) -> None:
    """Write a file beside its final place and move it there once it is whole."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".safetensors":
            safetensors.torch.save_file(tensors, unfinished, metadata={"format": "pt"})
        else:
            torch.save({"model": tensors} if nested else tensors, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
