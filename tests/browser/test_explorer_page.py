"""The explorer on its exported page: what a reader points at, presses and sees."""

import os
import re
from pathlib import Path

import pytest
from explorers import Explored, homes_of, keys_of, rolled
from picture_explorer import PAGE, readme_explorer

from swin_tutorial.explorer import MaskExplorer, assets
from swin_tutorial.explorer.state import STATE

LARGEST_PAGE = 1_000_000  # bytes
ONE_FRAME = 16  # milliseconds
FRAME_BUDGET = 0.95  # of all hovers
TIMEOUT = 5000  # milliseconds


@pytest.fixture
def show(browser, tmp_path):
    """Return a function that shows an explorer's exported page; nothing may go wrong on it."""
    contexts, trouble = [], []

    def opened(across=1000, clock=False, context=None, **state) -> Explored:
        explorer = MaskExplorer(**state)
        path = explorer.export_html(tmp_path / "explorer.html")
        contexts.append(
            browser.new_context(
                viewport={"width": across, "height": 900}, offline=True, **(context or {})
            )
        )
        contexts[-1].set_default_timeout(TIMEOUT)
        page = contexts[-1].new_page()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("request", lambda request: trouble.append(request.url))
        if clock:
            page.clock.install(time=0)
        page.goto(path.as_uri())
        if clock:
            page.clock.pause_at(60)  # or time would go on by itself beside what a test lets pass
        page.wait_for_selector(".mask-explorer[data-query]")
        return Explored(page, explorer.grid)

    yield opened
    for context in contexts:
        context.close()
    harmless = ("file:", "data:")
    assert [one for one in trouble if not one.startswith(harmless)] == []


GEOMETRIES = [
    {"height": 8, "width": 12, "window_size": 4, "shift_size": 2},
    {"height": 7, "width": 10, "window_size": 3, "shift_size": 1},
    {"height": 7, "width": 10, "window_size": 3, "shift_size": 1, "padding": "attend"},
    {"height": 4, "width": 9, "window_size": 4, "shift_size": 3},
]


@pytest.mark.parametrize("sizes", GEOMETRIES)
def test_hover_lights_the_same_tokens_in_both_maps(show, sizes):
    explored = show(**sizes)
    grid = explored.grid
    for row, column in [(0, 0), (3, 6), (2, grid.padded_size[1] - 1)]:
        window, allowed, forbidden = keys_of(grid, (row, column))
        (place,) = rolled(grid, {(row, column)})
        for view, at in (("home", (row, column)), ("rolled", place)):
            explored.root.locator(".me-name").hover()
            explored.hover(view, *at)
            assert explored.data("query") == f"{row},{column}"
            assert explored.data("lit") == "hover"
            assert explored.data("window") == str(window)
            assert explored.homes("allowed") == allowed
            assert explored.homes("forbidden") == forbidden
            assert explored.painted("home") == allowed | forbidden
            assert explored.painted("rolled") == rolled(grid, allowed | forbidden)


def test_leaving_returns_to_the_pinned_query_and_a_click_pins(show):
    explored = show(**GEOMETRIES[0], query=(5, 5))
    explored.hover("home", 0, 0)
    assert explored.data("query") == "0,0"
    explored.root.locator(".me-name").hover()
    assert (explored.data("query"), explored.data("lit")) == ("5,5", "pinned")

    explored.click("rolled", 6, 10)  # where the roll puts (0, 0)
    explored.root.locator(".me-name").hover()
    assert (explored.data("query"), explored.data("window")) == ("0,0", "5")


def test_matrix_lights_one_pair(show):
    explored = show(**GEOMETRIES[0], query=(0, 0))
    homes = homes_of(explored.grid, 5)
    explored.hover("matrix", 10, 15)
    assert explored.data("query") == ",".join(map(str, homes[10]))
    assert explored.data("key") == ",".join(map(str, homes[15]))
    assert explored.said() == "Query (0, 0), key (1, 1): True, both are in region 0."
    explored.hover("matrix", 0, 15)
    assert explored.said() == "Query (6, 10), key (1, 1): False, region 11 and region 0."
    explored.click("matrix", 0, 15)
    explored.choice("form", "additive").click()
    assert "adds −∞" in explored.said()
    explored.choice("masked", "false").click()
    assert explored.said() == (
        "Query (6, 10), key (1, 1): adds 0, because the mask is off. With the mask it would add "
        "−∞: region 11 and region 0."
    )
    assert explored.root.locator(".me-matrix .me-note").inner_text() == (
        "Queries down, keys across. All 0: the mask is off. Red, hatched: −∞ with it."
    )


