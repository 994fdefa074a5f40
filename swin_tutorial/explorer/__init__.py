"""The mask explorer: look at, point at and change the shifted-window mask (chapters 03 and 09).

The Python side holds the state, as traits.  What a reader sees is computed in the browser by the
JavaScript in ``js/``, so it works where no kernel runs.
"""

from swin_tutorial.explorer.widget import MaskExplorer

__all__ = ["MaskExplorer"]
