"""Weights in and out of files, in any of the four public layouts (chapters 06 and 11).

Loading never guesses: every tensor of the file and of the model is accounted for in a report, and
if anything does not fit, nothing is changed.  The layouts themselves are in ``weight_layouts``, the
files in ``weight_files``.
"""

import functools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from swin_tutorial.model import SwinTransformer
from swin_tutorial.model_tensors import (
    HEAD,
    check_weights,
    fill,
    first_three,
    named_tensors,
    unwrapped,
)
from swin_tutorial.weight_files import read_tensors, write_tensors
from swin_tutorial.weight_layouts import (
    LAYOUTS,
    ZEROS,
    attentions,
    demanded_buffers,
    file_name,
    is_derived,
    layout_name,
    paired_names,
    pretrained_windows,
    recognize_layout,
    redivide,
    without_prefixes,
)
from swin_tutorial.windows import Size, window_axes

File = str | os.PathLike


@dataclass(frozen=True)
class LoadReport:
    """What ``load_weights`` did with every tensor of the file and of the model.

    Args:
        file: the file's path.
        layout: the layout that it was recognized as.
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
                lines.append(f"  {what}: {first_three(list(names))}")
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


def load_weights(model: nn.Module, file: File) -> LoadReport:
    """Fill a model with the weights of a file in any of the four public layouts, V1 or V2.

    The layout is recognized by its names.  V1's bias tables are resized where the window differs
    (bicubic, head by head).  V2 computes its bias for any window; where the file holds its
    coordinates (timm's and transformers' do not), a note says if ``pretrained_window_sizes`` should
    be another.  A head for another number of classes is left out.  Whatever else does not fit is
    an error, and then nothing is changed.

    Args:
        model: the model to fill, of the file's version and size.  It may be wrapped, see
            ``save_weights``.
        file: a ``.safetensors`` file, or else a PyTorch file, which may nest the weights under
            "model" or "state_dict".  Only tensors are read from it: no code in it is ever run.

    Raises FileNotFoundError if there is no such file, and ValueError naming it if it is damaged,
    holds something else than weights, is of no known layout, or does not fit the model, and
    ValueError for a model that is not a whole ``SwinTransformer``.
    """
    model = unwrapped(model)
    state = named_tensors(model)
    found = _renamed(read_tensors(Path(file)), without_prefixes, file)
    layout = recognize_layout(found)
    if layout is None:
        raise ValueError(
            f"{file} holds no Swin Transformer in a layout known here ({', '.join(LAYOUTS)}); "
            f"its tensors are {first_three(list(found))}"
        )
    found = _renamed(found, functools.partial(file_name, layout=layout), file)
    derived, found = _split(found, is_derived)
    check_weights(found, str(file))

    # A head for other classes is left out, on both sides.
    head = {layout_name(name, layout): name for name in HEAD}
    if all(_shape(found, theirs) == _shape(state, ours) for theirs, ours in head.items()):
        wanted, left_out = state, {}
    else:
        wanted = {name: tensor for name, tensor in state.items() if name not in HEAD}
        left_out, found = _split(found, lambda name: name in head)

    # Everything else must fit.
    match = _match(found, wanted, _table_windows(model), layout)
    if match.problems:
        is_v2 = any(name.endswith(".logit_scale") for name in found)
        raise ValueError(
            f"{file} ({layout} layout, Swin V{2 if is_v2 else 1}) does not fit this model "
            f"(Swin V{model.config.version}, embed_dim {model.config.embed_dim}, depths "
            f"{model.config.depths}): {first_three(match.problems, '; ')}.  Nothing was loaded; "
            "create the model that the file was made from"
        )
    report = LoadReport(
        file=str(file),
        layout=layout,
        loaded=tuple(match.new),
        resized=tuple(match.resized),
        recomputed=tuple(derived),
        left_out=tuple(left_out),
        missing=tuple(name for name in state if name not in match.new),
        notes=(*match.notes, *_pretrained_window_note(model, derived, layout)),
    )
    fill(state, match.new)
    return report


def save_weights(model: nn.Module, file: File, layout: str = "official") -> None:
    """Write a model's weights, exact to the bit, so that they load in another implementation.

    The file appears whole or not at all.  What its reader demands is there too: torchvision's
    derived buffers, and the "model" that the official code looks for in a PyTorch file.
    transformers gets the names of its files, for ``from_pretrained``.

    Args:
        model: the model to save, which may be inside ``torch.compile``, ``DataParallel``,
            ``DistributedDataParallel`` or ``AveragedModel``.
        file: where to; safetensors if it ends in ``.safetensors``, else a PyTorch file.
        layout: "official", "timm", "torchvision" or "transformers".

    Raises ValueError for an unknown layout, and for a model that is not a whole
    ``SwinTransformer``: its tensors would be written under names that nobody reads.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"there is no layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    model = unwrapped(model)
    state = named_tensors(model)
    tensors = {}
    for ours, theirs in paired_names(state, layout):
        zeros = torch.zeros_like(state[ours[0]])
        parts = redivide([zeros if name == ZEROS else state[name] for name in ours], len(theirs))
        tensors.update(zip(theirs, parts, strict=True))
    tensors.update(demanded_buffers(model, layout))
    if layout == "transformers":
        base = "swin" if model.config.version == 1 else "swinv2"
        tensors = {
            name if name.startswith("classifier") else f"{base}.{name}": tensor
            for name, tensor in tensors.items()
        }
    # Copies, since safetensors writes no two tensors that share memory.
    copies = {
        name: tensor.cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    write_tensors(copies, Path(file), nested=layout == "official")


def resize_bias_table(
    table: Float[Tensor, "offsets heads"], window_size: Size
) -> Float[Tensor, "new_offsets heads"]:
    """Resize the V1 bias table of a square window to another window: bicubic, head by head.

    A table of the same size comes back unchanged.  Raises ValueError unless ``table`` is of a
    square window and ``window_size`` has two axes.
    Source: the official code's ``load_pretrained``.
    """
    side = math.isqrt(len(table))
    sides = tuple(2 * window - 1 for window in window_axes(window_size))
    if side**2 != len(table) or side % 2 == 0 or len(sides) != 2:
        raise ValueError(
            f"a table of {len(table)} rows cannot be resized to window_size {window_size}: only "
            "(2M - 1) ** 2 rows, the table of a square window of M x M, can, and only to two axes"
        )
    if sides == (side, side):
        return table
    images = rearrange(table.float(), "(row column) heads -> 1 heads row column", row=side)
    images = F.interpolate(images, size=sides, mode="bicubic")
    return rearrange(images, "1 heads row column -> (row column) heads").to(table.dtype)


# --- fitting a file to a model ---


@dataclass
class _Match:
    """New values for a model's tensors, names of the resized ones, notes, and what is wrong."""

    new: dict[str, Tensor] = field(default_factory=dict)
    resized: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def _match(
    found: dict[str, Tensor], wanted: dict[str, Tensor], windows: dict[str, Size], layout: str
) -> _Match:
    """Find a new value for each wanted tensor; ``windows`` names the tables and their windows."""
    match = _Match()
    unused = dict(found)
    for ours, theirs in paired_names(wanted, layout):
        tensors = [unused.pop(name) for name in theirs if name in unused]
        shapes = {_shape(found, name) for name in theirs}
        if shapes & {None, ()} or len(shapes) > 1:
            match.problems.append(
                f"{' + '.join(theirs)}: missing from the file, or of different shapes"
            )
            continue
        for name, part in zip(ours, redivide(tensors, len(ours)), strict=True):
            if name == ZEROS:
                if part.any() and not match.notes:
                    match.notes.append(
                        "the file's key biases are not zero; V2 has none, so they go"
                    )
            elif part.shape == wanted[name].shape:
                match.new[name] = part
            elif name in windows and _is_square_table(part, heads=wanted[name].shape[1]):
                match.new[name] = resize_bias_table(part, windows[name])
                match.resized.append(name)
            else:
                match.problems.append(
                    f"{' + '.join(theirs)}: {tuple(part.shape)} in the file, as {name} is "
                    f"{tuple(wanted[name].shape)} in the model"
                )
    match.problems += [f"{name}: in the file alone" for name in unused]
    for name, tensor in match.new.items():
        match.new[name] = tensor.to(wanted[name])  # its type and device
        lost = tensor.double().isfinite().sum() - match.new[name].double().isfinite().sum()
        if lost:
            match.problems.append(f"{name}: numbers too large for {wanted[name].dtype}")
    if broken := [name for name, tensor in match.new.items() if not tensor.isfinite().all()]:
        match.notes.append(f"the file holds NaN or infinity in {first_three(broken)}")
    return match


def _is_square_table(table: Tensor, heads: int) -> bool:
    """Return whether a tensor is the bias table of a square window, (2M - 1) ** 2 rows."""
    side = math.isqrt(len(table))
    return table.ndim == 2 and table.shape == (side**2, heads) and side % 2 == 1


def _table_windows(model: SwinTransformer) -> dict[str, Size]:
    """Return the window of each bias table of a V1 model, by the table's name."""
    if model.config.version == 2:
        return {}
    return {
        f"{name}.relative_position_bias_table": attention.window_size
        for name, attention in attentions(model)
    }


def _pretrained_window_note(
    model: SwinTransformer, derived: dict[str, Tensor], layout: str
) -> list[str]:
    """Say if the file's V2 coordinates are scaled for other windows than the model's."""
    files = pretrained_windows(model, derived, layout)
    models = pretrained_windows(model, demanded_buffers(model, "torchvision"), "torchvision")
    if files is None or files == models:
        return []
    return [
        f"the position bias was trained with windows of {files} and this model's coordinates are "
        f"scaled for {models}: to have the bias as it was trained, create the model with "
        f"pretrained_window_sizes={files}"
    ]


def _renamed(
    tensors: dict[str, Tensor], rename: Callable[[str], str], file: File
) -> dict[str, Tensor]:
    """Return tensors under other names, of which each must be another."""
    renamed = {}
    for name, tensor in tensors.items():
        if rename(name) in renamed:
            raise ValueError(
                f"{file} holds {rename(name)} twice, once as {name}: save one model's "
                "state_dict() alone"
            )
        renamed[rename(name)] = tensor
    return renamed


def _split(
    found: dict[str, Tensor], chosen: Callable[[str], bool]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors whose names are chosen, and the others."""
    yes = {name: tensor for name, tensor in found.items() if chosen(name)}
    return yes, {name: tensor for name, tensor in found.items() if name not in yes}


def _shape(tensors: dict[str, Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(tensors[name].shape) if name in tensors else None