def test_sentence_says_why(show):
    explored = show(height=7, width=10, window_size=4, shift_size=2, query=(6, 9))
    assert explored.said() == (
        "Query (6, 9) attends to 4 of 16 tokens in window 4; 12 are masked: 8 came from the "
        "opposite edge of the map, 4 are padding."
    )
    explored.click("home", 4, 6)
    assert "attends to all 16 tokens in window 1: nothing is masked here" in explored.said()
    explored.click("home", 7, 2)
    assert explored.said().startswith("Query (7, 2), which is padding, attends to 4 of 16")
    assert explored.said().endswith("padding attends only to padding of its own region.")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            {"height": 7, "width": 10, "window_size": 3, "shift_size": 1, "padding": "attend"},
            "Query (0, 0) attends to 1 of 9 tokens in window 11; 8 are masked: they lie at the "
            "opposite edge of the padded map (8 of them padding).",
        ),
        (
            {"height": 7, "width": 9, "window_size": 4, "padding": "attend", "query": (6, 7)},
            "Query (6, 7) attends to 8 of 16 tokens in window 4 (3 real, 5 padding); 8 are masked: "
            "they lie at the opposite edge of the padded map (2 of them padding).",
        ),
        (
            {"height": 7, "width": 9, "window_size": 4, "masked": False, "query": (6, 7)},
            "Mask off: query (6, 7) attends to all 16 tokens in window 4 (9 real, 7 padding); 13 "
            "of them leak in: 6 came from the opposite edge of the map, 7 are padding.",
        ),
        (
            {"height": 5, "width": 3, "window_size": 1},
            "Query (0, 0) attends to the only token in window 0: nothing is masked here.",
        ),
        (
            {"height": 7, "width": 9, "window_size": 4, "query": (7, 2), "key": (7, 3)},
            "Query (7, 2), key (7, 3): True, both are in region 13 (padding).",
        ),
        (
            {"height": 7, "width": 9, "window_size": 4, "query": (7, 9), "key": (7, 8)},
            "Query (7, 9), key (7, 8): False, region 15 (padding) and region 14 (padding).",
        ),
    ],
)
def test_sentence_counts_pads_and_leaks(show, state, said):
    assert show(**state).said() == said


STEPS = ["Partition", "Shift", "Mask", "Attend", "Un-shift"]


def told(explored):
    """Return the title and the note of the rolled map at every step."""
    for step in STEPS:
        explored.stage(step).click()
        figure = explored.root.locator(".me-rolled")
        title, note = figure.locator("figcaption"), figure.locator(".me-note")
        yield title.inner_text(), note.inner_text()


def test_steps_of_a_shifted_map(show):
    titles, notes = zip(*told(show(**GEOMETRIES[0], query=(0, 0))), strict=True)
    assert titles[0] == "Partition: the true windows"
    assert titles[1] == titles[2] == "Rolled by 2, and cut into windows"
    assert notes[1].startswith("Moved up and left: equal windows again")
    assert notes[2] == "4 regions in window 5: the mask separates them."
    assert notes[4] == "12 masked keys lie at the opposite edge here, in window 5 after the roll."
    notes = [note for _, note in told(show(**GEOMETRIES[0], query=(2, 2), masked=False))]
    assert notes[2] == "One region in window 0: the mask forbids nothing there."
    assert notes[4] == "The tokens of window 0 are one piece of the map here too."


@pytest.mark.parametrize(
    ("sizes", "title", "summary"),
    [
        ((8, 12, 4, 0), "Nothing to roll: shift 0", "shift 0"),
        ((3, 5, 7, 5), "Nothing to roll: one window spans the map", "one window spans the map"),
    ],
)
def test_steps_of_a_map_that_is_not_shifted(show, sizes, title, summary):
    names = ("height", "width", "window_size", "shift_size")
    explored = show(**dict(zip(names, sizes, strict=True)))
    assert summary in explored.root.locator(".me-summary").inner_text()
    titles, notes = zip(*told(explored), strict=True)
    assert titles[1] == title
    assert notes[1] == "Nothing moves."
    assert notes[4] == "Nothing was moved, so nothing moves back."
    spoken = " ".join((*titles, *notes, explored.root.locator(".me-home .me-note").inner_text()))
    for word in ("true window", "shifted", "cut short", "several", "edge"):
        assert word not in spoken


