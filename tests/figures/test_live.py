"""Curves that are drawn while a run lasts: from its log, again and again, and once at the end."""

import threading

import matplotlib

matplotlib.use("agg")

import pytest
from IPython.display import DisplayHandle

from swin_tutorial.figures import live, style
from swin_tutorial.training.files import METRICS, append_json

ALT = "Three charts of a run"


@pytest.fixture
def shown(monkeypatch):
    """Every picture that is shown, in order, and an event for each redrawing."""

    class Handle(DisplayHandle):
        def update(self, bundle, metadata, raw):
            assert raw
            pictures.append((bundle, metadata))
            redrawn.set()

    def display(first, **options):
        if "metadata" in options:
            pictures.append((first, options["metadata"]))
        return Handle()

    pictures, redrawn = [], threading.Event()
    monkeypatch.setattr(style, "display", display)
    return pictures, redrawn


def pngs(pictures):
    return [bundle["image/png"] for bundle, _ in pictures]


def test_new_lines_of_the_log_are_drawn_while_the_run_lasts(tmp_path, shown):
    pictures, redrawn = shown
    with live.live_curves(tmp_path, 2, ALT, every=0.01):
        append_json(tmp_path / METRICS, {"step": 1, "epoch": 0.5, "loss": 2.0})
        append_json(tmp_path / METRICS, {"step": 2, "epoch": 1.0, "loss": 1.0})
        redrawn.clear()
        assert redrawn.wait(30)
    first, *_, last = pngs(pictures)
    assert first != last
    assert all(metadata["image/png"]["alt"] == ALT for _, metadata in pictures)


def test_the_end_of_the_run_is_drawn_even_if_it_comes_at_once_or_by_an_error(tmp_path, shown):
    pictures, _ = shown

    def fail():
        with live.live_curves(tmp_path, 2, ALT, every=60.0):
            append_json(tmp_path / METRICS, {"step": 1, "epoch": 0.5, "loss": 2.0})
            append_json(tmp_path / METRICS, {"step": 2, "epoch": 1.0, "loss": 1.0})
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    first, last = pngs(pictures)
    assert first != last
    assert not any("keep_drawing" in thread.name for thread in threading.enumerate())
