"""Check every shape in every signature of the package while the tests run.

The hook must be installed before the package is first imported.  Notebooks run in kernels of their
own and see the package as a reader does.
"""

import jaxtyping
import pytest

jaxtyping.install_import_hook("swin_tutorial", "beartype.beartype")


@pytest.fixture
def unchecked():
    """Switch the shape checks off: the package's own errors are what a reader gets to see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