def test_steps_where_one_window_spans_one_axis(show):
    explored = show(height=4, width=12, window_size=4, shift_size=2)
    titles, notes = zip(*told(explored), strict=True)
    assert titles[1] == "Rolled by 0 rows, 2 columns, and cut into windows"
    assert notes[1].startswith("Moved left:")
    summary = explored.root.locator(".me-summary").inner_text()
    assert summary.endswith("as one window spans the height: nothing is shifted there")


def test_padding_has_regions_of_its_own(show):
    notes = [note for _, note in told(show(height=7, width=10, window_size=4, query=(6, 9)))]
    assert notes[0] == (
        "Colors and numbers: regions, one for each true window. Padding has regions of its own."
    )
    notes = [note for _, note in told(show(height=7, width=10, window_size=4, query=(7, 2)))]
    assert notes[4] == "Padding attends only to padding of its own region, here as after the roll."


def test_mask_off_shows_what_leaks(show):
    explored = show(**GEOMETRIES[0], query=(0, 0))
    _, allowed, forbidden = keys_of(explored.grid, (0, 0))
    explored.choice("masked", "false").click()
    assert explored.homes("leaked") == forbidden
    assert explored.homes("allowed") == allowed
    assert explored.data("forbidden") == ""
    assert explored.said().startswith("Mask off: query (0, 0) attends to all 16 tokens")
    assert explored.choice("masked", "false").get_attribute("aria-pressed") == "true"


def test_every_view_is_moved_about_in_by_keyboard(show):
    explored = show(**GEOMETRIES[0], query=(2, 3))
    explored.press("home", "ArrowDown", "ArrowDown", "ArrowLeft")
    assert explored.data("query") == "4,2"
    explored.press("home", *["ArrowLeft"] * 5)
    assert explored.data("query") == "4,0"  # not beyond the edge
    explored.press("rolled", "ArrowLeft")  # lies at (2, 10), so comes to (2, 9): home (4, 11)
    assert explored.data("query") == "4,11"
    assert explored.data("window") == "2"
    explored.press("rolled", "]", "]")
    assert explored.data("window") == "4"
    explored.press("rolled", "[")
    assert explored.data("window") == "3"

    homes = homes_of(explored.grid, 3)
    token = homes.index(tuple(map(int, explored.data("query").split(","))))
    explored.press("matrix", "ArrowUp", "ArrowRight")
    assert explored.data("query") == ",".join(map(str, homes[token - 1]))
    assert explored.data("key") == ",".join(map(str, homes[token]))
    explored.press("matrix", "Escape")
    assert explored.data("key") == ""


def test_sliders_change_the_geometry(show):
    explored = show(**GEOMETRIES[0], query=(0, 0))
    explored.slider("shift_size").fill("1")
    assert "shift 1" in explored.root.locator(".me-summary").inner_text()
    explored.slider("height").fill("9")
    assert explored.number("height").input_value() == "9"
    grid = MaskExplorer(height=9, width=12, window_size=4, shift_size=1).grid
    window, allowed, forbidden = keys_of(grid, (0, 0))
    assert explored.data("window") == str(window)
    assert explored.homes("allowed") == allowed
    assert explored.homes("forbidden") == forbidden


@pytest.mark.parametrize(
    ("trait", "typed", "becomes", "word"),
    [
        ("height", "99", "64", "height 99 became 64"),
        ("width", "0", "1", "width 0 became 1"),
        ("shift_size", "-3", "0", "shift -3 became 0"),
        ("shift_size", "4", "3", "smaller than the window, 0 to 3"),
        ("window_size", "2.6", "3", "window 2.6 became 3"),
        ("window_size", "", "4", ""),
    ],
)
def test_bad_values_are_clamped_with_a_reason(show, trait, typed, becomes, word):
    explored = show(**GEOMETRIES[0])
    explored.number(trait).fill(typed)
    explored.number(trait).press("Enter")
    explored.number(trait).blur()
    assert explored.number(trait).input_value() == becomes
    assert word in explored.notice()
    assert bool(word) == bool(explored.notice())
    explored.number(trait).fill("")  # asks for nothing, so nothing is left to say
    explored.number(trait).press("Enter")
    assert explored.notice() == ""


def test_smaller_window_takes_the_shift_along(show):
    explored = show(**GEOMETRIES[0])
    explored.slider("window_size").fill("2")
    assert explored.number("shift_size").input_value() == "1"
    assert "shift 2 became 1" in explored.notice()
    explored.slider("window_size").fill("3")
    assert explored.notice() == ""


