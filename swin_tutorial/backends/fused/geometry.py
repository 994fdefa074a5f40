"""Where the tokens of a window stand in the map: index arithmetic in place of pad, roll and mask.

Each axis is worked out alone, with the definitions of ``swin_tutorial.axis``, and the map is the
product of its two axes, as in ``swin_tutorial.grid``.  ``geometry`` is always (height, width, shift
of rows, shift of columns), the shifts being the effective ones; WINDOW, MASK_PADDING (whether
padding is hidden from real tokens) and PERIODIC have one value per axis.
"""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit
@no_type_check
def places_on_axis(
    window,
    place,
    size,
    shift,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    PERIODIC: tl.constexpr,
):
    """Return the (position, is real, strip) of places of a window, and the axis's strip count.

    Position counts in the axis as it was before padding and shift.
    """
    windows = (size + WINDOW - 1) // WINDOW
    padded = windows * WINDOW

    # The token at shifted position y' stood at y' + shift, or came round the end of the axis.
    position = window * WINDOW + place + shift
    came_round = position >= padded
    position = tl.where(came_round, position - padded, position)
    is_real = position < size

    # A shift cuts off the start of the axis as a strip of its own, number 0, and it is that strip's
    # tokens that come round.  All others keep the order of the windows.
    is_shifted = (shift > 0).to(tl.int32)
    strip = tl.where(came_round, 0, window + is_shifted)
    strips = windows + is_shifted
    if PERIODIC:
        strip = tl.where(strip == windows, 0, strip)  # the last strip goes on in the first
        strips = windows
    elif MASK_PADDING:
        real_strips = (size - shift + WINDOW - 1) // WINDOW + is_shifted
        strip = tl.where(is_real, strip, real_strips)
        strips = real_strips + (size < padded).to(tl.int32)
    return position, is_real, strip, strips


@triton.jit
@no_type_check
def token_places(
    window,
    token,
    geometry,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    PERIODIC: tl.constexpr,
):
    """Return the (row, column, is real, region) of tokens of a window, both numbered row by row.

    ``WindowGrid.origin`` names the same row and column, ``WindowGrid.region_ids`` the same region.
    """
    height, width, shift_rows, shift_columns = geometry
    windows_in_row = (width + WINDOW[1] - 1) // WINDOW[1]
    row, row_is_real, row_strip, _ = places_on_axis(
        window // windows_in_row, token // WINDOW[1], height, shift_rows,
        WINDOW[0], MASK_PADDING[0], PERIODIC[0],
    )  # fmt: skip
    column, column_is_real, column_strip, column_strips = places_on_axis(
        window % windows_in_row, token % WINDOW[1], width, shift_columns,
        WINDOW[1], MASK_PADDING[1], PERIODIC[1],
    )  # fmt: skip
    region = row_strip * column_strips + column_strip
    return row, column, row_is_real & column_is_real, region


@triton.jit
@no_type_check
def crosses_end(
    window,
    size,
    shift,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    PERIODIC: tl.constexpr,
):
    """Return whether a window's last token stands beyond the last one that it may attend to."""
    last = (window + 1) * WINDOW - 1 + shift
    end = (size + WINDOW - 1) // WINDOW * WINDOW  # padding is a part of the axis like any other
    if PERIODIC:
        end += WINDOW  # the axis goes on, and no window reaches that far
    elif MASK_PADDING:
        end = size
    return last >= end


@triton.jit
@no_type_check
def may_need_mask(
    window, geometry, WINDOW: tl.constexpr, MASK_PADDING: tl.constexpr, PERIODIC: tl.constexpr
):
    """Return whether a window may hold several regions; a window that does not needs no mask.

    That is 49 of 64 windows at the first stage of Swin-T, and 1 of 4 at the third.
    """
    height, width, shift_rows, shift_columns = geometry
    windows_in_row = (width + WINDOW[1] - 1) // WINDOW[1]
    in_rows = crosses_end(
        window // windows_in_row, height, shift_rows, WINDOW[0], MASK_PADDING[0], PERIODIC[0]
    )
    in_columns = crosses_end(
        window % windows_in_row, width, shift_columns, WINDOW[1], MASK_PADDING[1], PERIODIC[1]
    )
    return in_rows | in_columns


@triton.jit
@no_type_check
def lane_places(
    window,
    lane,
    geometry,
    WINDOW: tl.constexpr,
    MASK_PADDING: tl.constexpr,
    PERIODIC: tl.constexpr,
):
    """Return, for each lane, its token's (place in the map, is there, is padding, region).

    Lanes come in powers of two.  Those left over stand in for the window's last token, so that
    their softmax is finite, and neither read nor write: they are not there.
    """
    TOKENS: tl.constexpr = WINDOW[0] * WINDOW[1]
    token = tl.minimum(lane, TOKENS - 1)
    row, column, is_real, region = token_places(
        window, token, geometry, WINDOW, MASK_PADDING, PERIODIC
    )
    has_token = lane < TOKENS
    return row * geometry[1] + column, has_token & is_real, has_token & (is_real == 0), region
