"""Check every shape in every signature of the package while the tests run; find out what runs here.

The hook must be installed before the package is first imported.  Notebooks run in kernels of their
own and see the package as a reader does.
"""

import os

# There are as many test processes as cores, and the tests' work is short: threads that wait for
# each other would take ten times as long.  PyTorch reads this when it is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jaxtyping
import pytest
import same_figures
import torch

try:
    import beartype  # noqa: F401
except ImportError:  # a machine with a GPU on which nothing can be installed
    pass
else:
    jaxtyping.install_import_hook("swin_tutorial", "beartype.beartype")

# Without a GPU, Triton's interpreter runs our kernels.  Triton asks for this when it is imported.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


def pytest_configure(config):
    # Registered here, since the hooks of this file do not see the notebooks, which lie beside it.
    if config.getoption("nbval", False):
        config.pluginmanager.register(same_figures)


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no GPU here"))


@pytest.fixture
def unchecked():
    """Switch the shape checks off: the package's own errors are what a reader gets to see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