def test_patterns_are_counted_and_lead_to_their_windows(show):
    explored = show(height=56, width=56, window_size=7, shift_size=3)
    patterns = explored.root.locator(".me-pattern")
    counts = patterns.evaluate_all("all => all.map(p => p.dataset.windows.split(' ').length)")
    assert counts == [49, 7, 7, 1]
    title = explored.root.locator(".me-pattern-view figcaption")
    assert title.inner_text() == "4 patterns; 15 of 64 windows mask something"
    patterns.nth(1).click()
    assert (explored.data("window"), explored.data("pattern")) == ("7", "B")
    pressed = patterns.evaluate_all("all => all.map(p => p.getAttribute('aria-pressed'))")
    assert pressed == ["false", "true", "false", "false"]
    patterns.nth(1).click()
    assert explored.data("window") == "15"
    patterns.nth(3).focus()
    patterns.nth(3).press("Enter")
    assert explored.data("window") == "63"


def test_play_shows_the_steps_and_rests(show):
    explored = show(**GEOMETRIES[0], clock=True)
    pixels = "canvas => canvas.toDataURL()"
    canvas = explored.root.locator(".me-rolled canvas").first
    at_rest = canvas.evaluate(pixels)
    explored.stage("▶ Play").click()
    seen, pictures, titles = [], [], set()
    for _ in range(45):
        explored.page.clock.run_for(220)
        pictures.append(canvas.evaluate(pixels))
        titles.add(
            (explored.data("stage"), explored.root.locator(".me-rolled .me-title").inner_text())
        )
        if not seen or seen[-1] != explored.data("stage"):
            seen.append(explored.data("stage"))
    assert seen == ["Partition", "Shift", "Mask", "Attend", "Un-shift", "Mask"]
    assert pictures[-1] == at_rest
    assert len(set(pictures)) > 6  # on their way, too
    assert explored.stage("▶ Play").is_visible()
    # While the tokens are on their way it does not say that they have come.
    assert {title for stage, title in titles if stage == "Shift"} == {
        "Rolling by 2 …",
        "Rolled by 2, and cut into windows",
    }
    assert ("Un-shift", "Rolling back by 2 …") in titles


def test_escape_stops_play_and_marks_go_with_their_tokens(show):
    explored = show(**GEOMETRIES[0], query=(5, 5), clock=True)
    explored.stage("▶ Play").click()
    explored.page.clock.run_for(200)
    assert explored.data("stage") == "Partition"
    assert (5, 5) in explored.painted("rolled")
    explored.page.keyboard.press("Escape")
    assert explored.stage("▶ Play").is_visible()
    assert explored.data("stage") == "Mask"


def test_less_motion_for_who_asks_for_it(show):
    explored = show(**GEOMETRIES[0], clock=True, context={"reduced_motion": "reduce"})
    canvas = explored.root.locator(".me-rolled canvas").first
    explored.stage("▶ Play").click()
    pictures = set()
    for _ in range(45):
        explored.page.clock.run_for(220)
        pictures.add(canvas.evaluate("canvas => canvas.toDataURL()"))
    assert len(pictures) == 2  # at home and rolled


def test_steps_can_be_chosen_and_lit_tokens_go_along(show):
    explored = show(**GEOMETRIES[0], query=(0, 0))
    _, allowed, forbidden = keys_of(explored.grid, (0, 0))
    explored.stage("Un-shift").click()
    assert explored.painted("rolled") == allowed | forbidden
    explored.hover("rolled", 3, 3)
    assert explored.data("query") == "3,3"
    explored.stage("Shift").click()
    explored.hover("rolled", 3, 3)
    assert explored.data("query") == "5,5"


LARGE = {"height": 56, "width": 56, "window_size": 7}


