"""The explorer's JavaScript, CSS and page, read from the files in ``js/`` and joined."""

import base64
import hashlib
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
    """Return a whole HTML page that shows the explorer in a state, and needs nothing else.

    Its content security policy lets the browser run and show what stands in it, and nothing more.
    """
    template = Template((FOLDER / "page.html").read_text("utf-8"))
    code = script("page.js")
    css = (FOLDER / "page.css").read_text("utf-8") + style()
    # No state can end its script element early, or change how that ends: none holds a "<".
    text = json.dumps(state).replace("<", "\\u003c")
    policy = (
        f"default-src 'none'; script-src {_hash(code)}; style-src {_hash(css)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return template.substitute(style=css, script=code, state=text, policy=policy)


def _hash(text: str) -> str:
    """Return the name by which a policy allows one inline script or style."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
