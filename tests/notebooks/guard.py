"""What every stored notebook must hold, beyond what nbval compares.

Each check returns its complaints, so an empty list is a pass.
"""

import base64
import io
import re
from itertools import zip_longest
from pathlib import Path

import nbformat
import numpy as np
from nbformat import NotebookNode
from normalize import as_text, normalize
from PIL import Image

LONGEST_CELL = 35  # lines
WIDEST_CELL = 100  # columns
SHORTEST_ALT = 20  # characters
SHORTEST_REASON = 20  # characters
STROKE = 8  # pixels: wider than a letter's or an arrow's stroke
DARK = 0.1  # luminance: a contrast below 2.7 on JupyterLab's dark page
MOST_DARK = 150  # pixels: more than the corners of frames, less than two words

NAME = re.compile(r"(\d\d)_\w+\.ipynb")
# Not inside a longer word: base64 is full of slashes.
ABSOLUTE_PATH = re.compile(r"(?<![\w.+/])/(work|tmp|home|root|opt|usr|var|mnt|Users)\b/?[\w./-]*")
NBVAL_TAG = re.compile(r"nbval-.*|raises-exception")
NBVAL_COMMENT = re.compile(r"^\s*#+\s*(NBVAL_\w+|PYTEST_VALIDATE_\w+)", re.MULTILINE)


def complaints_about(path: Path) -> list[str]:
    """Return everything that is wrong with one notebook's file."""
    text = path.read_text("utf-8")
    notebook = nbformat.reads(text, nbformat.NO_CONVERT)
    return [
        *unexecuted(notebook),
        *abnormal(notebook, text, path.name[:2]),
        *without_reason(notebook),
        *bare_figures(notebook),
        *dark_on_page(notebook),
        *large_cells(notebook),
        *absolute_paths(text),
    ]


def misnumbered(names: list[str]) -> list[str]:
    """Complain unless the notebooks are ``NN_words.ipynb``, from 00, each number once.

    Gaps are allowed: a chapter's number is its place in the plan, and some are still to be written.
    """
    numbers = [match[1] if (match := NAME.fullmatch(name)) else name for name in sorted(names)]
    if not names:
        return ["there are no notebooks"]
    complaints = [f"{number} is no chapter number" for number in numbers if not number.isdigit()]
    complaints += [f"{number} stands twice" for number in set(numbers) if numbers.count(number) > 1]
    return complaints if numbers[0] == "00" else [*complaints, "the first chapter is not 00"]


def unexecuted(notebook: NotebookNode) -> list[str]:
    """Complain of code cells that were not run, in order, without an error."""
    complaints = []
    for count, cell in enumerate(code_cells(notebook), start=1):
        if cell.execution_count != count:
            complaints.append(f"{cell.id}: execution count {cell.execution_count}, not {count}")
        if any(output.output_type == "error" for output in cell.outputs):
            complaints.append(f"{cell.id}: its output is an error")
    return complaints


def abnormal(notebook: NotebookNode, text: str, chapter: str) -> list[str]:
    """Complain if the file is not the notebook's normal form."""
    if text == as_text(normalize(notebook, chapter)):
        return []
    return ["not in its normal form: run make notebooks"]


def not_compared(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that tell nbval, by tag or comment, not to compare them strictly."""
    return [
        cell
        for cell in code_cells(notebook)
        if any(map(NBVAL_TAG.fullmatch, cell.metadata.get("tags", [])))
        or NBVAL_COMMENT.search(cell.source)
    ]


def without_reason(notebook: NotebookNode) -> list[str]:
    """Complain of cells that are not compared and do not begin with a comment that says why."""
    return [
        f"{cell.id}: begins with no comment that says why nbval may not compare it"
        for cell in not_compared(notebook)
        if NBVAL_COMMENT.match(cell.source)
        or not re.match(rf"# .{{{SHORTEST_REASON},}}", cell.source)
    ]


def bare_figures(notebook: NotebookNode) -> list[str]:
    """Complain of images without alternative text, or without a caption in the cell below."""
    complaints = []
    for cell, below in zip_longest(notebook.cells, notebook.cells[1:], fillvalue={}):
        images = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        alts = [image.metadata.get("image/png", {}).get("alt", "") for image in images]
        complaints += [
            f"{cell.id}: image with the alternative text {alt!r}"
            for alt in alts
            if len(alt) < SHORTEST_ALT
        ]
        is_caption = below.get("cell_type") == "markdown" and below.source.startswith("*Figure")
        if images and not is_caption:
            complaints.append(f"{cell.id}: image with no caption *Figure ...* in the cell below")
    return complaints


def dark_on_page(notebook: NotebookNode) -> list[str]:
    """Complain of dark letters and lines on a figure's transparent ground: a page may be dark."""
    return [
        f"{cell.id}: {pixels} pixels of thin dark strokes on no panel; use figures.TEXT there"
        for cell in code_cells(notebook)
        for output in cell.outputs
        if (png := output.get("data", {}).get("image/png"))
        and (pixels := _dark_pixels_on_page(base64.b64decode(png))) > MOST_DARK
    ]


def _dark_pixels_on_page(png: bytes) -> int:
    """Count dark pixels that have the page on both sides, left and right or above and below."""
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGBA"))
    page = np.pad(pixels[..., 3] == 0, STROKE)
    left, right, above, below = (np.zeros(page.shape, bool) for _ in range(4))
    for step in range(1, STROKE + 1):
        left |= np.roll(page, step, 1)
        right |= np.roll(page, -step, 1)
        above |= np.roll(page, step, 0)
        below |= np.roll(page, -step, 0)
    is_thin = (left & right | above & below)[STROKE:-STROKE, STROKE:-STROKE]
    luminance = (pixels[..., :3] / 255) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    return int((is_thin & (pixels[..., 3] > 200) & (luminance < DARK)).sum())


def large_cells(notebook: NotebookNode) -> list[str]:
    """Complain of code cells longer than a screen or wider than a page."""
    complaints = []
    for cell in code_cells(notebook):
        lines = cell.source.splitlines()
        if len(lines) > LONGEST_CELL:
            complaints.append(f"{cell.id}: {len(lines)} lines, at most {LONGEST_CELL}")
        if max(map(len, lines)) > WIDEST_CELL:
            complaints.append(f"{cell.id}: {max(map(len, lines))} columns, at most {WIDEST_CELL}")
    return complaints


def absolute_paths(text: str) -> list[str]:
    """Complain of paths that exist on the author's machine alone."""
    return [f"absolute path {match[0]}" for match in ABSOLUTE_PATH.finditer(text)]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells that hold any code."""
    return [c for c in notebook.cells if c.cell_type == "code" and c.source.strip()]
