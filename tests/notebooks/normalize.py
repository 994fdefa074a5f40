"""Execute the notebooks and store them in their normal form: what diffs well and GitHub shows.

python tests/notebooks/normalize.py [NOTEBOOK ...]     (default: all)
"""

import copy
import re
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbval.plugin import get_sanitize_patterns

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
RULES = get_sanitize_patterns(Path(__file__).with_name("sanitize.cfg").read_text("utf-8"))

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
KEPT_CELL_METADATA = ("tags", "jupyter")  # "jupyter" says that the source is collapsed
WIDGET = "application/vnd.jupyter.widget-view+json"

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){0,3}(-[0-9a-f]{12})?")  # nbformat's, Lab's uuid


def normalize(notebook: NotebookNode, chapter: str) -> NotebookNode:
    """Return the notebook's normal form; the one given is left alone.

    ``chapter`` is its number, after which the cells are named that have no readable id yet.
    """
    notebook = copy.deepcopy(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.cells = [_normal_cell(cell) for cell in notebook.cells if cell.source.strip()]
    _name(notebook.cells, chapter)
    _count(notebook.cells)
    return notebook


def as_text(notebook: NotebookNode) -> str:
    """Return a notebook as its file holds it: sorted keys, indented by 1, a newline at the end."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT) + "\n"


def execute(notebook: NotebookNode, folder: Path = NOTEBOOKS) -> NotebookNode:
    """Return the notebook with the outputs of a fresh kernel of this environment, run in a folder.

    Raises nbclient's CellExecutionError at the first cell that fails.
    """
    resources = {"metadata": {"path": folder}}
    client = NotebookClient(
        copy.deepcopy(notebook), kernel_name="python3", timeout=600, resources=resources
    )
    return client.execute(stderr=subprocess.DEVNULL)  # the kernel's own chatter, not a cell's


def _normal_cell(cell: NotebookNode) -> NotebookNode:
    cell.source = cell.source.strip("\n")
    cell.metadata = nbformat.from_dict(
        {key: cell.metadata[key] for key in KEPT_CELL_METADATA if cell.metadata.get(key)}
    )
    if not cell.get("attachments"):
        cell.pop("attachments", None)
    if cell.cell_type == "code":
        cell.outputs = _merged([_normal_output(output) for output in cell.outputs])
    return cell


def _normal_output(output: NotebookNode) -> NotebookNode:
    if output.output_type == "stream":
        output.text = _sanitized(output.text)
    data = output.get("data", {})
    for mime in data:
        if mime.startswith("text/"):
            data[mime] = _sanitized(data[mime])
        elif mime.startswith("image/") and mime != "image/svg+xml":
            data[mime] = "".join(data[mime].split())
    if len(data) > 1:
        # It points by a random id to a widget that is gone; its text stays.
        data.pop(WIDGET, None)
    return output


def _sanitized(text: str) -> str:
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    return text


def _merged(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join what one stream printed in pieces: where it was cut is up to the kernel's clock."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def _name(cells: list[NotebookNode], chapter: str) -> None:
    """Keep each cell's id if it is readable and its own; name the others by chapter and place."""
    named = set()
    for cell in cells:
        name = cell.get("id", "")
        if not SLUG.fullmatch(name) or RANDOM.fullmatch(name) or name in named:
            cell.id = ""
        named.add(cell.id)
    for place, cell in enumerate(cells):
        while not cell.id:
            name = f"{chapter}-{place:03d}"
            cell.id = "" if name in named else name
            place += 1
        named.add(cell.id)


def _count(cells: list[NotebookNode]) -> None:
    count = 0
    for cell in cells:
        if cell.cell_type != "code" or cell.execution_count is None:
            continue
        count += 1
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def main(paths: list[Path]) -> None:
    """Execute, normalize and write the notebooks."""
    for path in paths:
        print(path.name, flush=True)
        notebook = execute(nbformat.read(path, nbformat.NO_CONVERT), path.parent)
        path.write_text(as_text(normalize(notebook, path.name[:2])), "utf-8")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("*.ipynb")))
