"""The mask explorer: see, point at and drive the shifted-window mask (chapters 03 and 09).

The Python side holds the state, as traits; what is seen is computed in the browser by the
JavaScript in this folder, so it works where no kernel runs.
"""

from swin_tutorial.explorer.widget import MaskExplorer

__all__ = ["MaskExplorer"]
