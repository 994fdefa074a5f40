"""The companion package of the swin_tutorial notebooks: one module per idea, in the words of the
chapters."""

__version__ = "0.1.0"
