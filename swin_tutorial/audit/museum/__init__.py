"""Mistakes in shifted-window attention: each a changed step of one small block, with a name.

They stand in the order of the steps of a block.  ``wild`` holds what was found in public code; the
others what learners write: moving tokens (``moving``), the mask (``masking``), and the attention
under it (``attending``).
"""

# These modules fill the museum.  Where mistakes behave the same, a diagnosis names the first.
from swin_tutorial.audit.museum import wild  # noqa: F401, I001
from swin_tutorial.audit.museum import moving, masking, attending  # noqa: F401
from swin_tutorial.audit.museum.mistake import MUSEUM, Mistake

__all__ = ["MUSEUM", "Mistake"]
