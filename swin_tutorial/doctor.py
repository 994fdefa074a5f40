"""Check this machine: one check for each thing that the notebooks need, each with its remedy."""

import hashlib
import importlib
import importlib.metadata
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from swin_tutorial.data import paths

NOTEBOOKS = paths.PROJECT / "notebooks"
FIRST_NOTEBOOK = "00_start_here.ipynb"

OLDEST_PYTHON = (3, 11)
OLDEST_TORCH = (2, 9)
ENOUGH_DISK = 2e9  # bytes
# What the package itself and its extra [notebooks] install, PyTorch aside.
PACKAGES = (
    "einops",
    "jaxtyping",
    "safetensors",
    "numpy",
    "anywidget",
    "ipywidgets",
    "jupyterlab",
    "matplotlib",
    "pillow",
    "tyro",
)
TRAIN_PACKAGES = ("filelock", "pooch", "requests", "tqdm")  # what [train] adds
MODULES = {"pillow": "PIL"}  # where the name to import is another one
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

REINSTALL = paths.how_to_install("notebooks,train")
if paths.IS_CLONE:
    REINSTALL = (
        "run: make clean && make lab (pip: pip install -e '.[notebooks,train]'; "
        "conda: conda env update --file environment.yml)"
    )
ADD_TRAIN = f"only training needs it; {paths.how_to_install('train')}"


@dataclass(frozen=True)
class Check:
    """What one check found: a failure if not ``ok``, a note if it is ok and has a remedy."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""

    @property
    def status(self) -> str:
        """ "ok", "note" or "FAIL"."""
        if not self.ok:
            return "FAIL"
        return "note" if self.remedy else "ok"

    def __str__(self) -> str:
        remedy = f"\n      -> {self.remedy}" if self.remedy else ""
        return f"{self.status:<4}  {self.name:<12}  {self.detail}{remedy}"


def run_checks() -> Iterator[Check]:
    """Yield every check's result, in the order in which a reader should fix them."""
    yield check_python()
    yield check_torch()
    yield check_device()
    yield check_disk()
    for name in PACKAGES:
        yield check_package(name)
    yield check_training()
    yield check_photographs()
    yield check_notebooks()
    yield check_browser()


def check_python() -> Check:
    """Check that this Python is new enough."""
    version, oldest = ".".join(map(str, sys.version_info[:3])), ".".join(map(str, OLDEST_PYTHON))
    remedy = f"install Python {oldest} or newer, then: make clean && make PYTHON=python{oldest} lab"
    ok = sys.version_info[:2] >= OLDEST_PYTHON
    return Check("python", ok, version, "" if ok else remedy)


def check_torch() -> Check:
    """Check that PyTorch is new enough, and that it loads."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        return Check("torch", False, f"does not import: {error}", REINSTALL)
    major, minor = torch.__version__.split(".")[:2]
    ok = (int(major), int(minor)) >= OLDEST_TORCH
    oldest = ".".join(map(str, OLDEST_TORCH))
    return Check(
        "torch", ok, torch.__version__, "" if ok else f"{oldest} or newer is needed; {REINSTALL}"
    )


def check_device() -> Check:
    """Name the device that the notebooks will use.  Never a failure: they all run on a CPU."""
    try:
        import torch
    except (ImportError, OSError):
        return Check("device", True, "unknown without PyTorch")
    if torch.cuda.is_available():
        return Check("device", True, f"cuda: {torch.cuda.get_device_name()}")
    if torch.backends.mps.is_available():
        return Check("device", True, "mps: the GPU of this Mac")
    return Check("device", True, f"cpu: {torch.get_num_threads()} threads")


def check_disk() -> Check:
    """Check that the disk of the reader's own files has room for checkpoints and downloads."""
    folder = paths.own_folder()
    free = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free
    ok = free >= ENOUGH_DISK
    remedy = f"free {ENOUGH_DISK / 1e9:.0f} GB on the disk of {folder}"
    return Check("disk", ok, f"{free / 1e9:.1f} GB free", "" if ok else remedy)


def check_package(name: str) -> Check:
    """Check that a package imports."""
    try:
        importlib.import_module(MODULES.get(name, name))
        return Check(name, True, importlib.metadata.version(name))
    except (ImportError, OSError) as error:
        return Check(name, False, f"does not import: {error}", REINSTALL)


def check_training() -> Check:
    """Check that what only training needs imports.  Never a failure: most chapters do not train."""
    found = [check_package(name) for name in TRAIN_PACKAGES]
    missing = [check.name for check in found if not check.ok]
    if missing:
        return Check("training", True, f"no {', '.join(missing)}", ADD_TRAIN)
    return Check("training", True, ", ".join(f"{check.name} {check.detail}" for check in found))


def check_photographs() -> Check:
    """Check that the photographs that the notebooks show are the ones we ship."""
    try:
        from swin_tutorial.data import photographs  # it imports torch: not at the top

        folder = paths.data_folder()
    except FileNotFoundError as error:  # its message is the remedy
        return Check("photographs", False, "no data folder", str(error))
    except (ImportError, OSError) as error:
        return Check("photographs", False, f"not checked: {error}", REINSTALL)
    for name, digest in photographs.PHOTOGRAPHS.values():
        path = folder / name
        remedy = paths.how_to_restore(str(path))
        if not path.is_file():
            return Check("photographs", False, f"{name} is missing", remedy)
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return Check("photographs", False, f"{name} was changed", remedy)
    return Check("photographs", True, f"{len(photographs.PHOTOGRAPHS)} in {folder}")


def notebooks() -> list[Path]:
    """Return the chapters that came with the package."""
    return sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))


def check_notebooks() -> Check:
    """Check that the chapters came with the package, the first one among them."""
    count = len(notebooks())
    ok = (NOTEBOOKS / FIRST_NOTEBOOK).is_file()
    detail = f"{count} in {NOTEBOOKS}" if ok else f"no {FIRST_NOTEBOOK} in {NOTEBOOKS}"
    return Check("notebooks", ok, detail, "" if ok else paths.how_to_restore("notebooks"))


def check_browser() -> Check:
    """Look for the browser of the tests.  Never a failure: only ``make test`` uses it."""
    path = find_browser()
    if path is None:
        remedy = "only the browser tests need it; on Debian: apt-get install chromium"
        return Check("browser", True, "no chromium: make test will skip its browser tests", remedy)
    return Check("browser", True, path)


def find_browser() -> str | None:
    """Return the path of a Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)
