"""The explorer's JavaScript, CSS and page, read from the files in ``js/`` and joined."""

import json
import re
from pathlib import Path
from string import Template

FOLDER = Path(__file__).parent / "js"
MODULES = (  # each imports only from those before it
    "state.js",
    "geometry.js",
    "words.js",
    "colors.js",
    "signs.js",
    "maps.js",
    "matrix.js",
    "thumbnails.js",
    "dom.js",
    "controls.js",
    "stages.js",
    "views.js",
    "legend.js",
    "lights.js",
    "moves.js",
    "patterns.js",
    "heads.js",
    "explorer.js",
)

IMPORT = re.compile(r'^import \{[^}]*\} from "\./[\w.]+";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


def script(entry: str) -> str:
    """Return one ES module: the shared modules and ``entry`` ("widget.js" or "page.js"), joined.

    A widget's script is one text and cannot import from a file beside it.  The files' imports from
    each other are dropped: once they stand in one file, every name is there.
    """
    texts = [(FOLDER / name).read_text("utf-8") for name in (*MODULES, entry)]
    return "\n".join(EXPORT.sub("", IMPORT.sub("", text)) for text in texts)


def style() -> str:
    """Return the explorer's CSS."""
    return (FOLDER / "explorer.css").read_text("utf-8")


def page(state: dict) -> str:
    """Return a whole HTML page that shows the explorer in a state, and needs nothing else."""
    template = Template((FOLDER / "page.html").read_text("utf-8"))
    # Inside a script element only "</" could end it early.
    text = json.dumps(state).replace("</", "<\\/")
    return template.substitute(css=style(), script=script("page.js"), state=text)
