"""JupyterLab in a real browser, on a copy of the notebooks: Lab saves what it opens.

SCREENSHOTS=folder keeps a picture of every screenful of every notebook that a test has run.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, sync_playwright

from swin_tutorial.doctor import find_browser

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
START_TIMEOUT = 60  # seconds
RUN_TIMEOUT = 300
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SETTINGS = {
    # Without windowing every cell is in the page, also those that are scrolled away.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


@dataclass
class Lab:
    """A JupyterLab server and the folder that it shows."""

    url: str
    token: str
    folder: Path


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser; skip the test where there is none."""
    path = find_browser()
    if path is None:
        pytest.skip("no chromium for the browser tests; on Debian: apt-get install chromium")
    return path


@pytest.fixture(scope="session")
def lab(chromium, tmp_path_factory):
    """Serve a copy of the notebooks, with settings of its own and none of the user's."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "notebooks"
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    settings = home / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS), "utf-8")

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Lab(f"http://127.0.0.1:{port}", secrets.token_hex(16), folder)
    private = {
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_DATA_DIR": home / "data",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": home / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
        "JUPYTER_TOKEN": server.token,
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--expose-app-in-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={folder}"]
    log = home / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            env=os.environ | {name: str(value) for name, value in private.items()},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_up(server, process, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait_until_up(server: Lab, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{server.url}/api/status?token={server.token}", timeout=5)
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text('utf-8')[-3000:]}")


# Not for the whole session: while Playwright's synchronous interface is open an event loop is
# running, which would stand in the way of the tests that start kernels.
@pytest.fixture(scope="module")
def browser(chromium):
    """Start the browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Visit:
    """One page in JupyterLab, and what went wrong in it.

    ``errors`` are the browser's console errors and uncaught exceptions, ``strangers`` the requests
    to any host but this machine.
    """

    lab: Lab
    page: Page
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._note_request)

    def open(self, name: str) -> None:
        """Open a notebook and wait until its kernel answers; the page's ``panel`` is its view."""
        # A workspace of its own: Lab would open the last test's notebooks again.
        workspace = f"{self.lab.url}/lab/workspaces/{Path(name).stem}"
        self.page.goto(f"{workspace}?token={self.lab.token}")
        self.page.wait_for_function("window.jupyterapp")
        self.wait_for(
            """async name => {
                await jupyterapp.restored;
                window.panel = await jupyterapp.commands.execute(
                    'docmanager:open', {path: name, factory: 'Notebook'});
                await panel.context.ready;
                await panel.revealed;
                await panel.sessionContext.ready;
                await panel.sessionContext.session.kernel.info;
                jupyterapp.commands.execute('application:toggle-left-area');
                return true;
            }""",
            name,
        )

    def run_all(self) -> None:
        """Clear every output, run all cells, and wait until the kernel has done with them."""
        self.wait_for(
            """async () => {
                await jupyterapp.commands.execute('notebook:clear-all-cell-outputs');
                await jupyterapp.commands.execute('notebook:run-all-cells');
                return true;
            }"""
        )
        self.wait_for("() => panel.sessionContext.session.kernel.status === 'idle'")

    def wait_for(self, function: str, argument=None) -> None:
        """Wait until a JavaScript function, async or not, has returned true.

        Raises Playwright's TimeoutError after RUN_TIMEOUT; ``page.evaluate`` would wait for ever.
        """
        self.page.wait_for_function(function, arg=argument, timeout=RUN_TIMEOUT * 1000)

    def cells(self) -> list[dict]:
        """Return the notebook's cells as the page holds them now, outputs included."""
        return self.page.evaluate("panel.content.model.toJSON().cells")

    def take_screenshots(self, folder: Path) -> list[Path]:
        """Scroll through the open notebook and write one picture for each screenful."""
        folder.mkdir(parents=True, exist_ok=True)
        stem = self.page.evaluate("panel.context.path").removesuffix(".ipynb")
        for old in folder.glob(f"{stem}-*.png"):
            old.unlink()
        height, total = self.page.evaluate(
            "[panel.content.outerNode.clientHeight, panel.content.outerNode.scrollHeight]"
        )
        paths = []
        for number, top in enumerate(range(0, total, height)):
            self.page.evaluate("top => {panel.content.outerNode.scrollTop = top}", top)
            self.page.wait_for_timeout(200)  # to paint
            paths.append(folder / f"{stem}-{number:02d}.png")
            self.page.screenshot(path=paths[-1])
        return paths

    def close(self) -> None:
        """Stop the kernel, for its memory, and close the page."""
        self.wait_for("() => window.panel?.sessionContext.shutdown().then(() => true) ?? true")
        self.page.context.close()

    def _note_console(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    def _note_request(self, request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in ("data", "blob") and address.hostname not in (
            "127.0.0.1",
            "localhost",
        ):
            self.strangers.append(request.url)


@pytest.fixture
def visit(lab, browser):
    """Return a fresh page; with SCREENSHOTS set, pictures are taken of what it shows at the end."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(RUN_TIMEOUT * 1000)
    visit = Visit(lab, context.new_page())
    yield visit
    if "SCREENSHOTS" in os.environ and visit.page.evaluate("!!window.panel"):
        visit.take_screenshots(Path(os.environ["SCREENSHOTS"]))
    visit.close()
