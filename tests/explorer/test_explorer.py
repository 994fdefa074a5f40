"""The explorer's Python side: what may be set, what follows, what is shown without a browser."""

import base64
import contextlib
import io
import json
import random
import re

import numpy as np
import pytest
import torch
from PIL import Image
from traitlets import TraitError

from swin_tutorial.data.photographs import photograph
from swin_tutorial.explorer import MaskExplorer, assets
from swin_tutorial.explorer.pictures import LARGEST, LONGEST, as_picture, stretched
from swin_tutorial.explorer.state import (
    LARGEST_SIZE,
    LARGEST_WINDOW,
    STATE,
    clamp,
    validate,
)
from swin_tutorial.explorer.weights import attention_weights
from swin_tutorial.masks import additive_mask, shifted_window_mask
from swin_tutorial.model import SwinConfig, SwinTransformer


@pytest.fixture
def explorer():
    return MaskExplorer(height=7, width=10, window_size=4, shift_size=2)


def small_model(**options):
    torch.manual_seed(1)
    config = {"embed_dim": 12, "depths": (2, 2), "num_heads": (3, 6), "window_size": 4}
    return SwinTransformer(SwinConfig(**config | options))


# --- the mask ---


@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_mask_is_the_packages_own(padding):
    explorer = MaskExplorer(height=7, width=10, window_size=4, shift_size=1, padding=padding)
    expected = shifted_window_mask((7, 10), 4, 1, padding)
    assert torch.equal(explorer.mask(), expected)
    explorer.form = "additive"
    assert torch.equal(explorer.mask(), additive_mask(expected))
    explorer.masked = False
    assert torch.equal(explorer.mask(), torch.zeros(expected.shape))
    explorer.form = "boolean"
    assert explorer.mask().dtype == torch.bool
    assert explorer.mask().all()


def test_query_mask_is_what_the_query_may_see(explorer):
    explorer.query = (6, 9)
    window, token = explorer.selected_window, explorer.token
    row = explorer.mask()[window, token]
    assert torch.equal(explorer.query_mask().flatten(), row)
    assert explorer.query_mask().shape == (4, 4)
    assert 0 < int(row.sum()) < 16


# --- setting ---


def test_query_and_window_go_together(explorer):
    explorer.query = (6, 9)
    assert explorer.selected_window == 4
    explorer.selected_window = 1
    assert explorer.grid.locate(explorer.query) == (1, 3)
    explorer.query = (0, 0)
    assert explorer.selected_window == 5


def test_a_window_can_be_chosen_from_the_start():
    explorer = MaskExplorer(height=8, width=12, window_size=4, shift_size=2, selected_window=3)
    assert explorer.selected_window == 3
    assert explorer.grid.locate(explorer.query)[0] == 3


def test_a_smaller_map_keeps_the_query_on_it(explorer):
    explorer.query = (7, 11)
    explorer.key = (7, 10)
    explorer.height = 4
    assert explorer.query == (3, 11)
    assert explorer.selected_window == explorer.grid.locate((3, 11))[0]
    assert explorer.key is None


def test_a_key_is_let_go_when_the_query_leaves_its_window(explorer):
    explorer.query, explorer.key = (0, 0), (7, 11)
    explorer.query = (1, 1)
    assert explorer.key == (7, 11)
    explorer.query = (4, 4)
    assert explorer.key is None


def test_shift_is_half_a_window_unless_it_is_given():
    assert MaskExplorer(height=9, width=9, window_size=3).shift_size == 1
    assert MaskExplorer(height=9, width=9, window_size=3, shift_size=0).shift_size == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("height", 0, "must be a whole number, 1 to 64, got 0"),
        ("width", LARGEST_SIZE + 1, "got 65"),
        ("width", 2.5, "2.5"),
        ("height", True, "got True"),
        ("window_size", LARGEST_WINDOW + 1, "1 to 16"),
        ("window_size", 2, "must be larger than shift_size 2: lower shift_size first"),
        ("shift_size", 4, "0 to 3, smaller than window_size 4, got 4"),
        ("shift_size", -1, "got -1"),
        ("padding", "zero", "must be 'mask' or 'attend', got 'zero'"),
        ("form", "float", "must be 'boolean' or 'additive'"),
        ("query", (8, 0), r"\(row, column\) of a token of the 8x12 map, got \(8, 0\)"),
        ("query", (-1, 0), "of a token"),
        ("key", (4, 4), "None or a token of the query's window, 5, got"),
        ("selected_window", 6, "the number of a window, 0 to 5, got 6"),
    ],
)
def test_bad_values_from_python_raise_and_change_nothing(explorer, name, value, words):
    before = explorer._state()
    with pytest.raises(TraitError, match=words):
        setattr(explorer, name, value)
    assert explorer._state() == before


