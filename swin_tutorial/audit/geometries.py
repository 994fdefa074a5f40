"""Maps on which the usual mistakes can't hide."""

from swin_tutorial.grid import WindowGrid
from swin_tutorial.reference import Numbers


def default_sizes(window_size: Numbers, periodic: tuple[bool, ...]) -> list[Numbers]:
    """Return maps to try windows of this size on.

    A mistake on one axis hides where both axes are alike, so the sides of most maps differ.  On one
    map they are equal, since code that takes them for equal is right there.  Padding of at least
    ``window - shift`` tokens hides a missing mask, so some maps need a single token of padding.
    The shift is dropped on an axis that one window spans, and only there.
    """
    choices = [
        (2 * m, 3 * m, m) if is_ring else (2 * m, 3 * m, m, 3 * m - 1, m - 1, 2 * m + 1, 1)
        for m, is_ring in zip(window_size, periodic, strict=True)
    ]
    # Each axis goes through its choices, one step ahead of the axis before it, then two steps.
    sizes = [
        tuple(lengths[(turn + ahead * axis) % len(lengths)] for axis, lengths in enumerate(choices))
        for turn in range(max(map(len, choices)))
        for ahead in (1, 2)
    ]
    if len(set(window_size)) == 1:
        sizes.append(tuple(2 * m for m in window_size))
    return [size for size in dict.fromkeys(sizes) if min(size) > 0]


def default_geometries() -> list[WindowGrid]:
    """Return images to try a class of blocks on.

    The shift is not half the window, which would hide that a roll goes the wrong way.
    """
    return [
        WindowGrid(size, window, shift, padding="attend")
        for window, shift in ((4, 1), (5, 2))
        for size in default_sizes((window, window), (False, False))
    ]
