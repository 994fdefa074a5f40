"""The figures of chapter 08: maps with two bars, and differences seed by seed."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from swin_tutorial.figures.maps import draw_windows, frame_tokens
from swin_tutorial.figures.style import INK, PALETTE
from swin_tutorial.training.intervals import mean_and_interval


def draw_bars(
    axes: Axes, bars: Float[Tensor, "h w 3"], window_size: int, shift_size: int, title: str = ""
) -> None:
    """Draw a map with a red bar and a blue bar on white, and outline its windows."""
    height, width = bars.shape[:2]
    red, _, blue = bars.clamp(0, 1).unbind(-1)
    # On white paper a red bar lacks green and blue, and a blue bar lacks red and green.
    image = (
        1
        - (red[..., None] * bars.new_tensor([0, 1, 1]))
        - blue[..., None] * bars.new_tensor([1, 0.6, 0])
    )
    axes.imshow(image.clamp(0, 1).numpy(), extent=(0, width, height, 0), interpolation="nearest")
    frame_tokens(axes, (height, width), title)
    draw_windows(axes, (height, width), window_size, shift_size)


def draw_paired_differences(axes: Axes, differences: Mapping[str, Sequence[float]]) -> None:
    """Draw a row of dots for each name, one a seed, with their mean and its 95 % interval."""
    axes.axvline(0, color=INK, lw=0.8)
    for row, values in enumerate(differences.values()):
        mean, half = mean_and_interval(values)
        heights = [row + 0.1 * (i % 3 - 1) for i in range(len(values))]  # equal values stay apart
        axes.plot(values, heights, "o", color=PALETTE[0], ms=5, mec=INK, mew=0.3)
        axes.errorbar(mean, row + 0.3, xerr=half, fmt="D", color=PALETTE[4], ms=5, capsize=4)
        axes.annotate(
            f"{mean:+.2f} ± {half:.2f}".replace("-", "−"),  # as on the axis
            (1.02, row),
            xycoords=("axes fraction", "data"),
            va="center",
        )
    axes.set_yticks(range(len(differences)), list(differences))
    axes.set(
        ylim=(len(differences) - 0.4, -0.6),
        xlabel="← worse without it     accuracy, in points     better without it →",
    )
