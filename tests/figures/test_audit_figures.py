"""The picture of a finding: the map and both matrices as they are, whatever the case."""

import io

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from swin_tutorial import figures
from swin_tutorial.audit import MUSEUM, audit
from swin_tutorial.audit.specimen import Specimen
from swin_tutorial.figures.audit import LEAK, LOSS, draw_finding, finding_title

NO_MASK = MUSEUM["no mask"].specimen


class Raises(Specimen):
    def attend(self, windows, mask, window):
        raise RuntimeError("the size of tensor a must match")


class NotANumber(Specimen):
    def attend(self, windows, mask, window):
        return windows * float("nan")


def report_on(kind, size, window=(3, 2), shift=(1, 1), **options):
    block = kind(window, shift, **options)
    return audit(block, window_size=window, shift_size=shift, dim=4, sizes=[size])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def axes_of(figure):
    """Return the axes of the map's images, and those of the two matrices."""
    left, right = figure.subfigs
    return left.axes, right.axes


def texts(axes):
    """Return the text on each token."""
    written = [text for text in axes.texts if text.get_text()]  # an arrow is a text without words
    return {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in written}


def test_the_map_shows_the_true_windows_and_the_first_leak():
    finding = report_on(NO_MASK, (6, 5)).smallest
    query, key = finding.leaks[0]
    (axes,), _ = axes_of(draw_finding(finding))
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None)]
    shown = texts(axes)
    assert shown[query] == "★"
    assert shown[key] == "●"
    assert (shown[5, 4], shown[4, 4], shown[5, 0]) == ("8", "8", "6")  # 3 by 3 windows
    assert (5, 5) not in shown  # padding
    (arrow,) = arrows
    assert arrow.xy == (query[1] + 0.5, query[0] + 0.5)
    assert arrow.xyann == (key[1] + 0.5, key[0] + 0.5)


def test_the_matrices_are_the_expected_and_the_measured_one():
    finding = report_on(NO_MASK, (6, 5)).smallest
    _, (expected, measured) = axes_of(draw_finding(finding))
    assert np.array_equal(expected.images[0].get_array(), finding.expected.numpy())
    assert np.array_equal(measured.images[0].get_array(), finding.behavior.depends.numpy())
    leaks, losses = (image.get_array().filled(0).astype(bool) for image in measured.images[1:])
    assert np.array_equal(leaks, (finding.behavior.depends & ~finding.expected).numpy())
    assert leaks.any()
    assert not losses.any()
    assert (expected.get_title(), measured.get_title()) == ("must depend", "does depend")


def test_losses_are_hatched_and_explained():
    class NoShift(Specimen):
        def fit(self, size):
            return self.window_size, (0, 0)

    finding = report_on(NoShift, (6, 4)).smallest
    figure = draw_finding(finding)
    (legend,) = figure.subfigs[1].legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert f"leak: must not ({len(finding.leaks)})" in labels
    assert f"loss: must ({len(finding.losses)})" in labels
    _, (_, measured) = axes_of(figure)
    (hatched,) = [kind for kind in measured.collections if kind.get_hatch()]
    assert len(hatched.get_paths()) == len(finding.losses) > 0


def test_what_must_differ_in_color_does():
    figure = draw_finding(report_on(NO_MASK, (6, 5)).smallest)
    figure.savefig(buffer := io.BytesIO(), facecolor="white")
    colors = {
        tuple(color) for color in np.asarray(Image.open(buffer).convert("RGB")).reshape(-1, 3)
    }
    as_bytes = {name: tuple(round(255 * part) for part in to_rgb(name)) for name in (LEAK, LOSS)}
    assert as_bytes[LEAK] in colors
    assert as_bytes[LOSS] not in colors  # there is no loss


@pytest.mark.parametrize(
    ("size", "window", "shift", "labels"),
    [
        ((5,), (2,), (1,), ["0", "1", "2", "3", "4"]),
        ((6, 5), (3, 2), (1, 1), ["0,0", "1,0", "2,0", "3,0", "4,0", "5,0"]),
        ((3, 2, 2), (2, 1, 1), (1, 0, 0), None),
    ],
)
def test_ticks_are_places_on_the_map(size, window, shift, labels):
    finding = report_on(NO_MASK, size, window, shift).findings[0]
    maps, (expected, _) = axes_of(draw_finding(finding))
    shown = [label.get_text() for label in expected.get_yticklabels()]
    if labels is None:
        frames = [axes.get_title() for axes in maps if axes.axison]
        assert frames == [f"true windows, frame {frame}" for frame in range(3)]
        assert shown[-1] == "2,1,1"
    else:
        assert shown == labels


def test_keys_that_were_drawn_at_random_are_named():
    block = NO_MASK((3, 2), (1, 1))
    report = audit(block, window_size=(3, 2), shift_size=1, dim=4, sizes=[(6, 5)], keys=4)
    _, (expected, _) = axes_of(report.figure())
    places = [tuple(map(int, label.get_text().split(","))) for label in expected.get_xticklabels()]
    assert [5 * y + x for y, x in places] == list(report.findings[0].keys)


def test_a_block_that_raises_has_its_error_in_place_of_a_matrix():
    finding = report_on(Raises, (6, 5)).smallest
    _, (_, measured) = axes_of(draw_finding(finding))
    (text,) = measured.texts
    assert "the size of tensor a must match" in text.get_text().replace("\n", " ")
    assert "raised an error" in finding_title(finding)


@pytest.mark.parametrize("kind", [Specimen, NO_MASK, Raises, NotANumber])
@pytest.mark.parametrize("theme", ["default", "dark_background"])
def test_every_case_has_a_picture_that_suits_any_page(kind, theme):
    report = report_on(kind, (6, 5))
    with plt.style.context(theme):
        png, metadata = report._repr_png_()
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    assert image[0, 0, 3] == 0
    title = image[: len(image) // 10]
    gray = [round(255 * one) for one in to_rgb(figures.TEXT)]
    assert (np.abs(title[title[..., 3] > 200][:, :3].astype(int) - gray) < 6).mean() > 0.9
    assert metadata["alt"].startswith(f"Audit: {'right' if report.is_right else 'wrong'} on ")
    assert 0 < metadata["width"] < 1200
    assert not plt.get_fignums()


def test_the_picture_is_headed_by_the_verdict():
    report = report_on(NO_MASK, (6, 5))
    assert report.mistake
    title = report.figure()._suptitle.get_text()
    assert title.splitlines()[0] == f"wrong on 1 of 1 maps: {report.mistake.name}"
    assert title.splitlines()[1] == finding_title(report.smallest)


def test_a_notebook_keeps_the_report_as_text():
    report = report_on(NO_MASK, (6, 5))
    assert repr(report) == str(report)
    assert "tensor" not in repr(report)


def test_a_stage_shows_each_shift():
    from swin_tutorial.audit import audit_stage

    blocks = [Specimen((3, 2), (0, 0)), NO_MASK((3, 2), (1, 1))]
    report = audit_stage(
        lambda x: blocks[1](blocks[0](x)),
        window_size=(3, 2),
        shift_sizes=[0, 1],
        dim=4,
        sizes=[(6, 5)],
    )
    assert "shift 0x0, then 1x1: " in finding_title(report.smallest)
    report.figure()