@pytest.mark.parametrize(
    "state", [{"window_size": 4, "shift_size": 4}, {"query": (9, 0)}, {"height": 0}]
)
def test_bad_values_at_the_start_raise(state):
    with pytest.raises(TraitError):
        MaskExplorer(**state)


def test_an_unknown_argument_is_refused():
    with pytest.raises(TypeError, match="takes no 'shift': it takes image, height"):
        MaskExplorer(shift=2)


def test_window_and_shift_can_be_set_together(explorer):
    with explorer.hold_trait_notifications():
        explorer.window_size = 2
        explorer.shift_size = 1
    assert (explorer.window_size, explorer.shift_size) == (2, 1)


# --- from the page ---


@pytest.mark.parametrize(
    ("wanted", "right", "word"),
    [
        ({"height": 99}, {"height": LARGEST_SIZE}, "height 99 became 64"),
        ({"width": "wide"}, {"width": 10}, "width 'wide' became 10"),
        ({"window_size": 2}, {"window_size": 2, "shift_size": 1}, "shift_size 2 became 1"),
        ({"window_size": 2, "shift_size": 7}, {"shift_size": 1}, "shift_size 7 became 1"),
        ({"query": [99, 0]}, {"query": (0, 0)}, "query [99, 0] became (0, 0)"),
        ({"key": [4, 4]}, {"key": None}, "key [4, 4] became None"),
        ({"form": "x", "masked": False}, {"form": "boolean", "masked": False}, "form 'x'"),
        ({"masked": "no"}, {"masked": True}, "masked 'no'"),
        ({"selected_window": 17}, {"selected_window": 5}, "selected_window 17"),
    ],
)
def test_bad_values_from_the_page_are_clamped_with_a_reason(explorer, wanted, right, word):
    explorer.set_state(wanted)
    assert {name: getattr(explorer, name) for name in right} == right
    assert word in explorer.notice


def test_good_values_from_the_page_are_taken_as_they_are(explorer):
    explorer.set_state({"height": 12, "query": [11, 3], "selected_window": 6, "key": None})
    assert (explorer.height, explorer.query, explorer.selected_window) == (12, (11, 3), 6)
    assert explorer.notice == ""


def test_whatever_is_clamped_is_valid(explorer):
    rng = random.Random(0)
    state = explorer._state()
    junk = (-3, 0, 1, 5, 16, 17, 64, 80, None, "x", 1.5, True)
    for _ in range(500):
        names = rng.sample(["height", "width", "window_size", "shift_size"], 3)
        wanted = {name: rng.choice(junk) for name in names}
        right, reasons = clamp(state, wanted)
        assert set(right) == {*wanted, "shift_size"}
        assert [validate(name, {**state, **right}) for name in right] == [""] * len(right)
        changed = [name for name in right if right[name] is not {**state, **wanted}[name]]
        assert len(reasons) == len(changed)


# --- a model's attention ---


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("block", [(0, 1), (1, 0)])
def test_weights_are_the_models_own(version, block):
    model = small_model(version=version).train()
    image = torch.rand(1, 3, 40, 52)
    grid, (masked, unmasked) = attention_weights(model, image, block)
    assert model.training
    model.eval()
    with torch.no_grad():
        assert torch.equal(masked, model.attention_maps(image, [block])[block][0])
    assert grid.size == ((10, 13) if block[0] == 0 else (5, 7))
    assert torch.allclose(unmasked.sum(-1), torch.ones(()))
    assert (unmasked > 0).all()
    forbidden = ~grid.mask()[:, None].expand_as(masked)
    assert (masked[forbidden] == 0).all()


