"""A training run's curves, drawn while it lasts (chapter 07)."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.figure import Figure

from swin_tutorial.figures.style import as_bundle, house_style, show_bundle
from swin_tutorial.figures.training import draw_learning_curves
from swin_tutorial.training import run_folder


@contextmanager
def live_curves(folder: Path, epochs: int, alt: str, every: float = 4.0) -> Iterator[None]:
    """Show a run's learning curves, and draw them anew while the context lasts and at its end.

    The run itself knows nothing of it: the curves are read from the log in its folder.

    Args:
        folder: the run's.
        epochs: how many it will take.
        alt: the figure's alternative text.
        every: seconds between two drawings.
    """

    def drawn() -> tuple[dict, dict]:
        with house_style():
            figure = Figure(figsize=(10, 2.6))  # not of pyplot, which is for the main thread
            axes = figure.subplots(1, 3)
            draw_learning_curves(axes, run_folder.read_metrics(folder))
            for one in axes:
                one.set_xlim(0, 1.03 * epochs)
            return as_bundle(figure, alt)

    shown = show_bundle(*drawn())
    finished = threading.Event()

    def redraw() -> None:
        bundle, metadata = drawn()
        shown.update(bundle, metadata=metadata, raw=True)

    def keep_drawing() -> None:
        while not finished.wait(every):
            redraw()

    thread = threading.Thread(target=keep_drawing, daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()
        redraw()
