"""What the browser tests rest on: a page's mishaps do not go unnoticed."""

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
FOREIGN = "http://swin.invalid/picture.png"


def test_a_visit_notes_what_goes_wrong(visit):
    sources = [
        "from IPython.display import HTML, Javascript",
        "Javascript('console.error(\"from the console\")')",
        "Javascript('setTimeout(() => {throw new Error(\"uncaught\")})')",
        f"HTML('<img src=\"{FOREIGN}\">')",
        "1 / 0",
        "'never run'",
    ]
    cells = [new_code_cell(source) for source in sources]
    nbformat.write(new_notebook(cells=cells, metadata=KERNEL), visit.lab.folder / "bad.ipynb")
    visit.page.route(FOREIGN, lambda route: route.abort())

    visit.open("bad.ipynb")
    visit.run_all()

    *_, fails, never_run = visit.cells()
    assert fails["outputs"][0]["ename"] == "ZeroDivisionError"
    assert never_run["execution_count"] is None
    errors = "\n".join(visit.errors)
    assert "from the console" in errors
    assert "uncaught" in errors
    assert set(visit.strangers) == {FOREIGN}  # JupyterLab may draw an output twice
