"""What the explorer's state may be: Python's bad values raise, the page's are clamped."""

import reprlib
from typing import Any

from swin_tutorial.grid import WindowGrid

LARGEST_SIZE = 64  # tokens; LIMITS in js/state.js says the same
LARGEST_WINDOW = 16

SIZES = ("height", "width", "window_size", "shift_size")
CHOICES = {"padding": ("mask", "attend"), "masked": (True, False), "form": ("boolean", "additive")}
# In the order in which they depend on each other.
STATE = (*SIZES, *CHOICES, "query", "key", "selected_window")


def validate(name: str, state: dict[str, Any]) -> str:
    """Return why ``state[name]`` is invalid beside the rest of the state; "" if it is valid."""
    value = state[name]
    if name in SIZES:
        low, high = _range(name, state)
        is_within = type(value) is int and low <= value <= high
        than = f", smaller than window_size {state['window_size']}" if name == "shift_size" else ""
        return "" if is_within else f"must be a whole number, {low} to {high}{than}"
    if name in CHOICES:
        choices = CHOICES[name]
        is_known = any(value == one and type(value) is type(one) for one in choices)
        return "" if is_known else f"must be {choices[0]!r} or {choices[1]!r}"
    for one in (*SIZES, "padding"):  # without these there is no map to be on
        if why := validate(one, state):
            return f"needs a possible map: {one} {why}, got {state[one]!r}"
    grid = grid_of(state)
    if name == "query":
        height, width = grid.padded_size
        is_token = _is_token(value, grid)
        return (
            "" if is_token else f"must be the (row, column) of a token of the {height}x{width} map"
        )
    if name == "key":
        if value is None:
            return ""
        if why := validate("query", state):
            return f"must be None beside such a query, which {why}"
        window, _ = grid.locate(state["query"])
        is_key = _is_token(value, grid) and grid.locate(value)[0] == window
        return "" if is_key else f"must be None or a token of the query's window, {window}"
    last = grid.num_windows - 1
    is_window = type(value) is int and 0 <= value <= last
    return "" if is_window else f"must be the number of a window, 0 to {last}"


def clamp(state: dict[str, Any], wanted: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return ``wanted`` with valid values, as near as possible, and a reason for each change.

    ``state`` is what it is now.  A shift that a smaller window leaves too large is lowered too.
    """
    merged, reasons = {**state, **wanted}, []
    checked = [name for name in STATE if name in wanted or name == "shift_size"]
    for name in checked:
        why = validate(name, merged)
        if why:
            was, merged[name] = merged[name], _nearest(name, merged, state[name])
            reasons.append(f"{name} {reprlib.repr(was)} became {merged[name]!r}: it {why}")
    return {name: merged[name] for name in checked}, reasons


def grid_of(state: dict[str, Any]) -> WindowGrid:
    """Return the geometry of a state as the package's own value."""
    size = state["height"], state["width"]
    return WindowGrid(size, state["window_size"], state["shift_size"], state["padding"])


def _range(name: str, state: dict[str, Any]) -> tuple[int, int]:
    if name == "shift_size":
        return 0, state["window_size"] - 1
    return 1, LARGEST_WINDOW if name == "window_size" else LARGEST_SIZE


def _nearest(name: str, state: dict[str, Any], before: Any) -> Any:
    if name in CHOICES:
        return before
    if name == "key":
        return None
    if name == "query":
        last = (size - 1 for size in grid_of(state).padded_size)
        return tuple(map(min, before, last))
    if name == "selected_window":
        return min(before, grid_of(state).num_windows - 1)
    low, high = _range(name, state)
    value = state[name] if type(state[name]) is int else before
    return min(max(value, low), high)


def _is_token(value: Any, grid: WindowGrid) -> bool:
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(type(one) is int for one in value)
        and all(0 <= one < size for one, size in zip(value, grid.padded_size, strict=True))
    )
