// A model's attention weights: those of one query over the tokens of its window, head by head.

import { make, percent } from "./dom.js";
import { locate, origin } from "./geometry.js";
import { cellSize, resize } from "./signs.js";
import { drawWeights } from "./thumbnails.js";
import { place } from "./words.js";

const LEVELS = 65535; // a weight is sent as a 16-bit number: 1.0 is the largest
const SIDE_OF_HEAD = 112; // pixels

/** `attention` has the number of `heads` and all `weights`, see readAttention; null for no model. */
export class HeadMaps {
  constructor(attention) {
    this.attention = attention;
    this.words = make("figcaption", { class: "me-title" }, "Attention weights, by head");
    this.maps = make("div", { class: "me-heads" });
    this.figure = make(
      "figure",
      { class: "me-view me-attention", hidden: !attention },
      this.words,
      this.maps,
    );
  }

  show(geometry, keys, query, masked) {
    if (!this.attention) return;
    const { tokensPerWindow, windowSize } = geometry;
    const allowed = new Uint8Array(tokensPerWindow);
    for (const home of keys.allowed) allowed[locate(geometry, home).index] = 1;
    const rows = this.weightsOf(geometry, keys, masked);
    if (this.maps.children.length !== rows.length) {
      const figures = rows.map((_, head) =>
        make("div", { class: "me-headmap", "data-head": head }, make("canvas"), make("p")),
      );
      this.maps.replaceChildren(...figures);
    }
    const cell = cellSize(windowSize, windowSize, SIDE_OF_HEAD, SIDE_OF_HEAD, SIDE_OF_HEAD / 4);
    const largest = Math.max(...rows.flat());
    rows.forEach((row, head) => {
      const [canvas, words] = this.maps.children[head].children;
      resize(canvas, windowSize * cell, windowSize * cell);
      drawWeights(canvas.getContext("2d"), row, keys.index, allowed, windowSize, cell, largest);
      const most = row.indexOf(Math.max(...row));
      const leaked = row.reduce((sum, weight, index) => sum + (allowed[index] ? 0 : weight), 0);
      const where = place(origin(geometry, keys.window, most));
      words.textContent =
        `head ${head}: most, ${percent(row[most])}, on ${where}` +
        (leaked > 0 ? `; ${percent(leaked)} leaks` : "");
      this.maps.children[head].dataset.leaked = leaked.toFixed(3);
    });
    this.words.textContent = `Attention weights of query ${place(query)}, by head`;
  }

  /** Each head's weights of the query, under the mask or without it. */
  weightsOf({ tokensPerWindow: tokens, numWindows }, { window, index }, masked) {
    const { heads, weights } = this.attention;
    const half = masked ? 0 : 1;
    return Array.from({ length: heads }, (_, head) => {
      const row = ((half * numWindows + window) * heads + head) * tokens + index;
      return Array.from(weights.subarray(row * tokens, (row + 1) * tokens), (one) => one / LEVELS);
    });
  }
}
