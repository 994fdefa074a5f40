"""The normal form: stable, complete, and what nbval then compares with."""

import copy
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from normalize import as_text, execute, normalize


@pytest.fixture
def messy():
    """A notebook as JupyterLab might save it."""
    outputs = [
        new_output("stream", name="stdout", text="one\n"),
        new_output("stream", name="stdout", text="two at 0x7f00aa\n"),
        new_output("stream", name="stderr", text="/tmp/ipykernel_12/34.py:1: UserWarning\n"),
        new_output("display_data", {"image/png": "iVBO\nRw0K\n", "text/plain": "<Figure>"}),
        new_output(
            "display_data",
            {
                "application/vnd.jupyter.widget-view+json": {"model_id": "1f"},
                "text/plain": "Mask()",
            },
        ),
        new_output("execute_result", {"text/plain": "4"}, execution_count=9),
    ]
    timing = {"execution": {"iopub.execute_input": "2026"}, "tags": ["solution"], "trusted": True}
    kernel = {"name": "venv", "display_name": "My kernel"}
    notebook = new_notebook(metadata={"kernelspec": kernel, "widgets": {"state": {}}})
    notebook.cells = [
        new_markdown_cell("# Title\n", id="title"),
        new_code_cell("2 + 2\n", execution_count=9, outputs=outputs, metadata=timing),
        new_code_cell("", id="empty"),
        new_code_cell("x = 1", id="title", execution_count=12),
        new_code_cell("y = 1", id="0b7c2f1e-1111-2222-3333-0123456789ab", execution_count=13),
        new_code_cell("z = 1", id="01-001"),
    ]
    notebook.nbformat_minor = 5
    return notebook


@pytest.fixture
def normal(messy):
    return normalize(messy, "01")


def test_is_idempotent(normal):
    assert normalize(normal, "01") == normal
    assert as_text(normalize(nbformat.reads(as_text(normal), 4), "01")) == as_text(normal)


def test_leaves_its_argument_alone(messy):
    before = copy.deepcopy(messy)
    normalize(messy, "01")
    assert messy == before


def test_result_is_a_valid_notebook(normal):
    nbformat.validate(normal)


def test_ids_are_readable_and_unique_and_existing_ones_stay(normal):
    # The second "title" and the two random ids are renamed; 01-001 is taken, hence 01-002.
    assert [c.id for c in normal.cells] == ["title", "01-002", "01-003", "01-004", "01-001"]


def test_a_new_cell_renames_no_other(normal):
    before = [c.id for c in normal.cells]
    normal.cells.insert(1, new_code_cell("new = 1"))
    after = [c.id for c in normalize(normal, "01").cells]
    assert after.pop(1) not in before
    assert after == before


def test_metadata_is_about_the_notebook_not_the_run(normal):
    assert set(normal.metadata) == {"kernelspec", "language_info"}
    assert normal.metadata.kernelspec.name == "python3"
    assert normal.metadata.kernelspec.display_name == "Python 3"
    assert normal.metadata.language_info == {"name": "python"}
    assert [c.metadata for c in normal.cells] == [{}, {"tags": ["solution"]}, {}, {}, {}]


def test_counts_follow_each_other_and_unexecuted_cells_stay_so(normal):
    assert [c.execution_count for c in normal.cells[1:]] == [1, 2, 3, None]
    assert normal.cells[1].outputs[-1].execution_count == 1


def test_outputs_hold_nothing_of_this_run(normal):
    stdout, stderr, figure, widget, _ = normal.cells[1].outputs
    assert stdout.text == "one\ntwo at 0x...\n"
    assert stderr.text == "TEMPORARY:1: UserWarning\n"
    assert figure.data == {"image/png": "iVBORw0K", "text/plain": "<Figure>"}
    assert widget.data == {"text/plain": "Mask()"}


def test_file_has_sorted_keys_an_indent_of_one_and_a_newline(normal):
    text = as_text(normal)
    assert text.endswith("}\n")
    assert not text.endswith("\n\n")
    assert text.startswith('{\n "cells": [\n  {\n   "cell_type"')
    assert list(json.loads(text)) == ["cells", "metadata", "nbformat", "nbformat_minor"]


def test_executing_twice_writes_the_same(tmp_path):
    source = "import os\nprint(len(os.listdir()))\nobject()"
    notebook = new_notebook(cells=[new_code_cell(source), new_code_cell("1 / 4")])
    (tmp_path / "one file").touch()
    first, second = (as_text(normalize(execute(notebook, tmp_path), "01")) for _ in range(2))
    assert first == second
    assert '"1\\n"' in first  # it ran in the folder that was asked for
    assert "at 0x..." in first
    assert "0.25" in first
    assert notebook.cells[0].execution_count is None
