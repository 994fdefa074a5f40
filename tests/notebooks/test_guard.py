"""The stored notebooks pass the guard, and the guard refuses bad ones."""

import base64

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from guard import (
    abnormal,
    absolute_paths,
    bare_figures,
    complaints_about,
    dark_on_page,
    large_cells,
    misnumbered,
    not_compared,
    unexecuted,
    without_reason,
)
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from normalize import NOTEBOOKS, as_text, normalize

from swin_tutorial import figures

# How many cells of a notebook nbval may not compare strictly.  Each gives its reason in its first
# comment; one more is a decision to take here.
NOT_COMPARED: dict[str, int] = {"02_cyclic_shift.ipynb": 1, "07_training.ipynb": 2}

STORED = sorted(NOTEBOOKS.glob("*.ipynb"))
PIXEL = base64.b64encode(figures.as_png(plt.figure(figsize=(0.1, 0.1)))).decode()
ALT = "A cat, cut into 4 by 4 windows"


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_stored_notebook_is_in_order(path):
    assert complaints_about(path) == []


@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_cells_that_are_not_compared_are_counted(path):
    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    assert len(not_compared(notebook)) == NOT_COMPARED.get(path.name, 0)


def test_numbers_are_the_reading_order():
    assert misnumbered([path.name for path in STORED]) == []


# --- the guard itself ---


def cell(source="1 + 1", count=1, outputs=(), tags=()):
    return new_code_cell(
        source, id="here", execution_count=count, outputs=list(outputs), metadata={"tags": [*tags]}
    )


def notebook(*cells):
    built = new_notebook()
    built.cells = list(cells)  # unlike an argument, left as it is: all have one id
    return built


def image(alt=ALT):
    metadata = {"image/png": {"alt": alt}} if alt else {}
    return new_output("display_data", {"image/png": PIXEL}, metadata=metadata)


def caption(text="*Figure 1.* Windows."):
    return new_markdown_cell(text)


@pytest.mark.parametrize("count", [None, 2])
def test_refuses_a_cell_that_was_not_run_in_order(count):
    assert unexecuted(notebook(cell(count=1))) == []
    assert len(unexecuted(notebook(cell(count=count)))) == 1


def test_an_empty_cell_need_not_be_run():
    assert unexecuted(notebook(cell(" \n", count=None), cell(count=1))) == []


def test_refuses_an_error():
    error = new_output("error", ename="ValueError", evalue="", traceback=[])
    assert unexecuted(notebook(cell(outputs=[error]))) == ["here: its output is an error"]


@pytest.mark.parametrize("tag", ["nbval-skip", "nbval-ignore-output", "nbval-raises-exception"])
@pytest.mark.parametrize(
    "source", ["1 + 1", "# timing\n1 + 1", "1 + 1  # the time differs every run"]
)
def test_refuses_a_tag_without_a_reason(tag, source):
    assert len(without_reason(notebook(cell(source, tags=[tag])))) == 1


def test_accepts_a_tag_with_a_reason():
    tagged = notebook(cell("# wall time differs from run to run\nprint(t)", tags=["nbval-skip"]))
    assert len(not_compared(tagged)) == 1
    assert without_reason(tagged) == []


def test_counts_the_comments_that_nbval_reads_too():
    commented = notebook(cell("# PYTEST_VALIDATE_IGNORE_OUTPUT\nprint(t)"))
    assert len(not_compared(commented)) == len(without_reason(commented)) == 1
    assert not_compared(notebook(cell("print(t)", tags=["solution"]))) == []


@pytest.mark.parametrize("alt", ["", "a cat"])
def test_refuses_an_image_without_alternative_text(alt):
    assert len(bare_figures(notebook(cell(outputs=[image(alt)]), caption()))) == 1
    assert bare_figures(notebook(cell(), cell(outputs=[image(), image()]), caption())) == []


def figure_with_words(color, on_panel=False):
    with figures.house_style():
        figure, axes = plt.subplots(figsize=(4, 2))
        figures.draw_regions(axes, torch.arange(6).view(2, 3), "six regions")
        figures.draw_windows(axes, (2, 3), 2, 1)
        where = (1.5, 1.0) if on_panel else (1.5, -0.3)
        axes.annotate("some words", where, (0.1, where[1]), color=color, annotation_clip=False)
    return new_output(
        "display_data", {"image/png": base64.b64encode(figures.as_png(figure)).decode()}
    )


def test_refuses_dark_words_on_the_page():
    dark, gray, inside = (
        dark_on_page(notebook(cell(outputs=[figure_with_words(*options)])))
        for options in ((figures.INK,), (figures.TEXT,), (figures.INK, True))
    )
    assert len(dark) == 1
    assert "use figures.TEXT there" in dark[0]
    assert gray == inside == []


@pytest.mark.parametrize("below", [[], [cell(), caption()], [caption("*Windows.*")]])
def test_refuses_an_image_without_a_caption(below):
    assert len(bare_figures(notebook(cell(outputs=[image()]), *below))) == 1


def test_refuses_a_cell_beyond_the_screen():
    assert large_cells(notebook(cell("\n".join(["x = 1"] * 35)), cell("x" * 100))) == []
    assert len(large_cells(notebook(cell("\n".join(["x = 1"] * 36)), cell("x" * 101)))) == 2


@pytest.mark.parametrize(
    "path", ["/work/project/x", "/tmp/a.png", "/home/me/x", "/root/x", "/Users/me"]
)
@pytest.mark.parametrize("before", ["", " ", '"', "=", "("])
def test_refuses_an_absolute_path(before, path):
    assert absolute_paths(f"{before}{path} more") == [f"absolute path {path}"]


@pytest.mark.parametrize(
    "text", ["iVB/tmp/AA+/root/", "data/work/x", "https://a.org/home/x", "1/2"]
)
def test_base64_and_relative_paths_and_addresses_are_not_absolute_paths(text):
    assert absolute_paths(text) == []


def test_refuses_what_is_not_normal():
    normal = normalize(notebook(cell()), "01")
    assert abnormal(normal, as_text(normal), "01") == []
    assert len(abnormal(normal, as_text(normal).rstrip(), "01")) == 1
    normal.metadata["widgets"] = {}
    assert len(abnormal(normal, as_text(normal), "01")) == 1


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["01_b.ipynb"],
        ["00_a.ipynb", "00_b.ipynb"],
        ["00_a.ipynb", "b.ipynb"],
        ["00_a.ipynb", "01.ipynb"],
    ],
)
def test_refuses_wrong_numbers(names):
    assert len(misnumbered(names)) == 1


def test_accepts_right_numbers_in_any_order_and_with_gaps():
    assert misnumbered(["01_cut_up.ipynb", "00_start_here.ipynb"]) == []
    assert misnumbered(["00_start_here.ipynb", "02_roll.ipynb"]) == []


def test_a_whole_file_is_checked(tmp_path):
    """Each kind of complaint reaches ``complaints_about``."""
    path = tmp_path / "00_bad.ipynb"
    bad = cell(f"# /tmp/x\n{'x' * 101}", count=None, outputs=[image("")], tags=["nbval-skip"])
    path.write_text(as_text(notebook(bad)).rstrip(), "utf-8")
    found = "\n".join(complaints_about(path))
    for part in (
        "execution count",
        "normal form",
        "says why",
        "alternative text",
        "columns",
        "/tmp/x",
    ):
        assert part in found
