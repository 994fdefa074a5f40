"""Figures that move: each ``animate_...`` returns an animated PNG, ``show_animation`` shows it.

Every first frame makes sense as a still, for pages and readers that show no motion.
"""

from swin_tutorial.figures.motion.animation import Animation, show_animation
from swin_tutorial.figures.motion.mask_rows import animate_mask_rows
from swin_tutorial.figures.motion.packing import animate_packing
from swin_tutorial.figures.motion.reach import animate_reach
from swin_tutorial.figures.motion.roll import animate_roll
from swin_tutorial.figures.motion.two_axes import animate_and

__all__ = [
    "Animation",
    "animate_and",
    "animate_mask_rows",
    "animate_packing",
    "animate_reach",
    "animate_roll",
    "show_animation",
]