def test_weights_go_to_the_page_as_whole_numbers():
    model, image = small_model().eval(), torch.rand(1, 3, 40, 52)
    explorer = MaskExplorer.from_model(model, image, block=(0, 1))
    _, weights = attention_weights(model, image, (0, 1))
    sent = np.frombuffer(explorer._weights, "<u2").reshape(weights.shape)
    assert np.abs(sent / 65535 - weights.detach().numpy()).max() < 1e-5
    assert explorer._heads == 3
    assert (explorer.height, explorer.width, explorer.shift_size) == (10, 13, 2)


def test_the_model_and_random_numbers_are_left_as_they_were():
    model = small_model(attn_drop_rate=0.5).train()
    model.layers[1].eval()  # frozen by its owner
    model.layers[0].blocks[0].requires_grad_(False)

    def state():
        modes = [module.training for module in model.modules()]
        return modes, [parameter.requires_grad for parameter in model.parameters()]

    before, numbers = state(), torch.get_rng_state()
    MaskExplorer.from_model(model, torch.rand(1, 3, 40, 52, generator=torch.Generator()))
    assert state() == before
    with pytest.raises(ValueError, match="expected images"):
        MaskExplorer.from_model(model, torch.zeros(1, 2, 40, 52))
    assert state() == before
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not any(module._forward_pre_hooks for module in model.modules())


@torch.no_grad()
def test_a_wrapped_model_shows_what_the_model_inside_does():
    model, image = small_model().eval(), torch.rand(1, 3, 40, 52)
    _, expected = attention_weights(model, image, (0, 1))
    for wrapped in (torch.nn.DataParallel(model), torch.compile(model)):
        assert torch.equal(attention_weights(wrapped, image, (0, 1))[1], expected)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("model", "images", "words"),
    [
        (small_model(), torch.zeros(2, 3, 40, 52), r"one image can be shown, got .*\(2, 3, 40, 52"),
        (small_model(), torch.zeros(0, 3, 40, 52), "one image can be shown"),
        (small_model(), torch.zeros(3, 40, 52), "one image can be shown"),
        (small_model(), torch.full((1, 3, 40, 52), torch.nan), r"block \(0, 1\) computes NaN"),
        (torch.nn.Linear(2, 3), torch.zeros(1, 3, 40, 52), "is a Linear and no SwinTransformer"),
    ],
)
def test_what_cannot_be_shown_is_named(model, images, words):
    with pytest.raises(ValueError, match=words):
        MaskExplorer.from_model(model, images)


def test_the_model_fixes_the_geometry():
    explorer = MaskExplorer.from_model(small_model(), torch.rand(1, 3, 40, 52), block=(0, 1))
    with pytest.raises(TraitError, match=r"height 9 cannot be set: the model .* fixes it at 10"):
        explorer.height = 9
    explorer.set_state({"width": 20, "query": [3, 3]})
    assert (explorer.width, explorer.query) == (13, (3, 3))
    assert explorer.notice == "width stays 13: the model fixes it"
    explorer.notice = ""
    explorer.set_state({"masked": False})
    assert explorer.notice == ""


@pytest.mark.parametrize("block", [(2, 0), (0, 2), (-1, 0)])
def test_an_unknown_block_is_refused(block):
    with pytest.raises(ValueError, match="there is no block"):
        MaskExplorer.from_model(small_model(), torch.rand(1, 3, 40, 52), block=block)


def test_a_map_too_large_to_show_is_refused():
    with pytest.raises(ValueError, match=r"map of 3x65 tokens .* choose a later stage"):
        MaskExplorer.from_model(small_model(), torch.rand(1, 3, 12, 260))


def test_windows_that_are_not_square_are_refused():
    model = small_model(window_size=(4, 3))
    with pytest.raises(ValueError, match=r"block \(0, 1\) .* only shows square ones"):
        MaskExplorer.from_model(model, torch.rand(1, 3, 40, 52), block=(0, 1))


