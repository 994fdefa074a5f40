"""The widget: its state is traits, which Python checks and the page follows and changes."""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anywidget
import torch
import traitlets
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from swin_tutorial import figures
from swin_tutorial.explorer import assets
from swin_tutorial.explorer.pictures import (
    Picture,
    as_address,
    as_picture,
    check_address,
    stretched,
)
from swin_tutorial.explorer.snapshot import snapshot_figure
from swin_tutorial.explorer.state import (
    LARGEST_SIZE,
    LARGEST_WINDOW,
    SIZES,
    STATE,
    clamp,
    grid_of,
    validate,
)
from swin_tutorial.explorer.weights import attention_weights
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import additive_mask

LEVELS = 65535  # of a weight, sent as a 16-bit number: 1.0 is the largest, 0 exactly 0


class WholeNumber(traitlets.Int):
    """A trait that takes neither True nor False, which Python counts as 1 and 0."""

    def validate(self, obj: Any, value: Any) -> int:
        """Return the value; TraitError if it is no whole number."""
        if isinstance(value, bool):
            raise traitlets.TraitError(f"{self.name} must be a whole number, got {value!r}")
        return super().validate(obj, value)


class MaskExplorer(anywidget.AnyWidget):
    """A shifted-window geometry to look at, point at and change, on the page and from Python.

    Every argument but ``image`` is a trait, which can be set and observed; the page follows, and
    sets it in turn.  Windows are square here.  A token is named by its (row, column) in the map as
    it is, before the roll, padding included.

    Args:
        height, width: size of the map in tokens, 1 to 64.
        window_size: rows and columns of a window in tokens, 1 to 16.
        shift_size: 0 to ``window_size - 1``.
        padding: "mask" or "attend", see ``WindowGrid``.
        masked: whether the mask is on; off shows what leaks between the edges of the map.
        form: how the mask's entries are written, "boolean" or "additive".
        query: the token whose keys are lit.  Its window is ``selected_window``.
        key: a token of the same window, to look at one pair; or None.
        selected_window: set it to move the query to the same place in another window.
        image: a photograph's name (``photographs.PHOTOGRAPHS``), an image, or an array (h w 3) of
            values between 0 and 1; None for plain tokens.

    Setting an invalid value raises ``traitlets.TraitError``; one from the page is clamped instead,
    and ``notice`` says why.

    >>> explorer = MaskExplorer(height=8, width=12, window_size=4, shift_size=2)
    >>> explorer.query = (7, 2)
    >>> explorer.mask()[explorer.selected_window]
    """

    height = WholeNumber(8).tag(sync=True)
    width = WholeNumber(12).tag(sync=True)
    window_size = WholeNumber(4).tag(sync=True)
    shift_size = WholeNumber(2).tag(sync=True)
    padding = traitlets.Unicode("mask").tag(sync=True)
    masked = traitlets.Bool(True).tag(sync=True)
    form = traitlets.Unicode("boolean").tag(sync=True)
    query = traitlets.Tuple(WholeNumber(), WholeNumber(), default_value=(0, 0)).tag(sync=True)
    key = traitlets.Tuple(WholeNumber(), WholeNumber(), allow_none=True, default_value=None).tag(
        sync=True
    )
    selected_window = WholeNumber(5).tag(sync=True)
    notice = traitlets.Unicode("").tag(sync=True)

    _image = traitlets.Unicode("").tag(sync=True)  # an address that holds the picture itself
    _heads = traitlets.Int(0).tag(sync=True)  # of the model whose weights are shown; 0 for none
    _weights = traitlets.Bytes(b"").tag(sync=True)

    PYTHONS_OWN = ("_image", "_heads", "_weights")  # which no page may set

    _esm = assets.script("widget.js")
    _css = assets.style()

    def __init__(self, image: Picture = "chelsea", **state: Any):
        unknown = sorted(set(state) - set(STATE))
        if unknown:
            known = ", ".join(("image", *STATE))
            raise TypeError(f"MaskExplorer takes no {unknown[0]!r}: it takes {known}")
        window_size = state.get("window_size", 4)
        if isinstance(window_size, int):
            state.setdefault("shift_size", window_size // 2)
        selected_window = state.pop("selected_window", None)
        self._fixed: dict[str, Any] = {}  # by a model
        self._picture = as_picture(image)
        super().__init__(_image=as_address(self._picture), **state)
        self._follow_query()
        if selected_window is not None:
            self.selected_window = selected_window

    @classmethod
    def from_model(
        cls,
        model: nn.Module,
        image: Float[Tensor, "1 rgb h w"],
        block: tuple[int, int] = (0, 1),
        picture: Picture = None,
    ) -> "MaskExplorer":
        """Return an explorer of one block's attention weights, head by head, under its mask.

        ``image`` is the model's input; ``block`` is (stage, block), both from 0.  ``picture`` is
        what to show as the image, by default the input stretched to between 0 and 1.  The sizes and
        the padding are the block's and stay fixed; with ``masked`` off, the weights are those that
        the block would compute without its mask.
        The model is left as it was, in training or evaluation mode; it may be compiled or wrapped.
        Raises ValueError for what is no ``SwinTransformer``, for a block that it does not have, for
        more than one image, for a map too large to show, and for windows that are not square.
        """
        grid, weights = attention_weights(model, image, block)
        (height, width), (window_size, _) = grid.size, grid.window_size
        if max(height, width) > LARGEST_SIZE or window_size > LARGEST_WINDOW:
            raise ValueError(
                f"block {block} has a map of {height}x{width} tokens and windows of "
                f"{window_size}; at most {LARGEST_SIZE} and {LARGEST_WINDOW} can be shown: "
                "choose a later stage or a smaller image"
            )
        explorer = cls(
            image=stretched(image[0]) if picture is None else picture,
            height=height,
            width=width,
            window_size=window_size,
            shift_size=grid.shift_size[0],
            padding=grid.padding[0],
        )
        if explorer.grid != grid:
            raise ValueError(
                f"block {block} has the windows {grid}; the explorer only shows square ones, with "
                "one shift and one padding for both axes, none of which is periodic"
            )
        levels = (weights * LEVELS).round().to(torch.int32).numpy().astype("<u2")
        explorer._weights = levels.tobytes()
        explorer._heads = weights.shape[2]
        explorer._fixed = {name: getattr(explorer, name) for name in (*SIZES, "padding")}
        return explorer

    @contextlib.contextmanager
    def hold_trait_notifications(self) -> Iterator[None]:
        """Set several traits in a block; they are checked together at its end.

        If anything is raised, by the check or in the block, all are as they were before.
        """
        with super().hold_trait_notifications():
            before = self._state()
            try:
                yield
            except BaseException:  # traitlets itself would keep what has been set so far
                for name, value in before.items():
                    self.set_trait(name, value)
                raise

    @property
    def grid(self) -> WindowGrid:
        """The geometry as the package's own value."""
        return grid_of(self._state())

    def mask(self) -> Bool[Tensor, "n t t"] | Float[Tensor, "n t t"]:
        """Return the mask as it is shown: boolean or additive, nothing forbidden if it is off."""
        mask = self.grid.mask()
        if not self.masked:
            mask = torch.ones_like(mask)
        return additive_mask(mask) if self.form == "additive" else mask.clone()

    def query_mask(self) -> Shaped[Tensor, "m m"]:
        """Return the query's row of the mask, folded to the window's shape: what it may see."""
        row = self.mask()[self.selected_window, self.token]
        return row.view(self.window_size, self.window_size)

    @property
    def token(self) -> int:
        """The query's index in its window, row by row."""
        return self.grid.locate(self.query)[1]

    def export_html(self, path: str | Path) -> Path:
        """Write the explorer as one page that needs neither a kernel nor the net; return its path.

        It starts in the state shown here.  A model's attention weights are left out.
        """
        path = Path(path)
        state = {name: getattr(self, name) for name in STATE if name != "selected_window"}
        path.write_text(assets.page({**state, "image": self._image}), "utf-8")
        return path

    # --- how it is shown ---

    def show(self) -> None:
        """Show the explorer here, also in the middle of a cell."""
        figures.show_bundle(*self._repr_mimebundle_())

    def describe(self) -> str:
        """Say in two sentences what is lit: the alternative text of the picture."""
        row = self.grid.mask()[self.selected_window, self.token]
        return (
            f"Mask explorer: {self.height} by {self.width} tokens, windows of {self.window_size} "
            f"by {self.window_size}, shift {self.shift_size}. The query {self.query} may attend to "
            f"{int(row.sum())} of the {len(row)} tokens of window {self.selected_window}."
        )

    def __repr__(self) -> str:
        sizes = (f"{name}={getattr(self, name)}" for name in SIZES)
        return f"MaskExplorer({', '.join(sizes)})"

    def _repr_mimebundle_(self, **_) -> tuple[dict, dict]:
        """Return the widget, a picture of it, and a text that is the same in every run."""
        bundle, metadata = super()._repr_mimebundle_()
        figure = snapshot_figure(self.grid, self._picture, self.selected_window, self.token)
        width = figures.shown_width(figure)
        png = base64.b64encode(figures.as_png(figure)).decode()
        return (
            {**bundle, "text/plain": repr(self), "image/png": png},
            {**metadata, "image/png": {"alt": self.describe(), "width": width}},
        )

    # --- what may be set ---

    def set_state(self, sync_data: dict) -> None:
        """Take over what the page has set; invalid values are clamped, ``notice`` says why."""
        ours = {name: value for name, value in sync_data.items() if name in STATE}
        valid, reasons = clamp(self._state(), ours)
        fixed = {
            name: value for name, value in self._fixed.items() if valid.get(name, value) != value
        }
        reasons += [f"{name} stays {value!r}: the model fixes it" for name, value in fixed.items()]
        others = {name: value for name, value in sync_data.items() if name not in self.PYTHONS_OWN}
        reasons += [f"{name} is set by Python alone" for name in sync_data.keys() - others.keys()]
        super().set_state({**others, **valid, **fixed})
        if reasons:
            self.notice = "; ".join(reasons)

    @traitlets.validate("_image")
    def _check_image(self, proposal: dict) -> str:
        try:
            return check_address(proposal["value"])
        except ValueError as error:
            raise traitlets.TraitError(f"_image {error}") from None

    @traitlets.validate(*STATE)
    def _check(self, proposal: dict) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        state = {**self._state(), name: value}
        if why := validate(name, state):
            raise traitlets.TraitError(f"{name} {why}, got {value!r}")
        if name == "window_size" and validate("shift_size", state):
            raise traitlets.TraitError(
                f"window_size {value} must be larger than shift_size {self.shift_size}: lower "
                "shift_size first, or set both in a block: with explorer.hold_trait_notifications()"
            )
        if self._fixed.get(name, value) != value:
            raise traitlets.TraitError(
                f"{name} {value!r} cannot be set: the model whose attention is shown fixes it at "
                f"{self._fixed[name]!r}"
            )
        return value

    # --- query and window go together ---

    @traitlets.observe(*SIZES, "query")
    def _follow_query(self, _=None) -> None:
        self.query = self._query_on_map()
        self.selected_window = self.grid.locate(self.query)[0]
        if validate("key", self._state()):
            self.key = None

    @traitlets.observe("selected_window")
    def _follow_window(self, _) -> None:
        # In a block, the map may have become smaller too.
        window, index = self.grid.locate(self._query_on_map())
        if window != self.selected_window:
            self.query = self.grid.origin(self.selected_window, index)

    def _query_on_map(self) -> tuple[int, int]:
        last = (size - 1 for size in self.grid.padded_size)
        return tuple(map(min, self.query, last))

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in STATE}
