"""The explorer's JavaScript equals the package over every small geometry, on a bare page; so do the
numbers in its sentences."""

import functools
import http.server
import json
import threading

import numpy as np
import pytest
import torch
from explorers import keys_of

from swin_tutorial.explorer.assets import FOLDER
from swin_tutorial.grid import WindowGrid
from swin_tutorial.masks import distinct_patterns
from swin_tutorial.windows import reverse_cyclic_shift, window_reverse

LARGEST, LARGEST_WINDOW = 12, 6
TIME_LIMIT = 10  # seconds, in the browser

COMPARE = """async () => {
    const js = await import("/geometry.js");
    const geometries = await (await fetch("/data/geometries.json")).json();
    const bytes = new Uint8Array(await (await fetch("/data/expected.bin")).arrayBuffer());
    const began = performance.now();
    const wrong = [];
    const counts = {geometries: 0, masks: 0, queries: 0};
    let at = 0;
    for (const [height, width, windowSize, shiftSize, padding] of geometries) {
        const complain = what => wrong.length < 9 && wrong.push(
            `${what}: ${height}x${width} window ${windowSize} shift ${shiftSize} ${padding}`);
        const next = (what, values) => {
            for (let i = 0; i < values.length; i++) {
                if (bytes[at + i] !== values[i]) { complain(what); break; }
            }
            at += values.length;
        };
        const bits = values => {
            const packed = new Uint8Array(Math.ceil(values.length / 8));
            for (let i = 0; i < values.length; i++) {
                if (values[i]) packed[i >> 3] |= 128 >> (i & 7);
            }
            return packed;
        };
        const g = js.makeGeometry({height, width, windowSize, shiftSize, padding});
        next("region ids", g.regions);
        for (let window = 0; window < g.numWindows; window++) {
            next("mask", bits(js.windowMask(g, window)));
            counts.masks += 1;
        }
        const all = g.paddedHeight * g.paddedWidth;
        const [allowed, forbidden] = [new Uint8Array(all * all), new Uint8Array(all * all)];
        for (let y = 0; y < g.paddedHeight; y++) {
            for (let x = 0; x < g.paddedWidth; x++) {
                const keys = js.keysOf(g, [y, x]);
                const row = (y * g.paddedWidth + x) * all;
                for (const key of keys.allowed) allowed[row + key[0] * g.paddedWidth + key[1]] = 1;
                for (const key of keys.forbidden) {
                    forbidden[row + key[0] * g.paddedWidth + key[1]] = 1;
                }
                counts.queries += 1;
            }
        }
        next("attended", bits(allowed));
        next("masked", bits(forbidden));
        next("patterns", js.distinctPatterns(g).index);
        counts.geometries += 1;
    }
    if (at !== bytes.length) wrong.push(`${bytes.length} bytes, of which ${at} were compared`);
    return {wrong, counts, seconds: (performance.now() - began) / 1000};
}"""


def all_geometries():
    """Return every (height, width, window, shift, padding) up to 12 x 12 and window 6."""
    return [
        (height, width, window, shift, padding)
        for height in range(1, LARGEST + 1)
        for width in range(1, LARGEST + 1)
        for window in range(1, LARGEST_WINDOW + 1)
        for shift in range(window)
        for padding in ("mask", "attend")
    ]


def expected(geometry):
    """Return what the package says of a geometry, as the bytes that the page compares with."""
    height, width, window_size, shift_size, padding = geometry
    grid = WindowGrid((height, width), window_size, shift_size, padding)
    mask = grid.mask()
    distinct = distinct_patterns(mask)

    # The window's tokens at home, and from them who attends to whom on the whole map.
    tokens = grid.tokens_per_window
    numbers = torch.arange(grid.num_windows * tokens).view(1, grid.num_windows, tokens, 1)
    rolled = window_reverse(numbers, grid.window_size, grid.padded_size)
    at_home = reverse_cyclic_shift(rolled, grid.effective_shift)[0, :, :, 0].flatten()
    homes = torch.empty_like(at_home)
    homes[at_home] = torch.arange(len(homes))
    homes = homes.view(grid.num_windows, tokens)
    planes = torch.zeros(2, len(at_home), len(at_home), dtype=torch.bool)
    pairs = homes[:, :, None], homes[:, None, :]
    planes[0][pairs], planes[1][pairs] = mask, ~mask
    return b"".join(
        [
            grid.region_ids().to(torch.uint8).numpy().tobytes(),
            np.packbits(mask.flatten(1).numpy(), axis=1).tobytes(),
            *(np.packbits(plane.numpy()).tobytes() for plane in planes),
            distinct.index.to(torch.uint8).numpy().tobytes(),
        ]
    )


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the explorer's own files, and under /data/ those of the test."""

    def __init__(self, *args, data, **options):
        self.data = data
        super().__init__(*args, **options)

    def translate_path(self, path):
        name = path.removeprefix("/")
        if name.startswith("data/"):
            return str(self.data / name.removeprefix("data/"))
        return str(FOLDER / name)

    def log_message(self, *_):
        pass


