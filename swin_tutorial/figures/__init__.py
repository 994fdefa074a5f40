"""Every figure of the series, in one palette that color-blind readers can tell apart.

Axes are in tokens: the token in row y and column x covers the square from (x, y) to
(x + 1, y + 1), with y pointing down.  Color never carries a meaning alone: regions carry their
number; queries, keys and forbidden keys each have a sign.

Chapters write ``from swin_tutorial import figures`` and ``figures.draw_mask(...)``.  What moves is
``figures.animate_...``, shown by ``figures.show_animation``.  The figures of a training run stand
apart in ``figures.training``, because they read a run's folder.
"""

from swin_tutorial.figures.maps import (
    draw_numbers,
    draw_padding,
    draw_picture,
    draw_regions,
    draw_windows,
    picture,
)
from swin_tutorial.figures.masks import draw_attended, draw_mask, draw_weights, mask_legend
from swin_tutorial.figures.motion import (
    Animation,
    animate_and,
    animate_mask_rows,
    animate_packing,
    animate_reach,
    animate_roll,
    show_animation,
)
from swin_tutorial.figures.style import (
    ALLOWED,
    FORBIDDEN,
    INK,
    PADDING,
    PALETTE,
    PIXELS_PER_INCH,
    QUERY,
    TEXT,
    as_png,
    house_style,
    region_color,
    show,
    show_bundle,
    show_source,
    shown_width,
    use_house_style,
)

__all__ = [
    "ALLOWED",
    "FORBIDDEN",
    "INK",
    "PADDING",
    "PALETTE",
    "PIXELS_PER_INCH",
    "QUERY",
    "TEXT",
    "Animation",
    "animate_and",
    "animate_mask_rows",
    "animate_packing",
    "animate_reach",
    "animate_roll",
    "as_png",
    "draw_attended",
    "draw_mask",
    "draw_numbers",
    "draw_padding",
    "draw_picture",
    "draw_regions",
    "draw_weights",
    "draw_windows",
    "house_style",
    "mask_legend",
    "picture",
    "region_color",
    "show",
    "show_animation",
    "show_bundle",
    "show_source",
    "shown_width",
    "use_house_style",
]