# --- pictures ---


def test_pictures_come_from_names_images_and_arrays(tmp_path):
    array = photograph("coffee", 30, 50)
    image = Image.fromarray((array * 255).round().byte().numpy())
    image.save(tmp_path / "coffee.png")
    for one in (array, array.numpy(), image, image.convert("RGBA")):
        assert np.array_equal(np.array(as_picture(one)), np.array(image))
    assert as_picture(None) is None
    assert as_picture("rocket").mode == "RGB"
    assert max(as_picture(np.zeros((900, 30, 3))).size) == LARGEST
    assert image.size == (50, 30)  # the reader's own is left alone


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ("nobody", ValueError, "no photograph 'nobody'"),
        (np.zeros((3, 5, 7)), ValueError, r"\(h w 3\), got \(3, 5, 7\)"),
        (np.full((3, 5, 3), 255.0), ValueError, "divide bytes by 255"),
        (np.zeros((0, 5, 3)), ValueError, r"must have pixels, got the shape \(0, 5, 3\)"),
        (np.full((3, 5, 3), np.nan), ValueError, "between 0 and 1, got nan"),
        (Image.new("RGB", (0, 5)), ValueError, r"must have pixels, got the size \(0, 5\)"),
        (Image.new("1", (12000, 12000)), ValueError, "at most .* million pixels"),
        ("http://example.org/picture.jpg", ValueError, "no photograph 'http"),
        (7, TypeError, "got int"),
    ],
)
def test_bad_pictures_are_refused(image, error, words, unchecked):
    with pytest.raises(error, match=words):
        MaskExplorer(image=image)


def test_a_models_input_is_stretched_to_a_picture():
    image = torch.randn(3, 5, 7)
    picture = stretched(image)
    assert picture.shape == (5, 7, 3)
    assert (picture.min(), picture.max()) == (0, 1)
    assert torch.equal(picture.flatten().argsort(), image.permute(1, 2, 0).flatten().argsort())


# --- what stands in a notebook, and on a page ---


def test_a_notebook_gets_a_picture_and_a_text_that_repeats(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    again, _ = MaskExplorer(height=7, width=10, window_size=4, shift_size=2)._repr_mimebundle_()
    text = "MaskExplorer(height=7, width=10, window_size=4, shift_size=2)"
    assert bundle["text/plain"] == again["text/plain"] == repr(explorer) == text
    assert bundle["image/png"] == again["image/png"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert image.width > metadata["image/png"]["width"]
    assert metadata["image/png"]["alt"] == explorer.describe()
    assert "7 by 10 tokens" in explorer.describe()
    assert "may attend to 4 of the 16 tokens of window 5" in explorer.describe()


def test_the_picture_follows_the_state(explorer):
    before = explorer._repr_mimebundle_()[0]["image/png"]
    explorer.query = (4, 4)
    assert explorer._repr_mimebundle_()[0]["image/png"] != before


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 0), (3, 5, 7, 3), (2, 40, 5, 4), (9, 16, 8, 7), (7, 9, 4, 2)]
)
@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_every_geometry_has_a_picture(sizes, padding):
    names = ("height", "width", "window_size", "shift_size")
    state = dict(zip(names, sizes, strict=True))
    assert MaskExplorer(**state, padding=padding, image=None)._repr_mimebundle_()


def test_it_shows_itself_in_the_middle_of_a_cell(explorer, capsys):
    explorer.show()
    assert "MaskExplorer(height=7" in capsys.readouterr().out


def test_exported_page_holds_the_state(explorer, tmp_path):
    explorer.query = (6, 9)
    explorer.masked = False
    path = explorer.export_html(tmp_path / "page.html")
    text = path.read_text("utf-8")
    state = json.loads(re.search(r'id="state">(.*?)</script>', text, re.DOTALL)[1])
    assert (state["height"], state["query"], state["masked"]) == (7, [6, 9], False)
    assert state["image"].startswith("data:image/jpeg;base64,")
    assert "import {" not in text
    assert path == tmp_path / "page.html"


