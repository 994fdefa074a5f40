"""The explorer in JupyterLab, between a kernel and a reader: each follows what the other sets."""

import os
import time
from pathlib import Path

import nbformat
from explorers import Explored, keys_of
from nbformat.v4 import new_code_cell, new_notebook
from test_run_all import images_in

from swin_tutorial.grid import WindowGrid

SOON = 20_000  # milliseconds
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
START = """from swin_tutorial.explorer import MaskExplorer
explorer = MaskExplorer(height=8, width=12, window_size=4, shift_size=2)
explorer"""
MODEL = """import torch
from swin_tutorial.model import SwinConfig, SwinTransformer
torch.manual_seed(0)
model = SwinTransformer(SwinConfig(embed_dim=12, depths=(2,), num_heads=(3,), window_size=4))
image = torch.rand(1, 3, 32, 48)
attention = MaskExplorer.from_model(model, image, block=(0, 1))
attention"""
ASK = """async ([code, expression]) => {
    const kernel = panel.sessionContext.session.kernel;
    const future = kernel.requestExecute({code, user_expressions: {it: expression}});
    const {content} = await future.done;
    if (content.status !== 'ok') return `${content.ename}: ${content.evalue}`;
    const it = content.user_expressions.it;
    return it.status === 'ok' ? it.data['text/plain'] : it.evalue;
}"""


class Notebook:
    """An open notebook with an explorer: ``explored`` on the page, ``python`` in the kernel."""

    def __init__(self, visit, name, *sources):
        cells = [new_code_cell(source) for source in sources]
        nbformat.write(new_notebook(cells=cells, metadata=KERNEL), visit.lab.folder / name)
        visit.open(name)
        visit.run_all()
        visit.page.wait_for_selector(".mask-explorer[data-query]", timeout=SOON)
        self.visit = visit
        self.explored = Explored(visit.page, WindowGrid((8, 12), 4, 2))

    def python(self, code: str, expression: str = "None") -> str:
        """Run code in the kernel and return an expression's repr, or the error."""
        return self.visit.page.evaluate(ASK, [code, expression])

    def wait_until(self, attribute: str, value: str) -> None:
        selector = f'.mask-explorer[data-{attribute}="{value}"]'
        self.visit.page.wait_for_selector(selector, timeout=SOON)

    def wait_for_python(self, expression: str, value: str) -> None:
        """Wait until an expression has a value: the kernel hears of the page a little later."""
        deadline = time.monotonic() + SOON / 1000
        while (found := self.python("", expression)) != value and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found == value

    def take_screenshot(self, name: str) -> None:
        if folder := os.environ.get("SCREENSHOTS"):
            self.explored.root.screenshot(path=Path(folder) / name)


def test_python_and_the_page_follow_each_other(visit):
    notebook = Notebook(visit, "two_ways.ipynb", START)
    explored = notebook.explored

    # Python sets, the page shows.
    notebook.python("explorer.query = (7, 2)")
    notebook.wait_until("query", "7,2")
    window, allowed, forbidden = keys_of(explored.grid, (7, 2))
    assert explored.data("window") == str(window) == notebook.python("", "explorer.selected_window")
    assert explored.homes("allowed") == allowed
    assert explored.homes("forbidden") == forbidden
    assert explored.painted("home") == allowed | forbidden
    notebook.python("explorer.selected_window = 5")
    notebook.wait_until("window", "5")
    notebook.python("explorer.masked = False")
    notebook.wait_until("forbidden", "")

    # The page sets, Python hears of it.
    notebook.python("heard = []; explorer.observe(lambda change: heard.append(change.name))")
    explored.choice("masked", "true").click()
    explored.slider("height").fill("10")
    explored.slider("shift_size").fill("1")
    explored.choice("padding", "attend").click()
    explored.click("home", 9, 11)
    notebook.wait_until("query", "9,11")
    state = "(explorer.masked, explorer.padding, explorer.query, explorer.notice)"
    notebook.wait_for_python(state, "(True, 'attend', (9, 11), '')")
    assert notebook.python("", "explorer") == (
        "MaskExplorer(height=10, width=12, window_size=4, shift_size=1)"
    )
    for name in ("height", "shift_size", "padding", "query", "selected_window"):
        assert f"'{name}'" in notebook.python("", "heard")
    check = (
        "from swin_tutorial.masks import shifted_window_mask; import torch; "
        "same = torch.equal(explorer.mask(), shifted_window_mask((10, 12), 4, 1, 'attend'))"
    )
    assert notebook.python(check, "same") == "True"
    grid = WindowGrid((10, 12), 4, 1, "attend")
    assert explored.homes("allowed") == keys_of(grid, (9, 11))[1]

    # Keys pressed in a view are not JupyterLab's shortcuts.
    explored.press("home", "ArrowUp", "ArrowUp", "ArrowLeft")
    notebook.wait_until("query", "7,10")
    assert explored.view("home").evaluate("canvas => canvas === document.activeElement")
    notebook.wait_for_python("explorer.query", "(7, 10)")

    # An invalid value raises in Python; on the page it is clamped, in both places.
    assert "TraitError: shift_size must be" in notebook.python("explorer.shift_size = 4")
    explored.number("width").fill("100")
    explored.number("width").press("Enter")
    notebook.visit.page.wait_for_selector(".me-notice:not(:empty)", timeout=SOON)
    notebook.wait_for_python("explorer.width", "64")
    notebook.python("explorer.query = (9, 60)")
    notebook.wait_until("query", "9,60")
    assert (visit.errors, visit.strangers) == ([], [])


