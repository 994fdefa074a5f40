"""The explorer on a page, for tests: where its tokens are, what is lit, what ought to be."""

from dataclasses import dataclass, field

from playwright.sync_api import Locator, Page

from swin_tutorial.grid import WindowGrid

MATRIX_MARGIN = 26  # pixels

# The tokens of a map over whose middle something is painted on the upper canvas.
PAINTED = """([overlay, rows, columns]) => {
    const copy = document.createElement('canvas');
    [copy.width, copy.height] = [overlay.width, overlay.height];
    const pen = copy.getContext('2d', {willReadFrequently: true});
    pen.drawImage(overlay, 0, 0);
    const [h, w] = [overlay.height / rows, overlay.width / columns];
    const found = [];
    for (let y = 0; y < rows; y++) {
        for (let x = 0; x < columns; x++) {
            const pixel = pen.getImageData((x + 0.5) * w, (y + 0.5) * h, 1, 1).data;
            if (pixel[3] > 0) found.push([y, x]);
        }
    }
    return found;
}"""


@dataclass
class Explored:
    """An explorer that is open on a page, ``root`` its outermost element."""

    page: Page
    grid: WindowGrid
    root: Locator = field(init=False)

    def __post_init__(self):
        self.root = self.page.locator(".mask-explorer").first

    def view(self, name: str) -> Locator:
        """Return the upper canvas of a view: "home", "rolled" or "matrix"."""
        return self.root.locator(f"canvas[data-view={name}]")

    def slider(self, trait: str) -> Locator:
        return self.root.locator(f"input[type=range][data-trait={trait}]")

    def number(self, trait: str) -> Locator:
        return self.root.locator(f"input[type=number][data-trait={trait}]")

    def choice(self, trait: str, value) -> Locator:
        return self.root.locator(f'button[data-trait={trait}][data-value="{value}"]')

    def stage(self, name: str) -> Locator:
        return self.root.locator(".me-stages").get_by_role("button", name=name, exact=True)

    def at(self, view: str, row: int, column: int) -> dict[str, float]:
        """Return the middle of a token of a view, or of a pair of the matrix, within its canvas."""
        box = self.view(view).bounding_box()
        if view == "matrix":
            # 2 pixels at the right and the bottom are the frame's.
            cell = (box["width"] - MATRIX_MARGIN - 2) / self.grid.tokens_per_window
            start = MATRIX_MARGIN
        else:
            cell, start = box["width"] / self.grid.padded_size[1], 0
        return {"x": start + (column + 0.5) * cell, "y": start + (row + 0.5) * cell}

    def hover(self, view: str, row: int, column: int) -> None:
        self.view(view).hover(position=self.at(view, row, column))

    def click(self, view: str, row: int, column: int) -> None:
        self.view(view).click(position=self.at(view, row, column))

    def press(self, view: str, *keys: str) -> None:
        for key in keys:
            self.view(view).press(key)

    def said(self) -> str:
        return self.root.locator(".me-sentence").inner_text()

    def notice(self) -> str:
        return self.root.locator(".me-notice").inner_text()

    def data(self, name: str) -> str:
        return self.root.get_attribute(f"data-{name}")

    def homes(self, name: str) -> set[tuple[int, int]]:
        """Return the tokens that a data- attribute lists."""
        return {tuple(map(int, home.split(","))) for home in self.data(name).split()}

    def painted(self, view: str) -> set[tuple[int, int]]:
        """Return the tokens of a map that are marked on the canvas, by their place in the view."""
        arguments = [self.view(view).element_handle(), *self.grid.padded_size]
        return set(map(tuple, self.page.evaluate(PAINTED, arguments)))


def homes_of(grid: WindowGrid, window: int) -> list[tuple[int, int]]:
    """Return the home (row, column) of every token of a window."""
    return [grid.origin(window, index) for index in range(grid.tokens_per_window)]


def keys_of(grid: WindowGrid, query: tuple[int, int]) -> tuple[int, set, set]:
    """Return, by the package, a query's window, the keys that it may attend to, and the rest."""
    window, index = grid.locate(query)
    may_attend = dict(zip(homes_of(grid, window), grid.mask()[window, index].tolist(), strict=True))
    allowed = {home for home, allowed in may_attend.items() if allowed}
    return window, allowed, set(may_attend) - allowed


def rolled(grid: WindowGrid, homes: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return where tokens lie after the roll."""
    return {
        tuple(
            (place - shift) % size
            for place, shift, size in zip(home, grid.effective_shift, grid.padded_size, strict=True)
        )
        for home in homes
    }