@pytest.fixture
def bare_page(browser, tmp_path):
    """Return an empty page beside the explorer's modules, and a folder that it can read."""
    handler = functools.partial(Handler, data=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    (tmp_path / "bare.html").write_text("<!doctype html><title>bare</title>", "utf-8")
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/data/bare.html")
    yield page, tmp_path
    page.close()
    server.shutdown()
    thread.join()
    server.server_close()


def test_equals_the_package_over_every_small_geometry(bare_page):
    page, folder = bare_page
    geometries = all_geometries()
    (folder / "expected.bin").write_bytes(b"".join(map(expected, geometries)))
    (folder / "geometries.json").write_text(json.dumps(geometries), "utf-8")

    found = page.evaluate(COMPARE)
    assert found["wrong"] == []
    assert found["counts"]["geometries"] == len(geometries) == 12 * 12 * 21 * 2
    assert found["seconds"] < TIME_LIMIT


SENTENCES = """async ([height, width, windowSize, shiftSize, padding]) => {
    const {makeGeometry} = await import("/geometry.js");
    const {describeQuery} = await import("/words.js");
    const g = makeGeometry({height, width, windowSize, shiftSize, padding});
    return Array.from({length: g.paddedHeight * g.paddedWidth}, (_, i) => {
        const query = [Math.floor(i / g.paddedWidth), i % g.paddedWidth];
        return [query, describeQuery(g, query, true), describeQuery(g, query, false)];
    });
}"""


@pytest.mark.parametrize(
    ("size", "window_size", "shift_size"),
    [((7, 10), 4, 2), ((9, 9), 4, 3), ((4, 9), 4, 1), ((8, 6), 3, 0)],
)
@pytest.mark.parametrize("padding", ["mask", "attend"])
def test_sentences_count_what_the_package_counts(bare_page, size, window_size, shift_size, padding):
    page, _ = bare_page
    grid = WindowGrid(size, window_size, shift_size, padding)

    def mixed(homes):
        pads = sum(map(grid.is_padding, homes))
        real = len(homes) - pads
        return f" ({real} real, {pads} padding)" if real and pads else "", real, pads

    for query, masked, unmasked in page.evaluate(
        SENTENCES, [*size, window_size, shift_size, padding]
    ):
        window, allowed, forbidden = keys_of(grid, tuple(query))
        all_keys = f"all {grid.tokens_per_window} tokens in window {window}"
        mixture, real, pads = mixed(forbidden)
        if not forbidden:
            assert masked == unmasked
            assert f"{all_keys}{mixed(allowed)[0]}: nothing is masked here." in masked
            continue
        count = f"{len(allowed)} of {grid.tokens_per_window} tokens in window {window}"
        assert f"{count}{mixed(allowed)[0]}; {len(forbidden)} " in masked
        assert f"{all_keys}{mixed(allowed | forbidden)[0]}; {len(forbidden)} of them " in unmasked
        reason = masked.rsplit(": ", 1)[1]
        assert reason == unmasked.rsplit(": ", 1)[1]
        if padding == "attend":
            is_padded = grid.padded_size != grid.size
            edge = f"edge of the {'padded ' * is_padded}map"
            assert reason.endswith(f"{edge} ({pads} of them padding)." if pads else f"{edge}.")
        elif "only to padding" in reason:
            assert grid.is_padding(query)
        elif mixture:
            assert reason.startswith(f"{real} came from the opposite edge of the map, {pads} ")
        else:
            assert ("padding" in reason) == bool(pads)
