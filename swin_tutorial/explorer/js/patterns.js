// The cards of the different window masks: each with its mask, its windows, and how much it masks.

import { make, percent } from "./dom.js";
import { resize } from "./signs.js";
import { drawPattern, drawWhere } from "./thumbnails.js";
import { describePatterns, patternName } from "./words.js";

const SIDE = 50; // pixels of a small picture
const LARGEST_WINDOW_CELL = 13; // pixels of a window in the picture of all windows

/** `choose` is called with the pattern that is clicked, `point` with the one pointed at, or null. */
export class PatternCards {
  constructor(id, { choose, point }) {
    Object.assign(this, { choose, point });
    this.words = make("figcaption", { class: "me-title", id: `${id}-patterns` });
    this.list = make("div", {
      class: "me-patterns",
      role: "group",
      "aria-labelledby": this.words.id,
    });
    this.figure = make("figure", { class: "me-view me-pattern-view" }, this.words, this.list);
  }

  show(geometry, patterns) {
    this.list.replaceChildren(...patterns.map((pattern) => this.buildCard(geometry, pattern)));
  }

  buildCard(geometry, pattern) {
    const name = patternName(pattern.number);
    const { numWindows, tokensPerWindow } = geometry;
    const share = pattern.masked / tokensPerWindow ** 2;
    const count = numWindows === 1 ? "the only window" : `${pattern.windows.length} of ${numWindows} windows`;
    return make(
      "button",
      {
        type: "button",
        class: "me-pattern",
        "data-pattern": name,
        "data-windows": pattern.windows.join(" "),
        onclick: () => this.choose(pattern),
        onpointerenter: () => this.point(pattern),
        onpointerleave: () => this.point(null),
        onfocus: () => this.point(pattern),
        onblur: () => this.point(null),
      },
      make("span", { class: "me-pattern-pictures" }, ...drawPictures(geometry, pattern)),
      make("span", {}, make("b", {}, name), ` ${count}`),
      make("span", { class: "me-share" }, share ? `${percent(share)} of pairs masked` : "nothing masked"),
    );
  }

  describe(geometry, patterns, masked) {
    this.words.textContent = describePatterns(geometry, patterns, masked);
  }

  /** Show one pattern's card as pressed. */
  press(name) {
    for (const button of this.list.children) {
      button.setAttribute("aria-pressed", String(button.dataset.pattern === name));
    }
  }
}

function drawPictures(geometry, pattern) {
  const ratio = window.devicePixelRatio || 1;
  const mask = make("canvas");
  resize(mask, Math.round(SIDE * ratio), Math.round(SIDE * ratio));
  drawPattern(mask.getContext("2d"), geometry, pattern.windows[0], mask.width);
  const where = make("canvas");
  const { windowRows, windowColumns } = geometry;
  const cell = Math.min(SIDE / Math.max(windowRows, windowColumns), LARGEST_WINDOW_CELL) * ratio;
  resize(where, Math.round(windowColumns * cell), Math.round(windowRows * cell));
  drawWhere(where.getContext("2d"), geometry, pattern.windows, where.width, where.height);
  return [mask, where];
}