@pytest.mark.parametrize(
    ("width", "scheme", "sizes"),
    [
        (320, "light", LARGE),
        (600, "light", GEOMETRIES[0]),
        (600, "light", {"height": 64, "width": 64, "window_size": 16}),
        (1100, "dark", GEOMETRIES[0]),
        (600, "dark", GEOMETRIES[1]),
        (1600, "light", GEOMETRIES[0]),
        (1600, "dark", LARGE),
    ],
)
def test_fits_narrow_and_wide_pages(show, width, scheme, sizes):
    explored = show(width, **sizes, context={"color_scheme": scheme})
    if folder := os.environ.get("SCREENSHOTS"):
        name = f"explorer-{sizes['height']}-{width}-{scheme}.png"
        explored.page.screenshot(path=Path(folder) / name, full_page=True)
    beyond = explored.root.evaluate(
        """root => [...root.querySelectorAll('*')].filter(
            e => e.getBoundingClientRect().right > root.getBoundingClientRect().right
        ).map(e => e.className)"""
    )
    assert beyond == []
    # Nor beyond the border of the control or the card that it stands in.
    spilt = explored.root.evaluate(
        """root => [
            ...root.querySelectorAll('.me-slider, .me-choice, .me-pattern, .me-view')
        ].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""
    )
    assert spilt == []
    assert explored.page.evaluate("document.documentElement.scrollWidth") <= width
    smallest = explored.root.evaluate(
        """root => Math.min(...[...root.querySelectorAll('p, span, button, input, figcaption')].map(
            e => parseFloat(getComputedStyle(e).fontSize)))"""
    )
    assert smallest >= 12


@pytest.mark.parametrize("width", [600, 1000, 1600])
def test_nothing_jumps_as_the_pointer_moves(show, width):
    explored = show(width, height=7, width=10, window_size=4, query=(6, 9))
    before = explored.view("home").bounding_box()
    patterns = explored.root.locator(".me-pattern-view").bounding_box()
    for view, at in [("home", (0, 0)), ("rolled", (4, 4)), ("matrix", (3, 9)), ("home", (7, 11))]:
        explored.hover(view, *at)
        assert explored.view("home").bounding_box() == before
        assert explored.root.locator(".me-pattern-view").bounding_box() == patterns
    explored.number("height").fill("99")
    explored.number("height").press("Enter")
    assert explored.notice()
    assert explored.view("home").bounding_box()["y"] == before["y"]


def test_every_control_has_a_name_and_a_visible_focus(show):
    explored = show(**GEOMETRIES[0])
    controls = explored.root.locator("button, input, canvas[tabindex]")
    for control in controls.all():
        name = control.evaluate("e => e.getAttribute('aria-label') ?? e.textContent")
        assert name.strip()
    explored.page.keyboard.press("Tab")
    reached = set()
    for _ in range(controls.count()):
        focused = explored.page.evaluate(
            """() => {
                const e = document.activeElement;
                const all = [...document.querySelectorAll('button, input, canvas[tabindex]')];
                return [all.indexOf(e), getComputedStyle(e).outlineStyle];
            }"""
        )
        assert focused[1] == "solid"
        reached.add(focused[0])
        explored.page.keyboard.press("Tab")
    assert reached == set(range(controls.count()))
    names = "e => document.getElementById(e.getAttribute('aria-describedby'))?.className"
    for canvas in explored.root.locator("canvas[tabindex]").all():
        assert "me-help" in canvas.evaluate(names)
    assert explored.page.locator("h1").inner_text() == "Mask explorer"


def test_what_is_pinned_is_announced_and_what_is_hovered_is_not(show):
    explored = show(**GEOMETRIES[0], query=(5, 5))
    announced = explored.root.locator("[aria-live=polite]")
    pinned = announced.text_content()
    assert pinned == explored.said()
    explored.hover("home", 0, 0)
    assert announced.text_content() == pinned != explored.said()
    explored.click("home", 0, 0)
    assert announced.text_content() == explored.said() != pinned


def test_pressed_buttons_are_told_apart_in_forced_colors(show):
    explored = show(**GEOMETRIES[0], context={"forced_colors": "active"})
    fill = "e => getComputedStyle(e).backgroundColor"
    on, off = (explored.choice("masked", value).evaluate(fill) for value in ("true", "false"))
    assert on != off
    border = "e => getComputedStyle(e).borderTopWidth"
    patterns = explored.root.locator(".me-pattern")
    assert patterns.last.evaluate(border) != patterns.first.evaluate(border)


HOVERS = """() => {
    const times = [];
    for (const name of ['home', 'rolled']) {
        const canvas = document.querySelector(`canvas[data-view=${name}]`);
        const box = canvas.getBoundingClientRect();
        const root = document.querySelector('.mask-explorer');
        for (let i = 0; i < 200; i++) {
            const [y, x] = [(i * 37) % 56, (i * 23 + 5) % 56];
            const event = new PointerEvent('pointermove', {
                clientX: box.left + (x + 0.5) * box.width / 56,
                clientY: box.top + (y + 0.5) * box.height / 56,
            });
            const before = root.dataset.query;
            const began = performance.now();
            canvas.dispatchEvent(event);
            times.push(performance.now() - began);
            if (root.dataset.query === before) throw new Error('nothing was lit');
        }
    }
    return times;
}"""


def test_hover_answers_within_a_frame_at_56_by_56(show):
    explored = show(1400, height=56, width=56, window_size=7, shift_size=3)
    slowest = []
    for _ in range(3):  # whatever else runs on the machine can only add time
        times = sorted(explored.page.evaluate(HOVERS))
        slowest.append(times[int(len(times) * FRAME_BUDGET)])
    assert min(slowest) < ONE_FRAME


def test_exported_page_is_small_and_whole(tmp_path):
    path = MaskExplorer(height=64, width=64, window_size=16).export_html(tmp_path / "page.html")
    assert path.stat().st_size <= LARGEST_PAGE
    text = path.read_text("utf-8")
    assert "</script><" not in text.split('id="state">')[1].split("</script>")[0]
    assert not re.search("https?:", text.replace("http://www.w3.org", ""))


ATTACKS = """async () => {
    const refused = [];
    document.addEventListener('securitypolicyviolation', event => {
        refused.push(event.effectiveDirective);
    });
    const add = (tag, attributes) => document.body.append(
        Object.assign(document.createElement(tag), attributes));
    add('img', {src: 'http://example.org/picture.jpg'});
    add('script', {textContent: 'window.ran = true'});
    add('script', {src: 'http://example.org/script.js'});
    add('style', {textContent: 'body { display: none }'});
    add('iframe', {src: 'http://example.org'});
    add('link', {rel: 'stylesheet', href: 'http://example.org/style.css'});
    add('base', {href: 'http://example.org'});
    await fetch('http://example.org').catch(() => null);
    await new Promise(resolve => setTimeout(resolve, 200));
    return [refused.sort(), window.ran ?? false];
}"""


def test_the_page_allows_only_what_stands_in_it(browser, tmp_path):
    path = MaskExplorer(image=None).export_html(tmp_path / "page.html")
    page = browser.new_page()
    blocked = []
    page.on("requestfailed", lambda request: blocked.append((request.url, request.failure)))
    page.goto(path.as_uri())
    page.wait_for_selector(".mask-explorer[data-query]")
    refused, ran = page.evaluate(ATTACKS)
    page.close()
    assert not ran
    expected = ["base-uri", "connect-src", "frame-src", "img-src", "script-src-elem"]
    expected += ["script-src-elem", "style-src-elem", "style-src-elem"]
    assert refused == expected
    assert {reason for _, reason in blocked} == {"csp"}, blocked


HOSTILE_IMAGES = [
    "http://example.org/picture.jpg",
    "javascript:alert(1)",
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>",
    "data:image/jpeg;base64,AAAA",
    "data:image/jpeg;base64," + "A" * 2_000_000,
    "</script><script>window.ran = true</script>",
    "<!--<script>",
    7,
    None,
    {"toString": "x"},
]


@pytest.mark.parametrize("image", HOSTILE_IMAGES, ids=lambda one: repr(one)[:40])
def test_a_hostile_image_is_refused_and_the_page_goes_on(browser, tmp_path, image):
    explorer = MaskExplorer(image=None)
    state = {name: getattr(explorer, name) for name in STATE if name != "selected_window"}
    path = tmp_path / "page.html"
    path.write_text(assets.page({**state, "image": image}), "utf-8")
    page = browser.new_page()
    trouble = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url))
    page.goto(path.as_uri())
    explored = Explored(page, explorer.grid)
    explored.root.locator(".me-notice", has_text="The picture is not shown").wait_for()
    explored.click("home", 5, 5)
    assert explored.data("query") == "5,5"
    assert not page.evaluate("window.ran ?? false")
    page.close()
    assert [one for one in trouble if not one.startswith(("data:image/jpeg", "data:,"))] == [
        path.as_uri()
    ]


def test_the_readmes_page_is_the_one_of_today(tmp_path):
    """But for the photograph's bytes, which may differ from one version of Pillow to the next."""

    def without_photograph(path):
        return re.sub(r"base64,[\w+/=]+", "", path.read_text("utf-8"))

    today = readme_explorer().export_html(tmp_path / "page.html")
    stale = "run: python tests/browser/picture_explorer.py"
    assert without_photograph(PAGE) == without_photograph(today), stale
