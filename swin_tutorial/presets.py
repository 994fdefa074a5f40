"""The published sizes, each with the published windows, by name (chapter 06)."""

import dataclasses
from typing import Any

from swin_tutorial.model import SwinConfig, SwinTransformer

_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "depths": (2, 2, 6, 2), "drop_path_rate": 0.2},
    "small": {"embed_dim": 96, "depths": (2, 2, 18, 2), "drop_path_rate": 0.3},
    "base": {"embed_dim": 128, "depths": (2, 2, 18, 2), "drop_path_rate": 0.5},
    "large": {"embed_dim": 192, "depths": (2, 2, 18, 2), "drop_path_rate": 0.2},
}
_VARIANTS: dict[str, dict[str, Any]] = {
    "swin_{}": {"window_size": 7},
    "swin_{}_384": {"window_size": 12},
    "swin_v2_{}": {"version": 2, "window_size": 8},
    # At 256 pixels the map of the last stage has 8 x 8 tokens.
    "swin_v2_{}_window16": {"version": 2, "window_sizes": (16, 16, 16, 8)},
}


def _num_heads(embed_dim: int) -> tuple[int, ...]:
    """Return the heads of each stage: one for 32 channels, as in every published model."""
    return tuple(embed_dim * 2**stage // 32 for stage in range(4))


PRESETS = {
    name.format(size): SwinConfig(num_heads=_num_heads(fields["embed_dim"]), **fields, **variant)
    for name, variant in _VARIANTS.items()
    for size, fields in _SIZES.items()
}


def create_model(name: str, **overrides) -> SwinTransformer:
    """Return a model by the name of its preset, with any field of ``SwinConfig`` overridden.

    ``swin_tiny`` to ``swin_large`` are for 224 pixels and window 7, ``..._384`` for 384 pixels and
    window 12; ``swin_v2_tiny`` to ``swin_v2_large`` are for 256 pixels and window 8,
    ``..._window16`` for window 16.  All take images of any other size too.
    Raises ValueError for an unknown name and TypeError for an unknown field.
    """
    if name not in PRESETS:
        raise ValueError(f"there is no model {name!r}: choose one of {', '.join(PRESETS)}")
    known = [field.name for field in dataclasses.fields(SwinConfig)]
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise TypeError(f"SwinConfig has no field {unknown}: it has {', '.join(known)}")
    if "window_size" in overrides:  # which the preset's own window of each stage would hide
        overrides = {"window_sizes": None, **overrides}
    return SwinTransformer(dataclasses.replace(PRESETS[name], **overrides))