# --- the files of the page ---


def test_modules_join_to_one_without_a_clash():
    """One scope holds them all, so no name may stand twice, and no import or export may be left."""
    for entry in ("widget.js", "page.js"):
        text = assets.script(entry)
        declared = re.findall(r"^(?:async )?(?:const|let|function|class) (\w+)", text, re.MULTILINE)
        assert len(declared) == len(set(declared))
        assert not re.search(r"^import\b", text, re.MULTILINE)
        exported = re.findall(r"^export .*", text, re.MULTILINE)
        assert exported == (["export default { render };"] if entry == "widget.js" else [])


def test_every_file_of_the_page_is_joined_after_those_that_it_imports_from():
    entries = {"widget.js", "page.js"}
    assert {path.name for path in assets.FOLDER.glob("*.js")} == {*assets.MODULES, *entries}
    before = set()
    for name in (*assets.MODULES, *sorted(entries)):
        text = (assets.FOLDER / name).read_text("utf-8")
        imports = re.findall(r'^(?:import \{|\} from).*"\./([\w.]+)";$', text, re.MULTILINE)
        assert set(imports) <= before, name
        before.add(name)


def test_geometry_and_words_know_no_page():
    for name in ("state.js", "geometry.js", "words.js", "moves.js"):
        text = (assets.FOLDER / name).read_text("utf-8")
        assert not re.search(r"\b(document|window\.|canvas)\b", text)


def test_limits_are_the_same_on_both_sides():
    text = (assets.FOLDER / "state.js").read_text("utf-8")
    assert f"LIMITS = {{ size: {LARGEST_SIZE}, window: {LARGEST_WINDOW} }}" in text
    assert f"PICTURE_LIMITS = {{ characters: {LONGEST}, pixels: {LARGEST} }}" in text


# --- from someone who means no good, or is careless ---

PIXEL = MaskExplorer(image=np.zeros((1, 1, 3)))._image
HOSTILE_ADDRESSES = [
    "http://example.org/picture.jpg",
    "https://example.org/picture.jpg",
    "//example.org/picture.jpg",
    "picture.jpg",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:image/svg+xml;base64,PHN2Zy8+",
    "data:image/png;base64,iVBORw0KGgo=",
    "data:image/jpeg;base64,",
    "data:image/jpeg;base64,AAAA",
    "data:image/jpeg,AAAA",
    PIXEL.replace("jpeg", "JPEG"),
    PIXEL + "\n",
    " " + PIXEL,
    PIXEL + "</script><script>alert(1)</script>",
    PIXEL[:-40],
    "data:image/jpeg;base64," + "A" * LONGEST,
    7,
    None,
    b"data:",
    ["data:"],
]


@pytest.mark.parametrize("address", HOSTILE_ADDRESSES, ids=lambda one: repr(one)[:50])
def test_an_address_that_is_no_picture_is_refused(explorer, address):
    before = explorer._image
    with pytest.raises(TraitError, match="_image"):
        explorer._image = address
    assert explorer._image == before
    explorer._image = PIXEL
    explorer._image = ""


def test_an_address_of_a_huge_picture_is_refused(explorer):
    buffer = io.BytesIO()
    Image.new("L", (9000, 9000)).save(buffer, format="jpeg")
    address = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
    assert len(address) < LONGEST
    with pytest.raises(TraitError, match=r"\(9000, 9000\) pixels, at most 640 a side"):
        explorer._image = address


@pytest.mark.parametrize(
    ("name", "value"), [("_image", PIXEL), ("_image", "http://x"), ("_heads", 9), ("_weights", b"")]
)
def test_a_page_cannot_set_what_python_alone_sets(explorer, name, value):
    before = getattr(explorer, name)
    explorer.set_state({name: value, "height": 9})
    assert getattr(explorer, name) is before
    assert explorer.height == 9
    assert explorer.notice == f"{name} is set by Python alone"


