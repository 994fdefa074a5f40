"""Run All, in JupyterLab, as a reader does it: every chapter with an explorer, start to end.

The other chapters need no browser to be checked; nbval runs them.
"""

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
WITH_EXPLORER = ("00_start_here", "09_mask_explorer")
ARE_WHOLE = """async images => {
    await Promise.allSettled(images.map(image => image.decode()));
    return images.every(image => image.naturalWidth > 0);
}"""


def test_no_chapter_with_an_explorer_is_left_out():
    texts = {path.stem: path.read_text("utf-8") for path in NOTEBOOKS.glob("*.ipynb")}
    found = {name for name, text in texts.items() if "MaskExplorer(" in text}
    assert found == set(WITH_EXPLORER)


@pytest.mark.parametrize("name", WITH_EXPLORER)
def test_run_all(visit, name):
    path = NOTEBOOKS / f"{name}.ipynb"
    visit.open(path.name)
    visit.run_all()
    cells = visit.cells()

    assert errors_in(cells) == []
    assert not_run(cells) == []
    assert images_in(cells) == images_in(nbformat.read(path, nbformat.NO_CONVERT).cells)
    explorers = explorers_in(cells)
    assert explorers >= 1
    visit.page.wait_for_function(
        "count => document.querySelectorAll('.mask-explorer[data-query]').length === count",
        arg=explorers,
    )
    # An explorer is shown instead of the image that stands in for it.
    shown = visit.page.locator(".jp-OutputArea .jp-RenderedImage img")
    assert shown.count() == images_in(cells) - explorers
    assert shown.evaluate_all(ARE_WHOLE)
    assert visit.strangers == []
    assert visit.errors == []


def code_cells(cells):
    return [c for c in cells if c["cell_type"] == "code" and "".join(c["source"]).strip()]


def not_run(cells):
    return [c["source"] for c in code_cells(cells) if c["execution_count"] is None]


def errors_in(cells):
    outputs = [output for cell in code_cells(cells) for output in cell["outputs"]]
    return [f"{o['ename']}: {o['evalue']}" for o in outputs if o["output_type"] == "error"]


def images_in(cells):
    return count_outputs(cells, "image/png")


def explorers_in(cells):
    """Count the widgets that have an image to stand in for them; a progress bar has none."""
    return count_outputs(cells, "application/vnd.jupyter.widget-view+json", "image/png")


def count_outputs(cells, *kinds):
    outputs = [output for cell in code_cells(cells) for output in cell["outputs"]]
    return sum(output.get("data", {}).keys() >= set(kinds) for output in outputs)
