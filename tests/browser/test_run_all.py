"""Run All, in JupyterLab, as a reader does it: every notebook, start to end."""

from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
ARE_WHOLE = """async images => {
    await Promise.allSettled(images.map(image => image.decode()));
    return images.every(image => image.naturalWidth > 0);
}"""


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_run_all(visit, path):
    visit.open(path.name)
    visit.run_all()
    cells = visit.cells()

    assert errors_in(cells) == []
    assert not_run(cells) == []
    assert images_in(cells) == images_in(nbformat.read(path, nbformat.NO_CONVERT).cells)
    explorers = explorers_in(cells)
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
    """Count the widgets for which an image stands in.  A progress bar is one that has none."""
    return count_outputs(cells, "application/vnd.jupyter.widget-view+json", "image/png")


def count_outputs(cells, *kinds):
    outputs = [output for cell in code_cells(cells) for output in cell["outputs"]]
    return sum(output.get("data", {}).keys() >= set(kinds) for output in outputs)