def set_in_a_block(explorer, wanted, error=None):
    """Set traits together, and raise an error in the end if one is given."""
    with explorer.hold_trait_notifications():
        for name, value in wanted.items():
            setattr(explorer, name, value)
        if error:
            raise error("in the block")


def assert_possible(explorer):
    state = explorer._state()
    assert [validate(name, state) for name in state] == [""] * len(state)
    assert explorer.grid.locate(explorer.query)[0] == explorer.selected_window
    explorer.query_mask()


@pytest.mark.parametrize(
    "wanted",
    [
        {"window_size": 2},
        {"window_size": 2, "shift_size": 2},
        {"window_size": 0, "query": (1, 1)},
        {"query": (1, 1), "window_size": 0},
        {"query": (1, 1), "height": -5},
        {"key": (0, 1), "padding": "nothing"},
        {"selected_window": 2, "shift_size": 99},
        {"height": 2, "query": (7, 1)},
        {"height": 2, "key": (7, 1)},
        {"masked": False, "form": "words"},
    ],
)
def test_an_impossible_block_changes_nothing(explorer, wanted):
    explorer.query, explorer.key = (6, 9), (6, 8)
    before = explorer._state()
    with pytest.raises(TraitError):
        set_in_a_block(explorer, wanted)
    assert explorer._state() == before
    explorer.shift_size = 1
    assert_possible(explorer)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, TraitError])
def test_a_block_that_fails_changes_nothing(explorer, error):
    before = explorer._state()
    heard = []
    explorer.observe(lambda change: heard.append(explorer.grid), "window_size")
    with pytest.raises(error):
        set_in_a_block(explorer, {"window_size": 1, "query": (5, 5)}, error)
    assert explorer._state() == before
    assert {grid.window_size for grid in heard} <= {(4, 4)}
    assert_possible(explorer)


def test_a_block_within_a_block(explorer):
    with explorer.hold_trait_notifications():
        explorer.height = 20
        with contextlib.suppress(ValueError), explorer.hold_trait_notifications():
            explorer.window_size = 1
            raise ValueError
    assert (explorer.height, explorer.window_size) == (20, 4)
    assert_possible(explorer)


JUNK = (-3, 0, 1, 2, 5, 16, 17, 64, 80, None, "x", "mask", "attend", 1.5, True, (1, 1), [3, 3])
JUNK += ((0, 0), (7, 11), (99, 0), (True, 0), (1,), {}, float("nan"), float("inf"), 10**400)


@pytest.mark.parametrize("seed", range(8))
def test_no_order_of_settings_is_impossible(seed):
    rng = random.Random(seed)
    explorer = MaskExplorer(image=None)
    for _ in range(150):
        wanted = {name: rng.choice(JUNK) for name in rng.sample(STATE, rng.randint(1, 5))}
        way = rng.choice(["one by one", "block", "failing block", "page"])
        if way == "page":
            explorer.set_state(wanted)
        elif way == "one by one":
            for name, value in wanted.items():
                with contextlib.suppress(TraitError):
                    setattr(explorer, name, value)
                assert_possible(explorer)
        else:
            error = ValueError if way == "failing block" else None
            with contextlib.suppress(TraitError, ValueError):
                set_in_a_block(explorer, wanted, error)
        assert_possible(explorer)


@pytest.mark.parametrize("name", ["height", "window_size", "selected_window", "query"])
def test_true_is_not_taken_for_one(name):
    """To Python nothing changes, and a block checks only what has changed."""
    explorer = MaskExplorer(image=None, height=1, window_size=1, query=(0, 1), selected_window=1)
    with pytest.raises(TraitError):
        set_in_a_block(explorer, {name: (False, True) if name == "query" else True})
    assert_possible(explorer)


@pytest.mark.parametrize("wanted", [{"selected_window": 3, "height": 1}, {"height": 1}])
@pytest.mark.parametrize("way", [MaskExplorer.set_state, set_in_a_block])
def test_a_window_can_be_chosen_as_the_map_becomes_smaller(wanted, way):
    explorer = MaskExplorer(image=None, height=2, window_size=1, query=(1, 8))
    way(explorer, wanted)
    assert_possible(explorer)