def test_both_themes_and_two_views_of_one_explorer(visit):
    notebook = Notebook(visit, "themes.ipynb", START, "explorer")
    roots = visit.page.locator(".mask-explorer")
    visit.page.wait_for_function("document.querySelectorAll('.mask-explorer').length === 2")
    notebook.explored.click("home", 3, 4)
    visit.page.wait_for_function(
        "[...document.querySelectorAll('.mask-explorer')].every(e => e.dataset.query === '3,4')"
    )
    assert roots.count() == 2

    background = "e => getComputedStyle(e).backgroundColor"
    light = notebook.explored.root.evaluate(background)
    notebook.take_screenshot("lab-light.png")
    visit.wait_for(
        """async () => {
            await jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'});
            return document.body.dataset.jpThemeLight === 'false';
        }"""
    )
    visit.page.wait_for_function(
        "light => getComputedStyle(document.querySelector('.mask-explorer'))"
        ".backgroundColor !== light",
        arg=light,
    )
    notebook.take_screenshot("lab-dark.png")
    visit.page.set_viewport_size({"width": 600, "height": 1000})
    visit.page.wait_for_timeout(300)
    notebook.take_screenshot("lab-dark-600.png")
    assert (visit.errors, visit.strangers) == ([], [])


def test_attention_of_a_model(visit):
    notebook = Notebook(visit, "attention.ipynb", START.rsplit("\n", 1)[0], MODEL)
    explored = notebook.explored
    heads = explored.root.locator(".me-headmap")
    assert heads.count() == 3
    explored.hover("home", 0, 0)
    assert explored.data("window") == "5"
    weights = notebook.python(
        "from swin_tutorial.explorer.weights import attention_weights as aw; "
        "grid, w = aw(model, image, (0, 1)); token = grid.tokens_per_window - 6",
        "[round(100 * one) for one in w[0, 5, :, token].max(-1).values.tolist()]",
    )
    shares = heads.locator("p").evaluate_all(
        "all => all.map(p => Number(p.textContent.match(/most, (\\d+) %/)[1]))"
    )
    assert str(shares) == weights
    assert heads.first.get_attribute("data-leaked") == "0.000"
    explored.choice("masked", "false").click()
    visit.page.wait_for_function(
        "Number(document.querySelector('.me-headmap').dataset.leaked) > 0.1"
    )
    notebook.take_screenshot("lab-attention.png")
    assert explored.slider("height").is_disabled()
    assert "the model" in notebook.python("attention.height = 9")
    assert (visit.errors, visit.strangers) == ([], [])


def test_a_stored_notebook_shows_the_pictures(visit):
    """Where no kernel has run a chapter, its explorers are PNGs."""
    visit.open("09_mask_explorer.ipynb")
    images = visit.page.locator(".jp-OutputArea .jp-RenderedImage img")
    assert images.count() == images_in(visit.cells()) >= 2
    assert visit.page.locator(".mask-explorer").count() == 0
    assert (visit.errors, visit.strangers) == ([], [])
