"""Mistakes in shifted-window attention: each a changed step of one small block, with a name.

Source of the list: public packages and threads (``wild``), and what learners write (``learners``).
"""

from swin_tutorial.audit.museum import learners, wild  # noqa: F401  (they fill the museum)
from swin_tutorial.audit.museum.mistake import MUSEUM, Mistake

__all__ = ["MUSEUM", "Mistake"]
